"""The test of two networks on simulated runs whose truth is known: its level, its power, and coverage.

Each draw has new images and new trainings. An image has a difficulty that all networks share, an effect of its own
for each network that all seeds share (what one training finds hard, the next one does too), and a rest for each seed;
a seed shifts all images of its network. Spreads are in IoU.

Rule: the share of rejected draws may exceed the nominal one by chance. A setting fails where its number of rejections
has a probability below 1 in 10,000 at the nominal level, so that 30 settings together raise a false alarm in 3 of
1,000 changes of the seeds below, and the mean over all settings of one kind must not exceed the nominal level at all.
"""

from dataclasses import dataclass

import numpy as np
import pytest
from scipy import stats

from reports.statistics.contrasts import ALPHA, holm
from reports.statistics.estimates import of_difference, of_one, sample
from results.metrics import DEFINITIONS, METRICS, metric_named

DRAWS = 500
MIOU = metric_named("iou")
PIXELS = 65_536


@dataclass(frozen=True)
class World:
    """Images as all networks see them: (D, 1, N) areas in pixels and difficulties."""

    area: np.ndarray
    difficulty: np.ndarray

    @classmethod
    def drawn(cls, rng: np.random.Generator, images: int, draws: int = DRAWS) -> "World":
        area = np.clip(rng.lognormal(9, 0.7, (draws, 1, images)), 500, 60_000)
        return cls(area, 0.08 * (1 - rng.exponential(size=(draws, 1, images))))

    def network(
        self, rng: np.random.Generator, seeds: int, spread: float, quality: float = 0.80, own: float = 0.06
    ) -> np.ndarray:
        """(D, S, N, 4) counts of one network whose IoU is about `quality`."""
        draws, _, images = self.area.shape
        iou = quality + self.difficulty + own * rng.normal(size=(draws, 1, images))
        iou = iou + spread * rng.normal(size=(draws, seeds, 1)) + 0.04 * rng.normal(size=(draws, seeds, images))
        union = np.broadcast_to(np.round(self.area), iou.shape)
        tp = np.round(np.clip(iou, 0, 1) * union)
        fp = np.round((union - tp) * rng.beta(4, 4, (draws, 1, images)))
        return np.stack([tp, fp, union - tp - fp, PIXELS - union], axis=-1)


def p_values(
    rng: np.random.Generator, images: int, seeds: tuple[int, int], spreads: tuple[float, float], gap: float = 0.0
) -> np.ndarray:
    """(D,) p of two networks, the second worse by `gap` of IoU."""
    world = World.drawn(rng, images)
    first, second = (
        sample(MIOU, world.network(rng, count, spread, quality))
        for count, spread, quality in zip(seeds, spreads, (0.80, 0.80 - gap), strict=True)
    )
    return of_difference(first, second).p


def most(level: float, draws: int = DRAWS) -> int:
    """More rejections than this have a probability below 1 in 10,000."""
    return int(stats.binom.ppf(1 - 1e-4, draws, level))


def test_equal_networks_are_called_different_at_most_at_the_nominal_rate() -> None:
    rejected = {}
    for seeds in (3, 5):
        for spread in (0.0, 0.005, 0.01, 0.015):
            rng = np.random.default_rng([seeds, round(1000 * spread)])
            p = p_values(rng, 200, (seeds, seeds), (spread, spread))
            rejected[seeds, spread] = np.count_nonzero(p < ALPHA)
    assert max(rejected.values()) <= most(ALPHA), rejected
    assert np.mean(list(rejected.values())) <= ALPHA * DRAWS, rejected
    assert min(rejected.values()) > 0, "a test that never rejects would be no test"


@pytest.mark.parametrize(
    ("images", "seeds", "spreads"),
    [
        (10, (3, 3), (0.01, 0.01)),
        (30, (3, 5), (0.0, 0.03)),
        (60, (3, 10), (0.03, 0.005)),
        (400, (3, 5), (0.02, 0.002)),
        (400, (3, 3), (0.002, 0.02)),
        (100, (10, 10), (0.05, 0.05)),
    ],
)
def test_unequal_seeds_and_spreads_keep_the_level(images: int, seeds: tuple, spreads: tuple) -> None:
    p = p_values(np.random.default_rng([images, *seeds]), images, seeds, spreads)
    assert np.count_nonzero(p < ALPHA) <= most(ALPHA)
    assert np.count_nonzero(p < 0.005) <= most(0.005)  # the levels that Holm's correction needs


def test_every_metric_keeps_the_level() -> None:
    rng = np.random.default_rng(5)
    world = World.drawn(rng, 150)
    first, second = (world.network(rng, seeds, 0.01) for seeds in (3, 5))
    for metric in (*METRICS, *DEFINITIONS):
        p = of_difference(sample(metric, first), sample(metric, second)).p
        assert 0 < np.count_nonzero(p < ALPHA) <= most(ALPHA), metric.name


def test_six_equal_networks_are_rarely_separated_anywhere() -> None:
    """Families: in at most the nominal share of draws any of the 15 pairs differs after Holm's correction."""
    rng = np.random.default_rng(6)
    world = World.drawn(rng, 100)
    drawn = [sample(MIOU, world.network(rng, 3, 0.01)) for _ in range(6)]
    p = np.stack([of_difference(a, b).p for k, a in enumerate(drawn) for b in drawn[k + 1 :]], axis=1)
    wrong = sum(min(holm(family.tolist())) < ALPHA for family in p)
    assert wrong <= most(ALPHA)
    assert wrong < np.count_nonzero((p < ALPHA).any(axis=1))  # without a correction far more


def test_one_network_taken_for_many_images_would_not_keep_the_level() -> None:
    """What this simulation is for: each (image, seed) as an independent case calls equal networks different."""
    rng = np.random.default_rng(7)
    world = World.drawn(rng, 200)
    metric = metric_named("iou_per_image")
    first, second = (metric(world.network(rng, 5, 0.015)) for _ in range(2))
    p = stats.ttest_rel(first.reshape(DRAWS, -1), second.reshape(DRAWS, -1), axis=1).pvalue
    assert np.count_nonzero(p < ALPHA) > 0.4 * DRAWS


@pytest.mark.parametrize(
    ("seeds", "spread", "power"), [(5, 0.0, 0.95), (5, 0.005, 0.85), (5, 0.01, 0.5), (3, 0.0, 0.9), (3, 0.005, 0.6)]
)
def test_a_difference_of_two_points_is_found(seeds: int, spread: float, power: float) -> None:
    """At 520 images, the size of the test split of ISIC2018, by the p of one pair."""
    p = p_values(np.random.default_rng([8, seeds]), 520, (seeds, seeds), (spread, spread), gap=0.02)
    assert np.mean(p < ALPHA) >= power


def test_intervals_hold_the_truth() -> None:
    rng = np.random.default_rng(9)
    truth = float(MIOU.over_images(World.drawn(rng, 200_000, 1).network(rng, 1, 0.0))[0, 0])
    world = World.drawn(rng, 200)
    for seeds, spread in ((1, 0.0), (3, 0.01), (5, 0.015)):
        found = of_one(sample(MIOU, world.network(rng, seeds, spread)))
        missed = np.count_nonzero((truth < found.low) | (found.high < truth))
        assert missed <= most(0.05), (seeds, spread, missed)
