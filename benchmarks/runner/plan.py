"""What is left to do of a request: cells sorted into to do, done, failed before, and damaged."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from results.cell import CONFIG, Cell
from results.errors import Damaged, Problem
from results.runs import Failure, check_finished, failure_of, is_finished
from results.schema import Config


@dataclass
class Plan:
    """The cells of a request by what is left to do."""

    todo: list[Cell] = field(default_factory=list)
    done: list[Cell] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    damaged: list[Problem] = field(default_factory=list)
    """Of cells that can neither be counted as done nor be gone on with until a person has looked at them."""


def plan_of(cells: Iterable[Cell], root: Path) -> Plan:
    """Sort cells into to do, done, failed before and damaged, in their order."""
    result = Plan()
    for cell in cells:
        try:
            _sort(cell, root, result)
        except Damaged as damage:
            result.damaged.append(damage.problem)
    return result


def _sort(cell: Cell, root: Path, result: Plan) -> None:
    """Raises Damaged for a cell whose folder cannot be used as it is."""
    failure = failure_of(cell, root)
    if failure is not None:
        result.failed.append(failure)
    elif is_finished(cell, root):
        check_finished(cell, root)
        result.done.append(cell)
    else:
        config = cell.folder(root) / CONFIG
        if config.exists():
            Config.read(config)
        result.todo.append(cell)
