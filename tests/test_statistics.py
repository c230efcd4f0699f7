"""Intervals, tests and Holm's correction against second implementations, by hand, and where nothing varies."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

from reports.statistics.block import RunBlock, stack
from reports.statistics.contrasts import ENOUGH_SEEDS, Finding, holm
from reports.statistics.estimates import Sample, of_difference, of_one, sample
from results.cell import Cell
from results.metrics import DEFINITIONS, METRICS, Metric, metric_named
from results.runs import Run

MIOU = metric_named("iou")
ALL = (*METRICS, *DEFINITIONS)


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


def of_block(networks: dict[str, list[Run]]) -> RunBlock:
    return RunBlock("isic2018", "paper", networks)


def value(metric: Metric, images: np.ndarray) -> float:
    """The metric of (N, 4) counts, written out."""
    if metric.pooled:
        return float(metric(images.sum(axis=0)))
    return float(np.mean([float(metric(image)) for image in images]))


def parts(metric: Metric, networks: list[np.ndarray]) -> tuple[float, float, list[float], list[int]]:
    """First minus second (or the only one), V_images and each network's s^2 / S with its df, as loops."""
    signs, images = (1, -1), networks[0].shape[1]

    def mean(kept: list[int]) -> float:
        return sum(
            sign * float(np.mean([value(metric, seed[kept]) for seed in each]))
            for sign, each in zip(signs, networks, strict=False)
        )

    everything = list(range(images))
    left_out = [mean(everything[:k] + everything[k + 1 :]) for k in everything]
    v_images = (images - 1) / images * sum((x - np.mean(left_out)) ** 2 for x in left_out)
    v_seeds, df = [], []
    for each in networks:
        values = [value(metric, seed) for seed in each]
        if len(values) > 1:
            v_seeds.append(stats.sem(values) ** 2)
            df.append(len(values) - 1)
    return mean(everything), v_images, v_seeds, df


def written_out(metric: Metric, *networks: np.ndarray) -> tuple[float, float, float, float]:
    """Value, ends of the interval and p by the formula, with scipy's distributions and a root finder."""
    found, v_images, v_seeds, df = parts(metric, list(networks))
    seeds = sum(v_seeds)
    df_seeds = seeds**2 / sum(v**2 / each for v, each in zip(v_seeds, df, strict=True)) if v_seeds else 1.0
    share, error = v_images / (v_images + seeds), np.sqrt(v_images + seeds)

    def critical(p: float) -> float:
        own = (stats.t.ppf(1 - p / 2, each) for each in (networks[0].shape[1] - 1, df_seeds))
        return float(np.dot((share, 1 - share), list(own)))

    if critical(1e-12) < abs(found) / error:
        p = 0.0
    else:
        p = optimize.brentq(lambda p: critical(p) - abs(found) / error, 1e-12, 1 - 1e-12, xtol=1e-14)
    return found, found - critical(0.05) * error, found + critical(0.05) * error, p


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: metric.name)
@pytest.mark.parametrize("seeds", [(3, 3), (5, 2), (1, 4), (1, 1)])
def test_difference_agrees_with_the_formula_written_out(metric: Metric, seeds: tuple[int, int]) -> None:
    first = lesions(np.random.default_rng(0), seeds[0], 30, luck=0.2)
    second = lesions(np.random.default_rng(1), seeds[1], 30, 0.17, luck=0.1)
    found = of_difference(sample(metric, first), sample(metric, second))
    expected = written_out(metric, first, second)
    assert [float(each) for each in (found.value, found.low, found.high)] == pytest.approx(expected[:3], abs=1e-12)
    assert float(found.p) == pytest.approx(expected[3], rel=1e-6)
    assert (expected[3] < 0.05) == (not found.low <= 0 <= found.high)


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: metric.name)
@pytest.mark.parametrize("seeds", [1, 2, 5])
def test_interval_of_one_network_agrees_with_the_formula_written_out(metric: Metric, seeds: int) -> None:
    counts = lesions(np.random.default_rng(2), seeds, 25, luck=0.2)
    found = of_block({"a": runs(counts)}).intervals(metric)[0]
    _, low, high, _ = written_out(metric, counts)
    assert (found.low, found.high) == pytest.approx((max(low, 0), min(high, 1)), abs=1e-12)
    assert found.mean == pytest.approx(np.mean([value(metric, seed) for seed in counts]), abs=1e-12)
    _, v_images, v_seeds, _ = parts(metric, [counts])
    assert found.standard_error == pytest.approx(np.sqrt(v_images + sum(v_seeds)), abs=1e-12)
    assert found.share_of_images == pytest.approx(v_images / (v_images + sum(v_seeds)))
    assert found.seeds == seeds


def test_both_parts_by_hand() -> None:
    """Two images and two seeds: half-lengths and shares that a pencil gives."""
    first = Sample(np.array([0.6, 0.8]), np.array([0.65, 0.75]))
    second = Sample(np.array([0.5, 0.5]), np.array([0.5, 0.5]))
    found = of_difference(first, second)
    assert float(found.value) == pytest.approx(0.2)
    assert float(found.images) == pytest.approx(0.0025)  # (2 - 1) / 2 * (0.05^2 + 0.05^2)
    assert float(found.seeds) == pytest.approx(0.01)  # 0.02 / 2
    assert float(found.share_of_images) == pytest.approx(0.2)
    assert float(found.standard_error) == pytest.approx(np.sqrt(0.0125))
    t = 0.2 / np.sqrt(0.0125)
    assert float(found.p) == pytest.approx(1 - 2 * np.arctan(t) / np.pi)  # Student's t of one degree of freedom
    assert (float(found.low), float(found.high)) == (-1, 1)  # 12.7 standard errors, cut at what is possible


def test_a_p_of_images_alone_is_students() -> None:
    first, second = (lesions(np.random.default_rng(k), 1, 40) for k in (3, 4))
    metric = metric_named("iou_per_image")
    found = of_difference(sample(metric, first), sample(metric, second))
    expected = stats.ttest_rel(metric(first)[0], metric(second)[0])  # a mean over images: the jackknife is exact
    assert float(found.p) == pytest.approx(expected.pvalue, rel=1e-9)
    assert [float(found.low), float(found.high)] == pytest.approx(list(expected.confidence_interval(0.95)), abs=1e-12)


@pytest.mark.parametrize("scale", [1, 1e-6])
def test_a_p_of_seeds_alone_is_welchs(scale: float) -> None:
    """Images that agree with each other: nothing but seeds is left, however little they differ."""
    rng = np.random.default_rng(5)
    first, second = 0.8 + scale * rng.normal(0, 0.02, 5), 0.8 + scale * rng.normal(-0.02, 0.01, 3)
    found = of_difference(*(Sample(values, np.full(9, values.mean())) for values in (first, second)))
    expected = stats.ttest_ind(first, second, equal_var=False)
    assert float(found.p) == pytest.approx(expected.pvalue, rel=1e-6)
    ends = expected.confidence_interval(0.95)
    assert [float(found.low), float(found.high)] == pytest.approx(list(ends), abs=1e-9 * scale)
    assert float(found.share_of_images) == pytest.approx(0, abs=1e-6)


def test_leading_axes_are_repetitions() -> None:
    rng = np.random.default_rng(6)
    first, second = (np.stack([lesions(rng, seeds, 20, luck=0.1) for _ in range(4)]) for seeds in (3, 5))
    together = of_difference(sample(MIOU, first), sample(MIOU, second))
    for k in range(4):
        alone = of_difference(sample(MIOU, first[k]), sample(MIOU, second[k]))
        for name in ("value", "low", "high", "images", "seeds", "p"):
            assert getattr(together, name)[k] == pytest.approx(float(getattr(alone, name)), rel=1e-9, abs=1e-15), name


def test_identical_networks_have_p_1_and_no_width() -> None:
    counts = lesions(np.random.default_rng(7), 1, 30).repeat(3, axis=0)
    found = of_block({"a": runs(counts), "b": runs(counts)}).contrasts(MIOU)[0]
    assert (found.difference, found.p, found.holm) == (0, 1, 1)
    assert (found.low, found.high) == pytest.approx((0, 0), abs=1e-12)
    assert found.share_of_images == 1
    assert found.finding is Finding.NOT_SEPARATED


def test_the_same_runs_in_another_order_of_seeds_have_p_1() -> None:
    counts = lesions(np.random.default_rng(8), 5, 30, luck=0.2)
    found = of_block({"a": runs(counts), "b": runs(counts[::-1])}).contrasts(MIOU)[0]
    assert found.difference == pytest.approx(0, abs=1e-15)
    assert found.p == pytest.approx(1)


@pytest.mark.parametrize("seeds", [1, 3])
def test_a_single_image_says_nothing(seeds: int) -> None:
    counts = lesions(np.random.default_rng(9), seeds, 1, luck=0.3)
    found = of_block({"a": runs(counts), "b": runs(lesions(np.random.default_rng(10), seeds, 1))}).contrasts(MIOU)[0]
    assert (found.low, found.high, found.p) == (-1, 1, 1)
    alone = of_block({"a": runs(counts)}).intervals(MIOU)[0]
    assert (alone.low, alone.high, alone.share_of_images) == (0, 1, 1)


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: metric.name)
def test_one_image_is_too_few_and_two_are_not(metric: Metric) -> None:
    rng = np.random.default_rng(19)
    one, two = (np.stack([lesions(rng, 3, images, luck=0.3) for _ in range(5)]) for images in (1, 2))
    lonely = sample(metric, one)
    assert lonely.without.shape == (5, 1)
    assert sample(metric, one[:, None]).without.shape == (5, 1, 1)
    assert of_block({"a": runs(one[0])}).intervals(metric)[0].high == 1
    assert np.isnan(lonely.without).all()
    found = of_one(lonely)
    assert found.seeds == pytest.approx(lonely.values.var(axis=-1, ddof=1) / 3)
    assert np.isinf(found.images).all()
    assert np.isfinite(of_one(sample(metric, two)).images).all()
    assert sample(metric, two).without.shape == (5, 2)


def test_a_difference_without_any_variance_is_certain() -> None:
    """One network finds everything on all images, the other nothing: no image and no seed disagrees."""
    perfect, blind = np.array([100, 0, 0, 900]), np.array([0, 0, 100, 900])
    networks = {name: runs(np.tile(each, (3, 8, 1))) for name, each in (("a", perfect), ("b", blind))}
    found = of_block(networks).contrasts(MIOU)[0]
    assert (found.difference, found.low, found.high, found.p) == (1, 1, 1, 0)
    assert found.finding is Finding.DIFFERS


def test_intervals_end_where_the_metric_does() -> None:
    counts = np.array([[[99, 0, 1, 900], [90, 0, 10, 900]], [[100, 0, 0, 900], [60, 0, 40, 900]]])
    found = of_one(sample(MIOU, counts))
    assert 0 <= float(found.low) < float(found.high) == 1


@pytest.mark.parametrize(("seeds", "tested"), [((3, 3), True), ((2, 5), False), ((5, 1), False), ((1, 1), False)])
def test_fewer_than_three_seeds_are_not_tested(seeds: tuple[int, int], tested: bool) -> None:
    assert ENOUGH_SEEDS == 3
    good, bad = (
        lesions(np.random.default_rng(11), seeds[0], 60, 0.02),
        lesions(np.random.default_rng(12), seeds[1], 60, 0.4),
    )
    found = of_block({"a": runs(good), "b": runs(bad)}).contrasts(MIOU)[0]
    assert found.seeds == seeds
    assert found.p < 0.05 or min(seeds) == 2
    assert (found.finding is Finding.DIFFERS, found.holm is not None) == (tested, tested)
    assert found.finding is not Finding.NOT_SEPARATED


def test_only_tested_pairs_are_corrected_for() -> None:
    rng = np.random.default_rng(13)
    networks = {name: runs(lesions(rng, seeds, 60, error)) for name, seeds, error in (("a", 3, 0.1), ("b", 3, 0.13))}
    alone = of_block(networks).contrasts(MIOU)[0]
    networks["c"] = runs(lesions(rng, 2, 60))
    found = of_block(networks).contrasts(MIOU)
    assert [(each.first, each.second) for each in found] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert found[0].holm == alone.holm == alone.p
    assert [each.finding for each in found[1:]] == [Finding.TOO_FEW_SEEDS] * 2


@pytest.mark.parametrize(("error", "separated"), [(0.19, 0), (0.22, 2)])
def test_the_level_is_five_percent_after_holm(error: float, separated: int) -> None:
    """Two equal networks and a worse one: what passes by itself need not pass among three pairs."""
    rng = np.random.default_rng(14)
    errors = {"a": 0.15, "b": 0.15, "c": error}
    found = of_block({name: runs(lesions(rng, 4, 80, each, 0.05)) for name, each in errors.items()}).contrasts(MIOU)
    assert [each.holm for each in found] == pytest.approx(holm([each.p for each in found]))
    assert sum(each.p < 0.05 for each in found) == 2
    assert sum(each.finding is Finding.DIFFERS for each in found) == separated
    assert sum(each.finding is Finding.NOT_SEPARATED for each in found) == 3 - separated


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1, 1]
    assert holm([]) == []


def test_images_are_paired_by_id_and_seeds_in_order() -> None:
    counts = lesions(np.random.default_rng(15), 3, 20)
    first = runs(counts)
    shuffled = [Run(run.cell, run.folder, {}, {}, run.per_image.sample(frac=1, random_state=0)) for run in first]
    assert np.array_equal(stack(shuffled[::-1]), counts)


def test_networks_on_other_images_are_never_paired() -> None:
    networks = {
        "a": runs(lesions(np.random.default_rng(16), 3, 20)),
        "b": runs(lesions(np.random.default_rng(16), 3, 21)),
    }
    with pytest.raises(AssertionError, match="same images"):
        of_block(networks).contrasts(MIOU)


def test_standing_names_leaders_and_separated_pairs() -> None:
    rng = np.random.default_rng(17)
    errors = {"bad": 0.4, "good": 0.1, "equal": 0.1, "single": 0.1}
    networks = {name: runs(lesions(rng, 1 if name == "single" else 4, 80, error)) for name, error in errors.items()}
    found = of_block(networks).standing(MIOU)
    assert found.metric is MIOU
    means = [each.mean for each in found.networks]
    assert means == sorted(means, reverse=True)
    assert found.networks[-1].network == "bad"
    assert set(found.separated) == {("good", "bad"), ("equal", "bad")}
    assert [set(pair) for pair in found.not_separated] == [{"good", "equal"}]
    assert len(found.too_few_seeds) == 3
    assert ("single", "bad") in found.too_few_seeds
    del networks["single"]
    assert set(of_block(networks).standing(MIOU).leaders) == {"good", "equal"}
    assert of_block(networks).standing(MIOU).leaders[0] == of_block(networks).standing(MIOU).networks[0].network


def test_standing_puts_the_better_first_and_keeps_the_order_of_ties() -> None:
    rng = np.random.default_rng(20)
    good, bad = lesions(rng, 3, 60, 0.05), lesions(rng, 3, 60, 0.4)
    block = {"good": runs(good), "bad": runs(bad), "twin": runs(good), "clone": runs(bad)}
    found = of_block(block).standing(MIOU)
    assert [each.network for each in found.networks] == ["good", "twin", "bad", "clone"]
    assert found.separated == [("good", "bad"), ("good", "clone"), ("twin", "bad"), ("twin", "clone")]
    assert found.not_separated == [("good", "twin"), ("bad", "clone")]
    assert found.leaders == ["good", "twin"]


def test_standing_of_a_metric_that_is_better_when_lower() -> None:
    rng = np.random.default_rng(18)
    missed = Metric("missed", "Missed", lambda tp, fp, fn, tn: fn / (tp + fn), better="lower")
    networks = {name: runs(lesions(rng, 4, 80, error)) for name, error in (("bad", 0.4), ("good", 0.1))}
    found = of_block(networks).standing(missed)
    assert [each.network for each in found.networks] == ["good", "bad"]
    assert (found.separated, found.leaders) == ([("good", "bad")], ["good"])
