"""The groups that are left to do, from which workers take, here and in other processes on the same results folder."""

import time
from dataclasses import replace
from threading import Lock

from benchmarks.runner.claims import Claims
from benchmarks.runner.group import Control, GroupSpec
from results import claims as stored
from results.cell import Cell

LOOK = 2.0  # seconds between two looks at what other processes hold
WAITING = "Waiting for what others train"
NAMED = 3  # cells spelled out in a note about many


class Backlog:
    """Groups of one plan. A group leaves it when a worker takes it, or when all its cells are done by whomever."""

    def __init__(self, groups: list[GroupSpec], claims: Claims) -> None:
        self.claims = claims
        self.was_stopped = False
        """Whether the end was asked for while groups were left."""
        self._left = list(groups)
        self._noted: set[Cell] = set()
        self._lock = Lock()

    def take(self, control: Control, deadline: float | None = None) -> GroupSpec | None:
        """The next group, whose cells this process now holds; None where nothing is left, or at the stop or deadline.

        Waits for what other processes hold: until it is done, or they let go of it.
        """
        while not control.stop.is_set() and (deadline is None or time.time() < deadline):
            with self._lock:
                group = self._next()
                if group is not None or not self._left:
                    return group
                self._note(control)
            control.stop.wait(LOOK)
        self.was_stopped = bool(self._left)
        return None

    def put_back(self, group: GroupSpec) -> None:
        """A group that this process could not finish, because another one took it over."""
        with self._lock:
            self._left.append(group)

    def _next(self) -> GroupSpec | None:
        for group in list(self._left):
            todo = group.left
            held = [cell for cell in todo if self.claims.take(cell)]
            if todo and not held:
                continue
            self._left.remove(group)
            if others := _part(group, [cell for cell in todo if cell not in held]):
                self._left.append(others)
            if held:
                return _part(group, held)
        return None

    def _note(self, control: Control) -> None:
        """Say once of each cell who holds it."""
        held = {cell: stored.found(cell, group.root) for group in self._left for cell in group.cells}
        new = [f"{cell} by {claim}" for cell, claim in held.items() if claim is not None and cell not in self._noted]
        self._noted |= {cell for cell, claim in held.items() if claim is not None}
        if new:
            more = f" and {len(new) - NAMED} more" if len(new) > NAMED else ""
            control.reporter.note(f"{WAITING}: {'; '.join(new[:NAMED])}{more}")


def _part(group: GroupSpec, cells: list[Cell]) -> GroupSpec | None:
    return replace(group, seeds=tuple(cell.seed for cell in cells)) if cells else None
