"""Batches on the device against numpy and scipy on one image at a time."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from benchmarks.training.batches import FIRST_ANGLE, ImageStore, draw_epoch, rot90_flip_table, rotation_table

SIZE = 48


@pytest.fixture(scope="module")
def pictures() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    images = rng.integers(10, 240, (6, SIZE, SIZE, 3), dtype=np.uint8)
    images[5] = 77  # nothing to scale
    return images, rng.integers(0, 256, (6, SIZE, SIZE), dtype=np.uint8)


@pytest.fixture(scope="module")
def store(pictures) -> ImageStore:
    return ImageStore(*pictures, torch.device("cpu"))


def scaled(image: np.ndarray) -> np.ndarray:
    low, high = float(image.min()), float(image.max())
    return (image - low) * (255 / (high - low)) if high > low else np.zeros(image.shape)


def test_images_are_min_max_scaled_by_themselves(store, pictures):
    images, masks = store.plain(0, 6)
    for k in range(6):
        np.testing.assert_allclose(images[k].permute(1, 2, 0).numpy(), scaled(pictures[0][k]), atol=1e-3)
        np.testing.assert_allclose(masks[k, 0].numpy(), pictures[1][k] / 255, atol=1e-6)
    assert images[0].min() == 0
    assert images[0].max() == pytest.approx(255)


def test_truth_is_a_mask_of_at_least_one_half(store, pictures):
    assert np.array_equal(store.truth(0, 6)[:, 0].numpy(), pictures[1] / 255 >= 0.5)


@pytest.mark.parametrize("angle", [20, 45, 63, 79])
@pytest.mark.parametrize("k", range(4))
@pytest.mark.parametrize("axis", [0, 1])
def test_rot90_flip_then_rotation_equals_numpy_then_scipy(store, pictures, angle, k, axis):
    """No pixel differs, the border included: the tables are scipy's own."""
    index, rot90_flip, rotation = (
        torch.tensor([2]),
        torch.tensor([1 + 2 * k + axis]),
        torch.tensor([1 + angle - FIRST_ANGLE]),
    )
    images, masks = store.augmented(index, rot90_flip, rotation)
    turned = np.flip(np.rot90(scaled(pictures[0][2]), k), axis)
    expected = ndimage.rotate(turned, angle, order=0, reshape=False)
    np.testing.assert_allclose(images[0].permute(1, 2, 0).numpy(), expected, atol=1e-3)
    turned = np.flip(np.rot90(pictures[1][2] / 255, k), axis)
    np.testing.assert_allclose(masks[0, 0].numpy(), ndimage.rotate(turned, angle, order=0, reshape=False), atol=1e-6)


def test_a_batch_mixes_images_and_transforms(store):
    rows = [torch.tensor(each) for each in ([3, 0, 3], [0, 5, 2], [0, 0, 31])]
    together = store.augmented(*rows)[0]
    alone = [store.augmented(*(row[k : k + 1] for row in rows))[0][0] for k in range(3)]
    assert torch.equal(together, torch.stack(alone))
    assert torch.equal(together[0], store.plain(3, 4)[0][0])


def test_tables_cover_the_design():
    assert rot90_flip_table(4).shape == (9, 16)
    assert rotation_table(4).shape == (61, 16)


def test_draws_depend_on_seed_and_epoch_alone():
    one, again = draw_epoch(1, 7, 100, 8, True), draw_epoch(1, 7, 100, 8, True)
    assert all(
        np.array_equal(a.order, b.order) and np.array_equal(a.rot90_flip, b.rot90_flip)
        for a, b in zip(one, again, strict=True)
    )
    assert not np.array_equal(one[0].order, draw_epoch(2, 7, 100, 8, True)[0].order)
    assert not np.array_equal(one[0].order, draw_epoch(1, 8, 100, 8, True)[0].order)


@pytest.mark.parametrize(("images", "widths"), [(1815, [8, 7]), (1250, [8, 2]), (64, [8]), (65, [8]), (5, [5])])
def test_every_image_once_an_epoch_but_a_lone_last_one(images, widths):
    groups = draw_epoch(3, 1, images, 8, True)
    assert [group.order.shape[1] for group in groups] == widths
    drawn = np.concatenate([group.order.ravel() for group in groups])
    assert len(np.unique(drawn)) == len(drawn) == (images - 1 if images % 8 == 1 else images)


def test_shares_of_transforms():
    groups = [group for epoch in range(40) for group in draw_epoch(1, epoch, 1000, 8, True)]
    rot90_flip, rotation = (
        np.concatenate([getattr(group, name).ravel() for group in groups]) for name in ("rot90_flip", "rotation")
    )
    assert np.mean(rot90_flip == 0) == pytest.approx(0.5, abs=0.01)
    assert np.mean(rotation == 0) == pytest.approx(0.5, abs=0.01)
    assert np.bincount(rot90_flip, minlength=9)[1:] / len(rot90_flip) == pytest.approx(np.full(8, 1 / 16), abs=0.005)
    assert set(np.unique(rotation)) == set(range(61))
    assert np.corrcoef(rot90_flip == 0, rotation == 0)[0, 1] == pytest.approx(0, abs=0.02)


def test_no_augmentation_leaves_images_alone():
    group = draw_epoch(1, 1, 16, 8, False)[0]
    assert not group.rot90_flip.any()
    assert not group.rotation.any()
