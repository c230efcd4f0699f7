"""The drawn pictures: the same from the same seed, with masks that fit, neither trivial nor impossible."""

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from skimage.filters import threshold_otsu

from benchmarks import datasets
from benchmarks.datasets import synthetic
from results.errors import RequestError


@pytest.fixture(scope="module")
def pictures() -> list[tuple[np.ndarray, np.ndarray]]:
    return [synthetic.draw(number, 64) for number in range(24)]


def test_a_picture_depends_on_seed_and_number_alone(pictures: list[tuple[np.ndarray, np.ndarray]]) -> None:
    for again, before in zip(synthetic.draw(5, 64), pictures[5], strict=True):
        np.testing.assert_array_equal(again, before)
    assert not np.array_equal(synthetic.draw(5, 64, seed=1)[0], pictures[5][0])
    assert not np.array_equal(pictures[4][0], pictures[5][0])


@pytest.mark.parametrize("size", [48, 300])
def test_shapes(size: int) -> None:
    image, mask = synthetic.draw(0, size)
    assert image.shape == (size, size, 3)
    assert mask.shape == (size, size)
    assert image.dtype == mask.dtype == np.uint8


def test_small_pictures_are_the_large_ones_shrunk() -> None:
    large, small = synthetic.draw(2, 256)[0].astype(float), synthetic.draw(2, 64)[0]
    blocks = large.reshape(64, 4, 64, 4, 3).mean((1, 3))
    assert np.abs(blocks - small).mean() < 3


def test_masks_are_one_piece_with_a_wide_range_of_sizes(pictures: list[tuple[np.ndarray, np.ndarray]]) -> None:
    for number in range(6):
        mask = synthetic.draw(number, 256)[1]
        assert set(np.unique(mask)) == {0, 255}
    shares = np.array([(mask >= 128).mean() for _, mask in pictures])
    assert shares.min() > 0.005
    assert shares.min() < 0.06
    assert shares.max() > 0.35
    assert 0.1 < shares.mean() < 0.3


def test_lesions_differ_from_the_skin_around_them(pictures: list[tuple[np.ndarray, np.ndarray]]) -> None:
    """Inside the outline there is less light than in a ring around it, in nearly every picture."""
    darker = []
    for image, mask in pictures:
        inside = mask >= 128
        ring = ndimage.binary_dilation(inside, iterations=5) & ~ndimage.binary_dilation(inside, iterations=1)
        light = image.mean(-1)
        darker.append(light[inside].mean() < light[ring].mean())
    assert np.mean(darker) >= 0.85


def test_a_threshold_does_not_solve_it(pictures: list[tuple[np.ndarray, np.ndarray]]) -> None:
    """Otsu's threshold finds something, and leaves much to learn."""
    ious = []
    for image, mask in pictures:
        light, truth = image.mean(-1), mask >= 128
        found = light < threshold_otsu(light)
        ious.append((found & truth).sum() / (found | truth).sum())
    assert 0.15 < np.mean(ious) < 0.7


def test_drawn_on_first_use_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LESION_BENCHMARKS_CACHE", str(tmp_path))
    monkeypatch.setitem(datasets.store.splits.COUNTS, "synthetic", (3, 1, 2))
    first = datasets.load("synthetic", 32)
    assert len(first.ids) == 6
    assert [len(part) for part in (first.split("paper").train, first.split("paper").test)] == [3, 2]
    np.testing.assert_array_equal(first.images[4], synthetic.draw(4, 32)[0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthetic, "draw", None)
        assert datasets.load("synthetic", 32).fingerprint == first.fingerprint
        assert datasets.prepare("synthetic", size=32).fingerprint == first.fingerprint
    assert datasets.load("synthetic", 32, seed=7).fingerprint != first.fingerprint


def test_synthetic_takes_no_source(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="synthetic is drawn"):
        datasets.prepare("synthetic", tmp_path)
