"""Two states of a results folder: which numbers moved, and which verdicts."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reports.comparison.findings import Findings
from reports.comparison.names import place
from results.metrics import METRICS
from results.runs import Run

NEGLIGIBLE = 1e-12


@dataclass(frozen=True)
class Moved:
    """One number of one network, before and after; None where it is not there."""

    where: str
    network: str
    what: str
    """The metric's heading, "seeds", or "verdict of ..."."""
    before: float | str | None
    after: float | str | None

    def __str__(self) -> str:
        return f"{self.where}: {self.network}, {self.what}: {_shown(self.before)} -> {_shown(self.after)}"


def _shown(value: float | str | None) -> str:
    if value is None:
        return "none"
    return value if isinstance(value, str) else f"{value:.2f}"


def moved(before: Path, after: Path) -> list[Moved]:
    """Means over seeds, numbers of seeds and verdicts that are not the same in both results folders."""
    old, new = Findings.load(before), Findings.load(after)
    return [*_numbers(old, new), *_verdicts(old, new)]


def _numbers(old: Findings, new: Findings) -> list[Moved]:
    found = []
    states = [_means(findings) for findings in (old, new)]
    for key in dict.fromkeys((*states[0], *states[1])):
        before, after = (state.get(key, {}) for state in states)
        for what in dict.fromkeys((*before, *after)):
            values = before.get(what), after.get(what)
            if not _same(*values):
                found.append(Moved(place(*key[:2]), new.label(key[2]), what, *values))
    return found


def _means(findings: Findings) -> dict[tuple[str, str, str], dict[str, float]]:
    """(data set, recipe, network) -> heading -> percent; and which seeds there are."""
    found = {}
    for block in findings.run_blocks:
        for network, runs in block.networks.items():
            values = {"seeds": float(len(runs))} | {metric.own_heading: _mean(runs, metric.name) for metric in METRICS}
            found[block.dataset, block.recipe, network] = values
    return found


def _mean(runs: Sequence[Run], metric: str) -> float:
    return float(100 * np.mean([run.metrics[metric] for run in runs]))


def _same(before: float | str | None, after: float | str | None) -> bool:
    if isinstance(before, float) and isinstance(after, float):
        return abs(before - after) <= NEGLIGIBLE
    return before == after


def _verdicts(old: Findings, new: Findings) -> list[Moved]:
    states = [_words(findings) for findings in (old, new)]
    return [
        Moved(*key, states[0].get(key), states[1].get(key))
        for key in dict.fromkeys((*states[0], *states[1]))
        if states[0].get(key) != states[1].get(key)
    ]


def _words(findings: Findings) -> dict[tuple[str, str, str], str]:
    """(place, network, "verdict of mIoU in Table 1") -> the verdict, of every published number."""
    found = {}
    for name, table in findings.tables.items():
        number = name.removeprefix("table")
        for block in table.blocks:
            if block.reference_only:
                continue
            for row in block.rows:
                for metric in METRICS:
                    if (compared := row.comparisons.get(metric.name)) is not None:
                        key = (
                            place(block.dataset, block.recipe),
                            row.label,
                            f"verdict of {metric.heading}, Table {number}",
                        )
                        found[key] = compared.verdict.value
    return found
