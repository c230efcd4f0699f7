"""Intervals and tests from two sources of chance: the images that were scored, and the seeds that were trained.

Shapes: S seeds, N images; the last axis of counts is (tp, fp, fn, tn) in pixels. Leading axes, written "...", stand for
independent repetitions, so that a simulation is one call.

A network's value is the mean over seeds of its metric. Its variance is V = V_images + s^2 / S, where V_images is the
jackknife over images of that mean (an image is left out for all seeds at once: the seeds of one network find the same
images hard) and s is the standard deviation of the metric over seeds. For a difference of two networks the same image
is left out of both, because images are shared; their seeds are independent, because one number starts different
weights in different networks: V = V_images + s_a^2 / S_a + s_b^2 / S_b.

The difference over the root of V is held against Student's t. V_images has N - 1 degrees of freedom, the seeds' part
those of Welch and Satterthwaite, and the critical value is the mean of both quantiles weighted by the two parts of V
(Cochran and Cox). One Welch-Satterthwaite number for all three parts is more usual and has more power, but calls up to
7 % of equal networks different at 5 %, and five times too many at the levels that Holm's correction needs, where three
seeds meet unequal spreads. What differs between seeds from image to image is in both parts, which errs to the safe
side as well.

Sources: B. L. Welch, Biometrika 34 (1947); F. E. Satterthwaite, Biometrics Bulletin 2 (1946); W. G. Cochran and
G. M. Cox, Experimental Designs (1950), section 4.14; B. Efron and C. Stein, Annals of Statistics 9 (1981): the
jackknife estimate of a variance errs upwards.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from results.metrics import Metric

CONFIDENCE = 0.95
NEGLIGIBLE = 1e-12  # a difference of fractions that rounding alone can make
HALVINGS = 60  # of the interval in which p is sought


@dataclass(frozen=True)
class Sample:
    """One network's runs under one metric. `without`: mean over seeds of the metric without each image."""

    values: np.ndarray  # (..., S)
    without: np.ndarray  # (..., N), NaN where N is 1

    @property
    def mean(self) -> np.ndarray:
        """(...) mean over seeds."""
        return self.values.mean(axis=-1)


@dataclass(frozen=True)
class Estimate:
    """A value with what is known of its error: (...) arrays.

    `images` and `seeds` are the two parts of the variance; where no network has two seeds, `seeds` is 0 and the
    interval speaks of the images alone. `p` is two-sided, for the value 0. With a single image nothing is known of the
    images: the interval is all that is possible, and p is 1.
    """

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    images: np.ndarray
    seeds: np.ndarray
    p: np.ndarray

    @property
    def standard_error(self) -> np.ndarray:
        return np.sqrt(self.images + self.seeds)

    @property
    def share_of_images(self) -> np.ndarray:
        """(...) share of the variance that the images contribute; 1 where nothing varies."""
        return _share(self.images, self.seeds)


@dataclass(frozen=True)
class _Variance:
    """Both parts of a variance, (...), and the degrees of freedom of each."""

    images: np.ndarray
    seeds: np.ndarray
    df_images: float
    df_seeds: np.ndarray

    def critical(self, p: np.ndarray | float) -> np.ndarray:
        """(...) two-sided critical value of t at the level p."""
        share = _share(self.images, self.seeds)
        of_images = -special.stdtrit(self.df_images, np.asarray(p) / 2)
        return share * of_images - (1 - share) * special.stdtrit(self.df_seeds, np.asarray(p) / 2)

    def p(self, t: np.ndarray) -> np.ndarray:
        """(...) level at which |t| is critical; it lies between the p values of either part alone."""
        ends = np.stack([2 * special.stdtr(df, -np.abs(t)) for df in (self.df_images, self.df_seeds)])
        low, high = ends.min(axis=0), ends.max(axis=0)
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            beyond = self.critical(middle) < np.abs(t)
            low, high = np.where(beyond, low, middle), np.where(beyond, middle, high)
        return high


def sample(metric: Metric, counts: np.ndarray) -> Sample:
    """(..., S, N, 4) counts under one metric."""
    values = metric.over_images(counts)
    if counts.shape[-2] < 2:
        return Sample(values, np.full((*values.shape[:-1], 1), np.nan))
    return Sample(values, metric.without_each_image(counts).mean(axis=-2))


def of_one(network: Sample) -> Estimate:
    """The mean over seeds of one network's metric."""
    return _estimate(network.mean, network.without, [network.values], (0.0, 1.0))


def of_difference(first: Sample, second: Sample) -> Estimate:
    """First minus second: two networks scored on the same images, in the same order."""
    assert first.without.shape[-1] == second.without.shape[-1], "networks of a block are scored on the same images"
    without = first.without - second.without
    return _estimate(first.mean - second.mean, without, [first.values, second.values], (-1.0, 1.0))


def _estimate(
    value: np.ndarray, without: np.ndarray, seeds: Sequence[np.ndarray], possible: tuple[float, float]
) -> Estimate:
    """`without`: (..., N) the value without each image; `seeds`: one (..., S) per network; `possible`: the range."""
    if without.shape[-1] < 2:
        unknown = np.full(value.shape, np.inf)
        low, high = (np.full(value.shape, end) for end in possible)
        return Estimate(value, low, high, unknown, _of_seeds(seeds)[0], np.ones(value.shape))
    df_images = without.shape[-1] - 1
    of_seeds, df_seeds = _of_seeds(seeds)
    variance = _Variance(df_images * without.var(axis=-1), of_seeds, df_images, df_seeds)
    error = np.sqrt(variance.images + variance.seeds)
    reach = variance.critical(1 - CONFIDENCE) * error
    low, high = (np.clip(value + sign * reach, *possible) for sign in (-1, 1))
    varies = error > NEGLIGIBLE
    p = variance.p(np.divide(value, error, out=np.zeros_like(error), where=varies))
    p = np.where(varies, p, np.where(np.abs(value) > NEGLIGIBLE, 0.0, 1.0))
    return Estimate(value, low, high, variance.images, variance.seeds, p)


def _of_seeds(seeds: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """One (..., S) per network to the (...) variance of a sum of their means and its Welch-Satterthwaite df.

    A network with one seed contributes nothing, because nothing is known; where nothing varies, df is 1.
    """
    parts = [np.zeros(seeds[0].shape[:-1])]
    own = [1]
    for each in seeds:
        size = each.shape[-1]
        if size > 1:
            parts.append(each.var(axis=-1, ddof=1) / size)
            own.append(size - 1)
    total = np.sum(parts, axis=0)
    varies = total > NEGLIGIBLE**2
    shares = np.divide(parts, total, out=np.zeros_like(np.stack(parts)), where=varies)
    inverse = np.sum([share**2 / df for share, df in zip(shares, own, strict=True)], axis=0)
    return total, np.divide(1, inverse, out=np.ones_like(total), where=varies)


def _share(images: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    """images / (images + seeds), 1 where both are 0."""
    if np.isinf(images).any():
        return np.ones_like(images)
    total = images + seeds
    return np.divide(images, total, out=np.ones_like(total), where=total > NEGLIGIBLE**2)
