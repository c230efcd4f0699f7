"""A network of 34 numbers on images of 8 x 8 pixels, for tests of what is done with networks and not of a network.

Its whole training takes as long as one step of the smallest network of the suite.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks.networks import registry
from benchmarks.networks.entry import Entry, MultiplesOf
from benchmarks.objectives.losses import DRAWS
from benchmarks.protocol.recipe import RECIPES

SIZE = 8
RECIPE = RECIPES["paper"].changed(size=SIZE, batch=4, epochs=4, lr=0.03, t_max=3, weight_decay=0.05)


def build() -> nn.Module:
    """Parameters and buffers, (B, 3, H, W) to (B, 1, H, W)."""
    return nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 1, 3, padding=1))


class Tied(nn.Module):
    """One parameter under two names, a module under two names, and both used twice in a forward."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.first, self.second = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)
        self.second.weight = self.first.weight
        self.again = self.norm
        self.last = nn.Conv2d(3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.second(self.again(self.first(self.norm(x)).relu())))


def registered(name: str = "tiny", **options: Any) -> Entry:
    """The entry with these options, in the registry."""
    entry = Entry(name, "Tiny", **({"builder": build, "accepts": MultiplesOf(1)} | options))
    registry.ENTRIES[name] = entry
    return entry


@contextmanager
def own_registry() -> Iterator[None]:
    """Afterwards the registry holds what it held before."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "ENTRIES", dict(registry.ENTRIES))
        yield


def pictures(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise that is brighter in one corner, (N, 8, 8, 3), and soft masks of that corner, (N, 8, 8), both uint8."""
    draw = np.random.default_rng(count)
    inside = np.zeros((count, SIZE, SIZE), bool)
    for each, (height, width) in zip(inside, draw.integers(2, SIZE, (count, 2)), strict=True):
        each[:height, :width] = True
    images = draw.integers(0, 120, (count, SIZE, SIZE, 3)) + 100 * inside[..., None]
    return images.astype(np.uint8), np.where(inside, draw.integers(140, 256, inside.shape), 0).astype(np.uint8)


def scaled(images: Tensor) -> Tensor:
    """A preprocessing that is noticed where it is left out."""
    return images / 100 - 1


def by_draws(forward: Any, images: Tensor, masks: Tensor, draws: Tensor) -> Tensor:
    """An objective in which each number that is drawn for it counts."""
    weights = torch.arange(1, DRAWS + 1, dtype=torch.float64)
    error = (forward(images).sigmoid() - masks).square().flatten(1).sum(dim=1)
    return error.mean() * (1 + weights @ draws.double())
