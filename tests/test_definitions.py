"""The four definitions of mIoU against implementations written out, and the resampling forms of every metric."""

import numpy as np
import pytest

from results.metrics import DEFINITIONS, METRICS, Metric, metric_named, per_image_mean, pooled

ALL = (*METRICS, *DEFINITIONS)


def masks() -> tuple[np.ndarray, np.ndarray]:
    """(60, 12, 12) bool predictions and truths of every quality, among them empty and full ones."""
    rng = np.random.default_rng(0)
    truth = rng.random((60, 12, 12)) < rng.uniform(0.05, 0.9, (60, 1, 1))
    predicted = truth ^ (rng.random((60, 12, 12)) < rng.uniform(0, 0.5, (60, 1, 1)))
    for k, (mine, true) in enumerate([(False, False), (False, True), (True, False), (True, True)]):
        predicted[k], truth[k] = mine, true
    truth[4], predicted[4] = False, False
    truth[4].flat[:20], predicted[4].flat[:13] = True, True  # a Jaccard index of exactly 0.65
    truth[5], predicted[5] = False, False
    truth[5].flat[:100], predicted[5].flat[:64] = True, True
    return predicted, truth


def counted(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    cases = (predicted & truth, predicted & ~truth, ~predicted & truth, ~predicted & ~truth)
    return np.stack([case.sum(axis=(1, 2)) for case in cases], axis=1)


def isic_2018(predicted: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """The challenge's scores, image by image from the masks: means over images of what each image earns."""
    earned: dict[str, list[float]] = {"jaccard": [], "threshold_jaccard": [], "sensitivity": [], "specificity": []}
    for mine, true in zip(predicted, truth, strict=True):
        both, either = 0, 0
        found, lesion, spared, skin = 0, 0, 0, 0
        for p, t in zip(mine.ravel().tolist(), true.ravel().tolist(), strict=True):
            both += p and t
            either += p or t
            lesion, found = lesion + t, found + (t and p)
            skin, spared = skin + (not t), spared + (not t and not p)
        jaccard = both / either if either else 1.0
        earned["jaccard"].append(jaccard)
        earned["threshold_jaccard"].append(0.0 if jaccard < 0.65 else jaccard)
        earned["sensitivity"].append(found / lesion if lesion else 1.0)
        earned["specificity"].append(spared / skin if skin else 1.0)
    return {name: float(np.mean(values)) for name, values in earned.items()}


def test_isic_2018_agrees_with_the_challenge_written_out() -> None:
    predicted, truth = masks()
    counts, expected = counted(predicted, truth), isic_2018(predicted, truth)
    definition = metric_named("iou_isic2018")
    assert definition.over_images(counts) == pytest.approx(expected["threshold_jaccard"], abs=1e-12)
    assert metric_named("iou_per_image").over_images(counts) == pytest.approx(expected["jaccard"], abs=1e-12)
    means = per_image_mean(counts)
    assert means["sen"] == pytest.approx(expected["sensitivity"], abs=1e-12)  # undefined ones count as 1
    assert means["spe"] == pytest.approx(expected["specificity"], abs=1e-12)
    assert definition(counts[4:6]).tolist() == [0.65, 0.0]  # the threshold itself is kept
    assert 10 < np.count_nonzero(definition(counts) == 0) < 50


def test_pooled_definitions_by_hand() -> None:
    counts = np.array([[30, 10, 0, 60], [10, 0, 10, 80]])  # tp 40, fp 10, fn 10, tn 140
    assert metric_named("iou_pooled").over_images(counts) == pytest.approx(40 / 60)
    assert metric_named("iou_both_classes").over_images(counts) == pytest.approx((40 / 60 + 140 / 160) / 2)
    assert metric_named("iou_per_image").over_images(counts) == pytest.approx((30 / 40 + 10 / 20) / 2)
    assert metric_named("iou_isic2018").over_images(counts) == pytest.approx(0.75 / 2)


def test_the_first_definition_is_the_papers_iou() -> None:
    counts = counted(*masks())
    for metric in METRICS:
        assert float(metric.over_images(counts)) == pooled(counts)[metric.name]
    assert float(DEFINITIONS[0].over_images(counts)) == pooled(counts)["iou"]


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: metric.name)
def test_leaving_out_and_drawing_again_are_the_metric_of_those_images(metric: Metric) -> None:
    counts, rng = np.stack([counted(*masks()), counted(*masks())[::-1]]), np.random.default_rng(1)
    without = metric.without_each_image(counts)
    drawn = rng.integers(0, 60, (5, 60))
    times = np.stack([np.bincount(each, minlength=60) for each in drawn]).astype(float)
    resampled = metric.of_resamples(counts, times)
    assert (without.shape, resampled.shape) == ((2, 60), (5, 2))
    assert np.array_equal(metric.without_each_image(counts[:, None]), without[:, None])  # leading axes stay
    for seed in range(2):
        for k in range(60):
            expected = float(metric.over_images(np.delete(counts[seed], k, axis=0)))
            assert without[seed, k] == pytest.approx(expected, abs=1e-12)
        for k, each in enumerate(drawn):
            expected = float(metric.over_images(counts[seed][each]))
            assert resampled[k, seed] == pytest.approx(expected, abs=1e-12)


def test_every_row_can_be_found_by_its_name_and_explains_itself() -> None:
    assert [metric_named(metric.name) for metric in ALL] == list(ALL)
    assert {metric.better for metric in ALL} == {"higher"}
    assert all(definition.meaning for definition in DEFINITIONS)
    with pytest.raises(KeyError):
        metric_named("jaccard")
