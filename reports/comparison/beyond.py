"""Networks that are not in the paper: their published counts judged, each by the counter that it was made with.

Their published accuracies come from protocols of their own. They are shown beside measured ones and never judged.
"""

from dataclasses import dataclass

from reports.comparison.join import COUNTS, NOT_COUNTED, Count, CountComparison, compare_count
from reports.comparison.verdict import Verdict, verdict
from reports.evidence import Evidence
from results.catalogue import BEYOND
from results.published import Printed


@dataclass(frozen=True)
class Counter:
    """A field of complexity.csv, and what it is multiplied by to give a published count in millions or 1e9."""

    field: str
    factor: float


COUNTERS = {
    "parameters": Counter("parameters", 1e-6),
    "thop_parameters": Counter("thop_parameters", 1e-6),
    "thop_macs": Counter("thop_macs", 1e-9),
    "twice_thop_macs": Counter("thop_macs", 2e-9),
    "ptflops_macs": Counter("ptflops_macs", 1e-9),
}


def beyond_counts(evidence: Evidence) -> dict[str, dict[str, CountComparison]]:
    """network -> "params_m" and "gflops" -> the published count beside ours, for every network not in the paper."""
    printed = {(each.network, each.metric): each for each in evidence.beyond}
    return {
        network: {
            column.name: _compared(column, printed.get((network, column.name)), network, evidence) for column in COUNTS
        }
        for network in BEYOND
    }


def _compared(column: Count, printed: Printed | None, network: str, evidence: Evidence) -> CountComparison:
    """Reproduced: what its counter says gives the published digits, rounded or truncated."""
    if printed is None:
        return compare_count(column, None, network, evidence)
    counter, known = COUNTERS[printed.counter], evidence.complexity.get(network, {})
    counted = known[counter.field] * counter.factor if counter.field in known else None
    unit = 10.0**-printed.digits
    found = verdict(printed.value, counted, (-0.5 * unit, 0.999 * unit), counted=True)
    reason = NOT_COUNTED
    if counted is not None:
        word = "Published" if found is Verdict.REPRODUCED else "Not reproduced: published"
        reason = f"{word} {printed.value:.{printed.digits}f}, counted {counted:.6f}: {printed.definition}."
    return CountComparison(
        column.name, printed.value, counted, printed.definition, found, reason, digits=printed.digits
    )
