"""How stable a ranking is when images and seeds are drawn again.

Images are drawn with replacement, the same for all networks; seeds are drawn for each network by itself. Of S seeds
only S - 1 are drawn: the mean of S drawn ones would spread too little, by a factor of (S - 1) / S in its variance,
which matters for three seeds (J. N. K. Rao and C. F. J. Wu, Journal of the American Statistical Association 83, 1988).
With one seed, images alone are drawn again. The generator's seed is fixed: the same runs always give the same table.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from reports.statistics.estimates import CONFIDENCE, NEGLIGIBLE
from results.metrics import Metric

DRAWS = 2000
WHAT_THE_RANKS_SAY = (
    f"Ranks over {DRAWS:,} draws of images and seeds: the range that holds the middle 95 % of them, and how often each "
    "network is first (ties share the first place). A ranking whose ranges overlap may come out otherwise next time."
)


@dataclass(frozen=True)
class Rank:
    """A network's place in its block, 1 being best (ties share the better place), and over draws."""

    network: str
    rank: int
    low: int
    high: int
    first: float  # share of draws


def ranks(networks: Mapping[str, np.ndarray], metric: Metric, draws: int = DRAWS) -> list[Rank]:
    """`networks`: name -> (S, N, 4) counts; one rank for each, in the given order."""
    counts = list(networks.values())
    observed = _places(np.array([[metric.over_images(each).mean() for each in counts]]), metric)[0]
    redrawn = resampled(counts, metric, draws)
    places = _places(redrawn, metric)
    leads = places == 1
    shares = (leads / leads.sum(axis=1, keepdims=True)).mean(axis=0)
    tails = ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)
    low, high = np.quantile(places, tails, axis=0, method="inverted_cdf")
    return [
        Rank(network, int(observed[k]), int(low[k]), int(high[k]), float(shares[k]))
        for k, network in enumerate(networks)
    ]


def resampled(counts: Sequence[np.ndarray], metric: Metric, draws: int) -> np.ndarray:
    """One (S, N, 4) per network to (R, networks): means over seeds when images and seeds are drawn again."""
    rng = np.random.default_rng(0)
    images = counts[0].shape[1]
    times = rng.multinomial(images, np.full(images, 1 / images), draws).astype(np.float64)
    means = []
    for each in counts:
        seeds = each.shape[0]
        chosen = rng.integers(0, seeds, (draws, max(seeds - 1, 1)))
        means.append(np.take_along_axis(metric.of_resamples(each, times), chosen, axis=1).mean(axis=1))
    return np.stack(means, axis=1)


def _places(means: np.ndarray, metric: Metric) -> np.ndarray:
    """(R, networks) means to places: one more than the number of networks that are better by more than rounding."""
    merits = means if metric.better == "higher" else -means
    return 1 + (merits[:, None, :] > merits[:, :, None] + NEGLIGIBLE).sum(axis=-1)
