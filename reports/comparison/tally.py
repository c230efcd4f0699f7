"""How many published numbers were reproduced: each counted once, however many tables hold it."""

from collections.abc import Iterable
from dataclasses import dataclass

from reports.comparison.join import PaperTable
from reports.comparison.verdict import Verdict


@dataclass(frozen=True)
class Tally:
    """How many published numbers got which verdict: metrics and counts apart, because they say different things."""

    metrics: dict[Verdict, int]
    counts: dict[Verdict, int]


def tally(tables: Iterable[PaperTable]) -> Tally:
    """How many published numbers, each counted once over all tables, got which verdict.

    A number that is not measured under the paper's recipe counts as incomplete where another recipe has measured it
    on the same data set. Counts (parameters, GFLOPs) are one number for all data sets.
    """
    metrics: dict[tuple[str, str, str], Verdict] = {}
    counts: dict[tuple[str, str], Verdict] = {}
    for block in (block for table in tables for block in table.blocks if not block.reference_only):
        for row in block.rows:
            _note(metrics, {(row.dataset, row.network, name): c.verdict for name, c in row.comparisons.items()})
            _note(counts, {(row.network, name): c.verdict for name, c in row.counts.items()})
    of_metrics = (Verdict.REPRODUCED, Verdict.ABOVE, Verdict.BELOW, Verdict.INCOMPLETE, Verdict.NOT_MEASURED)
    of_counts = (Verdict.REPRODUCED, Verdict.CONTRADICTED, Verdict.NOT_MEASURED)
    return Tally(_times(metrics, of_metrics), _times(counts, of_counts))


def _note(best: dict, found: dict) -> None:
    """Keep the first verdict that says more than "not measured"."""
    for number, judged in found.items():
        if best.get(number, Verdict.NOT_MEASURED) is Verdict.NOT_MEASURED and judged is not Verdict.NO_CLAIM:
            best[number] = judged


def _times(found: dict, order: tuple[Verdict, ...]) -> dict[Verdict, int]:
    return {judged: list(found.values()).count(judged) for judged in order}
