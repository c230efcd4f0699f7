"""What is left to do of a request: cells sorted into to do, done, and failed before."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from results.cell import Cell
from results.runs import Failure, failure_of, is_finished


@dataclass
class Plan:
    """The cells of a request by what is left to do."""

    todo: list[Cell] = field(default_factory=list)
    done: list[Cell] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)


def plan_of(cells: Iterable[Cell], root: Path) -> Plan:
    """Sort cells into to do, done and failed before, in their order."""
    result = Plan()
    for cell in cells:
        failure = failure_of(cell, root)
        if failure is not None:
            result.failed.append(failure)
        elif is_finished(cell, root):
            result.done.append(cell)
        else:
            result.todo.append(cell)
    return result
