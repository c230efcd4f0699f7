"""Networks of one block against each other, and each by itself: what of their differences is more than chance."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations

import numpy as np

from reports.statistics.estimates import Estimate, Sample, of_difference, of_one

ALPHA = 0.05
ENOUGH_SEEDS = 3  # of each network: fewer say too little about the spread of trainings

WHAT_THE_TEST_SAYS = (
    f"Two networks differ where p is below {ALPHA} after Holm's correction over the pairs of this table, with at least "
    f"{ENOUGH_SEEDS} seeds of each: so large a gap would be rare between equal networks that are trained again and "
    "scored on other images like these. Not separated does not mean equal: the interval says how large the difference "
    "may be."
)
HOW_IT_IS_COMPUTED = (
    "Variance = jackknife over images of the difference of the means over seeds + s²/S of either network (s: standard "
    "deviation over its S seeds); Student's t with each source's own degrees of freedom (Welch-Satterthwaite for the "
    "seeds; Cochran and Cox to combine them with the images). Seeds are not paired: the same number starts different "
    "weights in different networks. Images are. The interval is of each pair by itself, without Holm's correction."
)
WHAT_THE_SOURCES_SAY = (
    "Images: the share of the variance that comes from which images are scored; the rest comes from the seeds. Where "
    "it is small, more seeds would narrow the interval; where it is large, only more test images would."
)


class Finding(StrEnum):
    """What can be said of a pair."""

    DIFFERS = "differs"
    NOT_SEPARATED = "not separated"
    TOO_FEW_SEEDS = "too few seeds"


@dataclass(frozen=True)
class Interval:
    """A network's mean over `seeds` seeds with its 95 % interval, as fractions; with one seed over images alone."""

    network: str
    mean: float
    low: float
    high: float
    standard_error: float
    share_of_images: float
    seeds: int


@dataclass(frozen=True)
class Contrast:
    """First minus second, as fractions. `holm` is None where a network has too few seeds: such pairs are not tested."""

    first: str
    second: str
    difference: float
    low: float
    high: float
    p: float
    holm: float | None
    share_of_images: float
    seeds: tuple[int, int]

    @property
    def finding(self) -> Finding:
        if self.holm is None:
            return Finding.TOO_FEW_SEEDS
        return Finding.DIFFERS if self.holm < ALPHA else Finding.NOT_SEPARATED


def intervals(samples: Mapping[str, Sample]) -> list[Interval]:
    """One for each network, in the given order."""
    return [_interval(network, drawn) for network, drawn in samples.items()]


def _interval(network: str, drawn: Sample) -> Interval:
    found = of_one(drawn)
    return Interval(
        network=network,
        mean=float(found.value),
        low=float(found.low),
        high=float(found.high),
        standard_error=float(found.standard_error),
        share_of_images=float(found.share_of_images),
        seeds=drawn.values.shape[-1],
    )


def contrasts(samples: Mapping[str, Sample]) -> list[Contrast]:
    """Every pair of networks of one block, in the given order; Holm's correction over those with enough seeds."""
    pairs = list(combinations(samples, 2))
    found = [of_difference(samples[first], samples[second]) for first, second in pairs]
    seeds = [(samples[first].values.shape[-1], samples[second].values.shape[-1]) for first, second in pairs]
    tested = [k for k, each in enumerate(seeds) if min(each) >= ENOUGH_SEEDS]
    corrected = dict(zip(tested, holm([float(found[k].p) for k in tested]), strict=True))
    return [_contrast(*pairs[k], found[k], corrected.get(k), seeds[k]) for k in range(len(pairs))]


def _contrast(first: str, second: str, found: Estimate, corrected: float | None, seeds: tuple[int, int]) -> Contrast:
    return Contrast(
        first=first,
        second=second,
        difference=float(found.value),
        low=float(found.low),
        high=float(found.high),
        p=float(found.p),
        holm=corrected,
        share_of_images=float(found.share_of_images),
        seeds=seeds,
    )


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
