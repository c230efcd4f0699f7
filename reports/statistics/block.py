"""The runs of one data set and recipe with all their statistics, each computed when it is first asked for, and once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from reports.statistics.contrasts import Contrast, Interval, contrasts, intervals
from reports.statistics.estimates import Sample, sample
from reports.statistics.ranks import Rank, ranks
from reports.statistics.standing import Standing, standing
from results.metrics import COUNT_COLUMNS, Metric
from results.runs import Run

Result = TypeVar("Result")


@dataclass(frozen=True)
class RunBlock:
    """`networks`: name -> its runs, at least one each, all scored on the same images. Lists keep its order."""

    dataset: str
    recipe: str
    networks: Mapping[str, Sequence[Run]]
    _known: dict[tuple, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def runs(self) -> list[Run]:
        return [run for runs in self.networks.values() for run in runs]

    @cached_property
    def counts(self) -> dict[str, np.ndarray]:
        """network -> (S, N, 4) counts."""
        return {network: stack(runs) for network, runs in self.networks.items()}

    def samples(self, metric: Metric) -> dict[str, Sample]:
        return self._once(
            "samples", metric, lambda: {network: sample(metric, counts) for network, counts in self.counts.items()}
        )

    def intervals(self, metric: Metric) -> list[Interval]:
        return self._once("intervals", metric, lambda: intervals(self.samples(metric)))

    def contrasts(self, metric: Metric) -> list[Contrast]:
        return self._once("contrasts", metric, lambda: contrasts(self.samples(metric)))

    def ranks(self, metric: Metric) -> list[Rank]:
        return self._once("ranks", metric, lambda: ranks(self.counts, metric))

    def standing(self, metric: Metric) -> Standing:
        return standing(metric, self.intervals(metric), self.contrasts(metric))

    def _once(self, what: str, metric: Metric, compute: Callable[[], Result]) -> Result:
        """Metrics that differ in name or heading alone (mIoU is the pooled foreground IoU) share their numbers."""
        key = (what, metric.function, metric.pooled, metric.better)
        if key not in self._known:
            self._known[key] = compute()
        return self._known[key]


def stack(runs: Sequence[Run]) -> np.ndarray:
    """(S, N, 4) counts of one network's runs: seeds in rising order, images in order of id."""
    rising = sorted(runs, key=lambda run: run.cell.seed)
    return stacked([run.per_image for run in rising])


def stacked(tables: Sequence[pd.DataFrame]) -> np.ndarray:
    """(S, N, 4) counts of tables of the same N images, in order of id."""
    return np.stack([table.sort_index()[list(COUNT_COLUMNS)].to_numpy() for table in tables])
