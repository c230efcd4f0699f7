"""Dividing a plan among commands that do not see each other's results folder."""

import re
from dataclasses import dataclass

import torch

from results.cell import Cell
from results.errors import RequestError


@dataclass(frozen=True)
class Shard:
    """The `number`-th of `count` parts of a plan, from 1. Together the parts are the plan; no two share a cell."""

    number: int
    count: int

    @classmethod
    def of(cls, text: str) -> "Shard":
        """From "2/4". Raises RequestError for anything else."""
        found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
        number, count = (int(each) for each in found.groups()) if found else (0, 0)
        if not 1 <= number <= count:
            raise RequestError(f"--shard is {text!r}; give which of how many parts, from 1/4 to 4/4 for four of them.")
        return cls(number, count)

    def part(self, cells: list[Cell], device: torch.device) -> list[Cell]:
        """By turns, in the order of the plan: cell by cell on a CPU, network by network where its seeds train together.

        The plan must be the whole request, whatever of it is finished, or the parts would not fit together.
        """

        def unit(cell: Cell) -> tuple:
            return (cell,) if device.type == "cpu" else (cell.dataset, cell.network)

        turns = {each: turn for turn, each in enumerate(dict.fromkeys(map(unit, cells)))}
        return [cell for cell in cells if turns[unit(cell)] % self.count == self.number - 1]
