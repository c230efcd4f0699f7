"""Rank stability: against a loop of its own, where the answer is known, and the spread that three seeds must have."""

import numpy as np
import pytest
from scipy import stats

from reports.statistics.estimates import of_one, sample
from reports.statistics.ranks import Rank, ranks, resampled
from results.metrics import DEFINITIONS, METRICS, Metric, metric_named
from tests.test_statistics import lesions

MIOU = metric_named("iou")


def networks(errors: dict[str, float], seeds: int = 3, images: int = 60, luck: float = 0.1) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {name: lesions(rng, seeds, images, error, luck) for name, error in errors.items()}


def by_name(found: list[Rank]) -> dict[str, Rank]:
    return {each.network: each for each in found}


@pytest.mark.parametrize("metric", [*METRICS, *DEFINITIONS], ids=lambda metric: metric.name)
def test_ranks_agree_with_a_plain_loop(metric: Metric) -> None:
    rng = np.random.default_rng(1)
    counts = [lesions(rng, seeds, 40, error, 0.2) for seeds, error in ((3, 0.15), (4, 0.16), (1, 0.17))]
    found = ranks({str(k): each for k, each in enumerate(counts)}, metric)
    places = []
    for _ in range(2000):
        images, means = rng.integers(0, 40, 40), []
        for each in counts:
            chosen = rng.integers(0, len(each), max(len(each) - 1, 1))
            means.append(np.mean([float(metric.over_images(each[seed][images])) for seed in chosen]))
        places.append([1 + sum(other > mine for other in means) for mine in means])
    first = np.mean(np.array(places) == 1, axis=0)
    for k, each in enumerate(found):
        assert each.first == pytest.approx(first[k], abs=0.05)  # four standard errors of both
        assert 1 <= each.low <= each.rank <= each.high <= 3
    observed = [np.mean([float(metric.over_images(seed)) for seed in each]) for each in counts]
    assert [each.rank for each in found] == [1 + sum(other > mine for other in observed) for mine in observed]


def test_a_clear_order_is_stable_and_equal_networks_share_the_lead() -> None:
    found = by_name(ranks(networks({"worst": 0.4, "b": 0.1, "c": 0.1, "middle": 0.2}), MIOU))
    assert (found["worst"].low, found["worst"].rank, found["worst"].high, found["worst"].first) == (4, 4, 4, 0)
    assert (found["middle"].low, found["middle"].high) == (3, 3)
    assert {found["b"].rank, found["c"].rank} == {1, 2}
    assert found["b"].first + found["c"].first == pytest.approx(1)
    assert 0 < found["b"].first < 1


def test_identical_networks_tie() -> None:
    counts = lesions(np.random.default_rng(2), 1, 30)
    found = ranks({"a": counts, "b": counts, "c": lesions(np.random.default_rng(3), 1, 30, 0.5)}, MIOU)
    assert [(each.rank, each.low, each.high, each.first) for each in found] == [
        (1, 1, 1, 0.5),
        (1, 1, 1, 0.5),
        (3, 3, 3, 0),
    ]


def test_shares_of_the_first_place_add_up_and_are_the_same_every_time() -> None:
    block = networks(dict.fromkeys("abcdef", 0.15))
    found = ranks(block, MIOU)
    assert sum(each.first for each in found) == pytest.approx(1)
    assert found == ranks(block, MIOU)


def test_the_range_of_ranks_holds_the_middle_95_percent() -> None:
    block = networks({f"n{k}": 0.15 + 0.004 * k for k in range(10)}, luck=0.05)
    drawn = resampled(list(block.values()), MIOU, 2000)
    places = np.sort(stats.rankdata(-drawn, method="min", axis=1), axis=0)
    found = ranks(block, MIOU)
    assert [each.low for each in found] == places[49].tolist()  # the 50th of 2,000: 2.5 % lie at or below it
    assert [each.high for each in found] == places[1949].tolist()
    assert len({each.low for each in found}) > 2
    assert any(each.low > places[0, k] for k, each in enumerate(found))


def test_lower_may_be_better() -> None:
    missed = Metric("missed", "Missed", lambda tp, fp, fn, tn: fn / (tp + fn), better="lower")
    found = by_name(ranks(networks({"bad": 0.4, "good": 0.1}), missed))
    assert (found["good"].rank, found["good"].first, found["bad"].first) == (1, 1, 0)


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_draws_spread_as_much_as_the_interval_says(seeds: int) -> None:
    """Drawing S of S seeds would give (S - 1) / S of their variance."""
    counts = lesions(np.random.default_rng(4), seeds, 100, luck=0.4)
    spread = resampled([counts], MIOU, 4000).std()
    assert spread == pytest.approx(float(of_one(sample(MIOU, counts)).standard_error), rel=0.05)


def test_images_are_drawn_alike_for_all_networks() -> None:
    counts = lesions(np.random.default_rng(5), 1, 50)
    drawn = resampled([counts, counts], MIOU, 50)
    assert np.array_equal(drawn[:, 0], drawn[:, 1])
    assert drawn[:, 0].std() > 0
