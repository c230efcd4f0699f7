"""How sure we are: intervals, paired tests, and the two definitions of a metric side by side.

Shapes: S seeds, N images, R resamples; the last axis of counts is (tp, fp, fn, tn) in pixels. Every random draw here
has a fixed seed, so that the same stored runs always give the same page.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy import stats

from reports.compare import Measured, measure
from results.metrics import METRICS, Metric, per_image_mean
from results.store import Run

CONFIDENCE = 0.95
BOOTSTRAP_RESAMPLES = 2000
PERMUTATIONS = 9999  # fine enough for a Holm-corrected p below 0.05 among 400 pairs
ALPHA = 0.05

WHY_NO_TEST_OVER_SEEDS = (
    "Five seeds are too few for a test of their own: paired by seed they allow only 2^5 = 32 sign patterns, so that no "
    "difference, however large, could reach a two-sided p below 2/32 = 0.0625."
)
WHAT_THE_TEST_SAYS = (
    "Within each pair of (image, seed) the two networks' pixel counts are swapped with probability 1/2, and p is the "
    "share of 9,999 such shufflings whose difference of pooled mIoU (mean over seeds) is at least as large as the one "
    "observed; Holm's correction runs over all pairs of the block. It speaks of these trained networks on images like "
    "these; whether other trainings would agree is for the standard deviation over seeds to suggest."
)
WHAT_THE_INTERVAL_SAYS = (
    "95 % percentile bootstrap interval of the pooled mIoU (mean over seeds), drawing images and seeds again with "
    "replacement, 2,000 times; with a single seed, images alone."
)


@dataclass(frozen=True)
class Interval:
    """A bootstrap interval and the standard error behind it, as fractions."""

    low: float
    high: float
    standard_error: float


@dataclass(frozen=True)
class Summary:
    """One network in one block: each metric pooled and as a mean over images, and the interval of the pooled mIoU."""

    network: str
    pooled: dict[str, Measured]
    per_image: dict[str, float]  # mean over seeds
    interval: Interval


@dataclass(frozen=True)
class Contrast:
    """Two networks: difference of pooled mIoU (first - second, mean over their common seeds), p, and p after Holm."""

    first: str
    second: str
    difference: float
    p: float
    holm: float
    seeds: tuple[int, ...]


def stack(runs: Sequence[Run], seeds: Sequence[int] | None = None) -> np.ndarray:
    """(S, N, 4) counts of one network's runs, images in order of id, seeds in the given (else rising) order."""
    by_seed = {run.cell.seed: run for run in runs}
    order = sorted(by_seed) if seeds is None else seeds
    return np.stack([by_seed[seed].per_image.sort_index()[["tp", "fp", "fn", "tn"]].to_numpy() for seed in order])


def metric_named(name: str) -> Metric:
    return next(metric for metric in METRICS if metric.name == name)


def interval(counts: np.ndarray, metric: str = "miou", resamples: int = BOOTSTRAP_RESAMPLES) -> Interval:
    """95 % bootstrap interval of the mean over seeds of the pooled metric, from (S, N, 4) counts."""
    function, (seeds, images, _) = metric_named(metric), counts.shape
    flat = counts.transpose(1, 0, 2).reshape(images, seeds * 4).astype(np.float64)

    def statistic(image_indices: np.ndarray, seed_indices: np.ndarray | None = None, axis: int = -1) -> np.ndarray:
        totals = _times_drawn(image_indices, images) @ flat
        values = function(totals.reshape(*totals.shape[:-1], seeds, 4))
        if seed_indices is None:
            return values.mean(axis)
        return np.take_along_axis(values, seed_indices.astype(np.intp), axis).mean(axis)

    drawn = (np.arange(images), np.arange(seeds)) if seeds > 1 else (np.arange(images),)
    result = stats.bootstrap(
        drawn,
        statistic,
        n_resamples=resamples,
        confidence_level=CONFIDENCE,
        method="percentile",
        vectorized=True,
        rng=np.random.default_rng(0),
    )
    low, high = result.confidence_interval
    return Interval(float(low), float(high), float(result.standard_error))


def _times_drawn(indices: np.ndarray, size: int) -> np.ndarray:
    """(..., N) indices below `size` to (..., size): how often each was drawn."""
    rows = indices.reshape(-1, indices.shape[-1]).astype(np.int64)
    offsets = np.arange(len(rows))[:, None] * size
    times = np.bincount((rows + offsets).ravel(), minlength=len(rows) * size)
    return times.reshape(*indices.shape[:-1], size).astype(np.float64)


def summary(network: str, runs: Sequence[Run]) -> Summary:
    """Of at least one run."""
    pooled = {metric.name: measure(runs, metric.name) for metric in METRICS}
    means = [per_image_mean(run.counts) for run in runs]
    return Summary(
        network=network,
        pooled={name: value for name, value in pooled.items() if value is not None},
        per_image={metric.name: float(np.mean([mean[metric.name] for mean in means])) for metric in METRICS},
        interval=interval(stack(runs)),
    )


def contrasts(networks: Mapping[str, Sequence[Run]], permutations: int = PERMUTATIONS) -> list[Contrast]:
    """Paired permutation tests between all networks of one block that share a seed, Holm-corrected together."""
    tested = []
    swapped = _Swaps(networks, permutations)
    for first, second in combinations(networks, 2):
        common = tuple(sorted(swapped.seeds[first] & swapped.seeds[second]))
        if common:
            tested.append((first, second, *swapped.test(first, second, common), common))
    corrected = holm([p for *_, p, _ in tested])
    return [Contrast(a, b, d, p, adjusted, c) for (a, b, d, p, c), adjusted in zip(tested, corrected, strict=True)]


class _Swaps:
    """The same coin tosses for every pair of networks: what each network would lend to a partner under each tossing.

    For a seed, a toss is a row of N zeros and ones, and `lent` = tosses @ (intersection, union) per image: (2, R).
    After the swap the first network's totals are its own, less what it lends, plus what the second lends.
    """

    def __init__(self, networks: Mapping[str, Sequence[Run]], permutations: int) -> None:
        self.seeds = {network: {run.cell.seed for run in runs} for network, runs in networks.items()}
        self.total: dict[tuple[str, int], np.ndarray] = {}
        self.lent: dict[tuple[str, int], np.ndarray] = {}
        for seed in sorted(set().union(*self.seeds.values())):
            holders = [network for network in networks if seed in self.seeds[network]]
            counts = [stack(networks[network], [seed])[0] for network in holders]
            parts = np.stack([_intersection_and_union(each) for each in counts])  # (networks, 2, N)
            tosses = np.random.default_rng(seed).integers(0, 2, (parts.shape[-1], permutations), dtype=np.int8)
            lent = (parts.reshape(-1, parts.shape[-1]) @ tosses.astype(np.float64)).reshape(*parts.shape[:2], -1)
            for k, network in enumerate(holders):
                self.total[network, seed] = parts[k].sum(axis=-1, keepdims=True)  # (2, 1)
                self.lent[network, seed] = lent[k]

    def test(self, first: str, second: str, seeds: Sequence[int]) -> tuple[float, float]:
        """Observed difference of pooled IoU, mean over seeds, and its two-sided p."""
        observed, shuffled = 0.0, np.zeros(self.lent[first, seeds[0]].shape[-1])
        for seed in seeds:
            mine, theirs = self.total[first, seed], self.total[second, seed]
            moved = self.lent[second, seed] - self.lent[first, seed]
            observed += (_iou(mine) - _iou(theirs)).item() / len(seeds)
            shuffled += (_iou(mine + moved) - _iou(theirs - moved)) / len(seeds)
        extreme = np.count_nonzero(np.abs(shuffled) >= abs(observed) - 1e-12)
        return observed, float((extreme + 1) / (len(shuffled) + 1))


def _intersection_and_union(counts: np.ndarray) -> np.ndarray:
    """(N, 4) counts to (2, N)."""
    tp, fp, fn, _ = counts.T.astype(np.float64)
    return np.stack([tp, tp + fp + fn])


def _iou(parts: np.ndarray) -> np.ndarray:
    """(2, R) intersections and unions to (R): 1 where both are empty."""
    intersection, union = parts
    return np.where(union > 0, intersection, 1) / np.where(union > 0, union, 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment: the k-th smallest of m times (m - k + 1), made monotone, at most 1."""
    if not p_values:
        return []
    values = np.asarray(p_values)
    order = np.argsort(values)
    steps = values[order] * np.arange(len(values), 0, -1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted.tolist()
