"""Handing out groups until all of them are done by whomever: what another command holds is tried again later."""

import time
from collections.abc import Callable
from dataclasses import replace

from benchmarks.runner import local
from benchmarks.runner.backlog import LOOK, WAITING
from benchmarks.runner.executors.task import merged
from benchmarks.runner.group import GroupSpec
from benchmarks.runner.local import Job, Outcome
from results import claims
from results.cell import Cell

HandOut = Callable[[list[GroupSpec], Job], list[Outcome]]


def execute(cells: list[Cell], job: Job, hand_out: HandOut) -> Outcome:
    """As `Executor.execute`, for one that hands out whole groups and gives back what they report."""
    outcome = Outcome()
    groups = local.checked_groups(cells, job, outcome)
    return local.stored(until_done(groups, outcome, job, hand_out), cells, job.root)


def until_done(groups: list[GroupSpec], outcome: Outcome, job: Job, hand_out: HandOut) -> Outcome:
    """Train the groups by `hand_out`, which leaves alone what other commands hold, and wait for those.

    outcome: what is known already; it goes into the one that is returned. Ctrl-C, or the deadline of the groups, makes
    it one that was interrupted.
    """
    outcomes = [outcome]
    try:
        while groups:
            outcomes += hand_out(groups, job)
            whole = merged(outcomes)
            if whole.interrupted:
                return whole
            faulty = {network for network, _ in whole.errors}
            groups = [group for group in _rest(groups) if group.network not in faulty]
            if groups and not _one_is_free(groups):
                job.control.reporter.note(f"{WAITING}: {sum(len(group.seeds) for group in groups)} cells.")
                groups = _waited(groups)
    except (KeyboardInterrupt, TimeoutError):
        outcomes.append(Outcome(interrupted=True))
    return merged(outcomes)


def _rest(groups: list[GroupSpec]) -> list[GroupSpec]:
    """What is not done of them."""
    parts = [tuple(cell.seed for cell in group.left) for group in groups]
    return [replace(group, seeds=part) for group, part in zip(groups, parts, strict=True) if part]


def _one_is_free(groups: list[GroupSpec]) -> bool:
    """Whether a cell of them is held by nobody."""
    now = claims.clock(groups[0].root)
    held = [claims.found(cell, group.root) for group in groups for cell in group.cells]
    return any(each is None or each.is_over(now) for each in held)


def _waited(groups: list[GroupSpec]) -> list[GroupSpec]:
    """What is left when a cell is free, or all is done. Raises TimeoutError at the deadline."""
    while groups and not _one_is_free(groups):
        if groups[0].deadline is not None and time.time() >= groups[0].deadline:
            raise TimeoutError
        time.sleep(LOOK)
        groups = _rest(groups)
    return groups
