"""The state of one block in few words: who leads, and which differences are separated."""

from collections.abc import Sequence
from dataclasses import dataclass

from reports.statistics.contrasts import Contrast, Finding, Interval
from results.metrics import Metric


@dataclass(frozen=True)
class Standing:
    """Networks of one block, best first, and its pairs as (better, worse): those that differ, and the other ones."""

    metric: Metric
    networks: list[Interval]
    separated: list[tuple[str, str]]
    not_separated: list[tuple[str, str]]
    too_few_seeds: list[tuple[str, str]]

    @property
    def leaders(self) -> list[str]:
        """The network with the best mean, and those that it is not separated from; best first."""
        best = self.networks[0].network
        beaten = {worse for better, worse in self.separated if better == best}
        return [each.network for each in self.networks if each.network not in beaten]


def standing(metric: Metric, intervals: Sequence[Interval], contrasts: Sequence[Contrast]) -> Standing:
    """Of the intervals and contrasts of one metric, of at least one network. Ties keep the given order."""
    sign = -1 if metric.better == "higher" else 1
    pairs: dict[Finding, list[tuple[str, str]]] = {finding: [] for finding in Finding}
    for each in contrasts:
        pairs[each.finding].append(_better_first(each, sign))
    return Standing(
        metric=metric,
        networks=sorted(intervals, key=lambda each: sign * each.mean),
        separated=pairs[Finding.DIFFERS],
        not_separated=pairs[Finding.NOT_SEPARATED],
        too_few_seeds=pairs[Finding.TOO_FEW_SEEDS],
    )


def _better_first(pair: Contrast, sign: int) -> tuple[str, str]:
    return (pair.first, pair.second) if sign * pair.difference <= 0 else (pair.second, pair.first)
