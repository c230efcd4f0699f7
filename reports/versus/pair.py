"""Two networks that scored the same images: which is better, by how much, how sure that is, and on which images.

Letters: S seeds, N images.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from reports.statistics.block import stack
from reports.statistics.contrasts import ALPHA, ENOUGH_SEEDS
from reports.statistics.estimates import Estimate, of_difference, sample
from results.errors import RequestError
from results.metrics import METRICS, Metric, metric_named
from results.runs import Run

IOU = metric_named("iou")
FAILED = 0.5  # IoU of an image below which a network is said to have failed on it
SHOWN = 20  # images on each list


@dataclass(frozen=True)
class Side:
    """One of the two."""

    name: str
    """In words."""
    runs: Sequence[Run]

    @cached_property
    def counts(self) -> np.ndarray:
        """(S, N, 4), images in order of id."""
        return stack(self.runs)

    @cached_property
    def per_image(self) -> np.ndarray:
        """(N,) IoU of each image, mean over seeds."""
        return np.asarray(IOU(self.counts).mean(axis=0))

    @property
    def ids(self) -> list[str]:
        return sorted(self.runs[0].per_image.index)


@dataclass(frozen=True)
class Pair:
    """Both, on the same images. Raises RequestError where they scored others."""

    first: Side
    second: Side

    def __post_init__(self) -> None:
        for side in (self.first, self.second):
            if len({run.truth for run in side.runs}) > 1:
                raise RequestError(f"The runs of {side.name} scored different images; name one of them.")
        if self.first.runs[0].truth != self.second.runs[0].truth:
            raise RequestError(
                f"{self.first.name} and {self.second.name} scored other images or masks; only runs on the same test "
                "images can be compared."
            )

    def difference(self, metric: Metric) -> Estimate:
        """First minus second, a fraction."""
        return of_difference(sample(metric, self.first.counts), sample(metric, self.second.counts))

    @cached_property
    def gaps(self) -> np.ndarray:
        """(N,) first minus second, IoU of each image."""
        return self.first.per_image - self.second.per_image

    @property
    def wins(self) -> tuple[float, float, float]:
        """Shares of images on which the first, the second, and neither has the higher IoU."""
        return float((self.gaps > 0).mean()), float((self.gaps < 0).mean()), float((self.gaps == 0).mean())

    @property
    def apart(self) -> list[str]:
        """Ids of the images on which they differ most, the largest difference first."""
        return [self.first.ids[k] for k in np.argsort(-np.abs(self.gaps), kind="stable")[:SHOWN]]

    @property
    def both_fail(self) -> list[str]:
        """Ids of the images on which even the better one has an IoU below `FAILED`, the worst first."""
        better = np.maximum(self.first.per_image, self.second.per_image)
        return [self.first.ids[k] for k in np.argsort(better, kind="stable")[:SHOWN] if better[k] < FAILED]

    @property
    def seeds(self) -> tuple[int, int]:
        return len(self.first.runs), len(self.second.runs)

    @property
    def verdict(self) -> str:
        """Whether the difference of the pooled IoU is more than chance, in words."""
        if min(self.seeds) < ENOUGH_SEEDS:
            return f"too few seeds to test a difference: {ENOUGH_SEEDS} of each are needed"
        p = float(self.difference(IOU).p)
        better = self.first if self.difference(IOU).value > 0 else self.second
        if p < ALPHA:
            return f"{better.name} is better: so large a difference is rare between equal networks (p = {p:.2g})"
        return f"not separated from chance (p = {p:.2g})"

    def table(self) -> pd.DataFrame:
        """One row per metric, in percent points."""
        rows = []
        for metric in METRICS:
            found = self.difference(metric)
            values = [float(100 * metric.over_images(side.counts).mean()) for side in (self.first, self.second)]
            ends = (100 * float(end) for end in (found.value, found.low, found.high))
            rows.append((metric.own_heading, *values, *ends, float(found.p)))
        return pd.DataFrame(rows, columns=["metric", "first", "second", "difference", "low", "high", "p"])

    def images(self) -> pd.DataFrame:
        """One row per image: id, IoU of both, and the difference, as fractions."""
        columns = {"id": self.first.ids, "first": self.first.per_image, "second": self.second.per_image}
        return pd.DataFrame(columns | {"difference": self.gaps})
