"""The trainer against the field's loop: the same batches, the same losses, one seed alone and two stacked."""

from threading import Event

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.protocol.recipe import RECIPES, Recipe
from benchmarks.training.batches import ImageStore, draw_epoch
from benchmarks.training.data import Data
from benchmarks.training.loop import evaluate, train, train_epoch
from benchmarks.training.reference_loop import Pictures, ReferenceLoop
from benchmarks.training.replicas import Replicas

CPU = torch.device("cpu")
RECIPE = RECIPES["paper"].changed(size=64, batch=4)
NETWORKS = ("aulunet_v3", "ege_unet")
PAIRS = RECIPE.changed(batch=2, epochs=3)  # eleven steps an epoch
STEPS = 30


def discs(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Bright discs with soft edges on noise; the last image has nothing to scale."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:64, :64]
    centres = rng.integers(16, 48, (count, 2))
    depth = np.stack([14 - np.hypot(x - cx, y - cy) for cx, cy in centres])
    images = rng.integers(0, 90, (count, 64, 64, 3)) + 120 * (depth > 0)[..., None]
    images[-1] = 77
    return images.astype(np.uint8), (255 * (depth / 2).clip(0, 1)).astype(np.uint8)


IMAGES, MASKS = discs(22)  # five full batches of four and a rest of two


class Recording(Replicas):
    """Replicas that remember the losses of their steps."""

    def __init__(self, *arguments: object, **options: object) -> None:
        super().__init__(*arguments, **options)
        self.seen: list[Tensor] = []

    def step(self, images: Tensor, masks: Tensor, draws: Tensor) -> Tensor:
        self.seen.append(super().step(images, masks, draws))
        return self.seen[-1]


def trainer_losses(network: str, seeds: tuple[int, ...], recipe: Recipe, dtype: torch.dtype) -> np.ndarray:
    """Losses of each step, (steps, R)."""
    replicas, store = Recording(network, seeds, recipe, CPU, dtype=dtype), ImageStore(IMAGES, MASKS, CPU, dtype)
    for epoch in range(1, recipe.epochs + 1):
        train_epoch(replicas, store, epoch, Event())
    return torch.stack(replicas.seen).numpy()


def reference_losses(network: str, seed: int, recipe: Recipe, dtype: torch.dtype) -> np.ndarray:
    loop, pictures = ReferenceLoop(network, seed, recipe, CPU, dtype), Pictures(IMAGES, MASKS, dtype)
    return np.array([loss for epoch in range(1, recipe.epochs + 1) for loss in loop.train_epoch(pictures, epoch)])


@pytest.mark.parametrize("network", NETWORKS)
def test_thirty_steps_reach_the_same_losses(network):
    """float64, where only the order of rounding differs: alone, and as the second of two stacked seeds."""
    expected = reference_losses(network, 2, PAIRS, torch.float64)[:STEPS]
    assert len(expected) == STEPS
    alone = trainer_losses(network, (2,), PAIRS, torch.float64)[:STEPS, 0]
    np.testing.assert_allclose(alone, expected, rtol=1e-9)
    stacked = trainer_losses(network, (1, 2), PAIRS, torch.float64)[:STEPS, 1]
    np.testing.assert_allclose(stacked, expected, rtol=1e-9)


@pytest.mark.parametrize("network", NETWORKS)
def test_float32_losses_agree_to_rounding_at_first(network):
    recipe = RECIPE.changed(epochs=1)
    expected = reference_losses(network, 2, recipe, torch.float32)
    for seeds in ((2,), (1, 2)):
        losses = trainer_losses(network, seeds, recipe, torch.float32)[:, -1]
        np.testing.assert_allclose(losses[0], expected[0], rtol=1e-5)
        np.testing.assert_allclose(losses, expected, rtol=1e-2)  # gradients near zero turn rounding into whole steps


def test_batches_are_the_trainers_own():
    pictures, store = Pictures(IMAGES, MASKS), ImageStore(IMAGES, MASKS, CPU)
    batches = iter(ReferenceLoop("aulunet_v3", 3, RECIPE, CPU).batches(pictures, 4))
    for group in draw_epoch(3, 4, len(store), RECIPE.batch, RECIPE.augment):
        for step in range(len(group.order)):
            rows = (torch.from_numpy(each[step]) for each in (group.order, group.rot90_flip, group.rotation))
            images, masks = store.augmented(*rows)
            reference_images, reference_masks, draws = next(batches)
            assert reference_images.shape == images.shape
            np.testing.assert_allclose(reference_images.numpy(), images.numpy(), atol=1e-4)
            np.testing.assert_allclose(reference_masks.numpy(), masks.numpy(), atol=1e-6)
            assert np.array_equal(draws.numpy(), group.objective[step])
    assert next(batches, None) is None


@pytest.mark.parametrize("network", [*NETWORKS, "c2sdg"])  # the last one standardises its input
def test_validation_agrees(network):
    loop, replicas = ReferenceLoop(network, 5, RECIPE, CPU), Replicas(network, (5,), RECIPE, CPU)
    losses, counts = loop.validate(Pictures(IMAGES[:6], MASKS[:6]))
    expected, expected_counts = evaluate(replicas, ImageStore(IMAGES[:6], MASKS[:6], CPU), replicas.tensors(), batch=4)
    np.testing.assert_allclose(losses, expected[0].numpy(), rtol=1e-4)
    assert np.abs(counts - expected_counts[0].numpy()).max() <= 2  # pixels whose logit is zero but for rounding
    assert (counts.sum(axis=1) == 64 * 64).all()
    assert 0.01 < counts[:, :2].sum() / counts.sum() < 0.99, "too little was predicted to compare"


def test_a_whole_training_is_the_trainers():
    recipe = RECIPE.changed(epochs=3, lr=1e-2)
    replicas = Replicas("aulunet_v3", (2,), recipe, CPU, torch.float64)
    parts = (slice(0, 18), slice(16, 22), slice(0, 3))
    stores = [ImageStore(IMAGES[part], MASKS[part], CPU, torch.float64) for part in parts]
    train(replicas, Data(*stores), lambda replicas: None, Event())
    loop = ReferenceLoop("aulunet_v3", 2, recipe, CPU, torch.float64)
    history = loop.train(*(Pictures(IMAGES[part], MASKS[part], torch.float64) for part in parts[:2]))
    assert 0 < history[-1].validation_iou < history[-1].validation_dsc < 1, "too little was predicted to compare"
    for row, expected in zip(history, replicas.progress[0].history, strict=True):
        assert row.train_loss == pytest.approx(expected["train_loss"], rel=1e-6)  # the trainer's sum is float32
        assert vars(row) | {"train_loss": 0} == pytest.approx(expected | {"train_loss": 0}, rel=1e-9)
    for name, weights in loop.best.items():
        np.testing.assert_allclose(weights.numpy(), replicas.best[name][0].numpy(), atol=1e-6, err_msg=name)


def test_the_first_of_equal_epochs_is_the_best(monkeypatch):
    loop = ReferenceLoop("aulunet_v3", 1, RECIPE.changed(epochs=2), CPU)
    bias = loop.module.get_parameter("head.bias").detach()
    seen = []

    def one_step(pictures: Pictures, epoch: int) -> list[float]:
        bias.add_(1)
        seen.append(bias.clone())
        return [1.0]

    monkeypatch.setattr(loop, "train_epoch", one_step)
    monkeypatch.setattr(loop, "validate", lambda pictures: (np.full(2, 0.5), np.ones((2, 4), np.int64)))
    pictures = Pictures(IMAGES[:4], MASKS[:4])
    loop.train(pictures, pictures)
    assert torch.equal(loop.best["head.bias"], seen[0])
    assert not torch.equal(seen[0], seen[1])
