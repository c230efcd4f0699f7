"""Intervals and paired tests against second implementations, and on data whose answer is known."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from reports.statistics import WHY_NO_TEST_OVER_SEEDS, contrasts, holm, interval, stack, summary
from results.store import Cell, Run


def lesions(rng: np.random.Generator, seeds: int, images: int, error: float = 0.15, luck: float = 0.0) -> np.ndarray:
    """(S, N, 4) counts of 1,000 pixels; an image keeps lesion and difficulty over seeds, `luck` spreads the seeds."""
    area = rng.integers(50, 500, images)
    hardness = error * rng.lognormal(0, 0.5, images) * np.exp(luck * rng.normal(size=(seeds, 1)))
    missed = rng.binomial(area, np.minimum(hardness * rng.uniform(0.5, 1.5, (seeds, images)), 0.9))
    extra = rng.binomial(area, np.minimum(hardness * rng.uniform(0.5, 1.5, (seeds, images)), 0.9))
    return np.stack([area - missed, extra, missed, 1000 - area - extra], axis=-1)


def runs(counts: np.ndarray, network: str = "a", first_seed: int = 1) -> list[Run]:
    """Stored runs that hold these counts."""
    index = [f"ISIC_{k:07d}" for k in range(counts.shape[1])]
    tables = [pd.DataFrame(each, index=index, columns=["tp", "fp", "fn", "tn"]) for each in counts]
    cells = [Cell("isic2018", "paper", network, first_seed + k) for k in range(len(tables))]
    return [Run(cell, Path(), {}, {}, table) for cell, table in zip(cells, tables, strict=True)]


def pooled_iou(counts: np.ndarray) -> float:
    """Mean over seeds, written out."""
    return float(np.mean([seed[:, 0].sum() / seed[:, :3].sum() for seed in counts]))


def plain_interval(counts: np.ndarray, resamples: int) -> np.ndarray:
    """The same bootstrap as a loop over index arrays, with draws of its own."""
    rng, (seeds, images, _) = np.random.default_rng(99), counts.shape
    values = []
    for _ in range(resamples):
        drawn = counts[:, rng.integers(0, images, images)]
        values.append(pooled_iou(drawn[rng.integers(0, seeds, seeds)] if seeds > 1 else drawn))
    return np.quantile(values, [0.025, 0.975])


@pytest.mark.parametrize("seeds", [1, 5])
def test_interval_agrees_with_a_plain_bootstrap(seeds: int) -> None:
    counts = lesions(np.random.default_rng(0), seeds, 80, luck=0.3)
    found, expected = interval(counts), plain_interval(counts, 2000)
    width = expected[1] - expected[0]
    assert [found.low, found.high] == pytest.approx(expected, abs=0.08 * width)
    assert found.low < pooled_iou(counts) < found.high


def test_interval_covers_the_truth() -> None:
    rng = np.random.default_rng(1)
    truth = pooled_iou(lesions(rng, 1, 50_000))
    hits = 0
    for _ in range(100):
        found = interval(lesions(rng, 1, 120), resamples=400)
        hits += found.low <= truth <= found.high
    assert 86 <= hits <= 100  # 95 expected; below 86 has probability 0.0002


def test_interval_is_the_same_every_time() -> None:
    counts = lesions(np.random.default_rng(2), 3, 40)
    assert interval(counts) == interval(counts)


def plain_permutation_test(first: np.ndarray, second: np.ndarray, permutations: int) -> float:
    """scipy's paired permutation test over (image, seed), samples coded as row numbers of one table."""
    seeds, images, _ = first.shape
    rows = np.concatenate([first.reshape(-1, 4), second.reshape(-1, 4)])

    def statistic(mine: np.ndarray, theirs: np.ndarray) -> float:
        a, b = (rows[side.astype(int)].reshape(seeds, images, 4) for side in (mine, theirs))
        return pooled_iou(a) - pooled_iou(b)

    half = seeds * images
    result = stats.permutation_test(
        (np.arange(half), np.arange(half) + half),
        statistic,
        permutation_type="samples",
        vectorized=False,
        n_resamples=permutations,
        rng=np.random.default_rng(5),
    )
    return float(result.pvalue)


@pytest.mark.parametrize("error", [0.15, 0.158, 0.165])
def test_permutation_test_agrees_with_scipy(error: float) -> None:
    first = lesions(np.random.default_rng(3), 2, 60)
    second = lesions(np.random.default_rng(3), 2, 60, error)
    second[:, ::3] = lesions(np.random.default_rng(4), 2, 60, 0.15)[:, ::3]
    found = contrasts({"a": runs(first), "b": runs(second)})[0]
    expected = plain_permutation_test(first, second, 3000)
    assert found.difference == pytest.approx(pooled_iou(first) - pooled_iou(second), abs=1e-12)
    assert found.p == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / 3000) + 0.001)


def test_identical_networks_have_p_1() -> None:
    counts = lesions(np.random.default_rng(6), 5, 50)
    found = contrasts({"a": runs(counts), "b": runs(counts)})[0]
    assert (found.difference, found.p, found.holm) == (0, 1, 1)


def test_equal_networks_rarely_differ() -> None:
    rng, low = np.random.default_rng(7), 0
    for _ in range(60):
        area_and_twin = lesions(rng, 4, 50)
        first, second = area_and_twin[:2], area_and_twin[2:]
        low += contrasts({"a": runs(first), "b": runs(second)}, permutations=499)[0].p <= 0.05
    assert low <= 9  # 3 expected; above 9 has probability 0.0006


def test_known_difference_is_found() -> None:
    counts = lesions(np.random.default_rng(8), 5, 100)
    worse = counts.copy()
    worse[..., 0] -= counts[..., 0] // 50  # two percent of the hits become misses
    worse[..., 2] += counts[..., 0] // 50
    found = contrasts({"a": runs(counts), "b": runs(worse)})[0]
    assert found.difference > 0.01
    assert found.p == pytest.approx(1 / 10_000)


def test_pairs_share_seeds() -> None:
    counts = lesions(np.random.default_rng(9), 4, 30)
    networks = {"a": runs(counts[:3]), "b": runs(counts[1:], first_seed=2), "c": runs(counts[:1], first_seed=9)}
    found = contrasts(networks)
    assert [(each.first, each.second, each.seeds) for each in found] == [("a", "b", (2, 3))]
    assert found[0].difference == 0  # seeds 2 and 3 hold the same counts in both


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1, 1]
    assert holm([]) == []


def test_both_definitions_by_hand() -> None:
    counts = np.array([[[10, 0, 0, 90], [10, 10, 20, 60]]])
    found = summary("a", runs(counts))
    assert found.pooled["miou"].mean == pytest.approx(20 / 50)
    assert found.per_image["miou"] == pytest.approx((1 + 10 / 40) / 2)
    assert found.pooled["dsc"].mean == pytest.approx(40 / 70)


def test_images_are_paired_by_id() -> None:
    counts = lesions(np.random.default_rng(10), 1, 20)
    first = runs(counts)
    shuffled = [Run(run.cell, run.folder, {}, {}, run.per_image.sample(frac=1, random_state=0)) for run in first]
    assert np.array_equal(stack(first), stack(shuffled))


def test_why_five_seeds_are_no_test() -> None:
    gain = np.array([0.010, 0.011, 0.012, 0.013, 0.014])
    result = stats.permutation_test((gain, np.zeros(5)), lambda a, b: np.mean(a - b), permutation_type="samples")
    assert result.pvalue == 0.0625
    assert "0.0625" in WHY_NO_TEST_OVER_SEEDS
