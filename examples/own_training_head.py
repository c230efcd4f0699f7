"""A network that is trained with more than is scored, with its own preprocessing and image sizes.

python -m benchmarks run --suite quick --network bounded --plugin examples/own_training_head.py
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from benchmarks.networks.entry import Entry, MultiplesOf
from benchmarks.objectives.losses import bce_dice, inner_boundary


class Scored(nn.Module):
    """What is scored, counted and stored."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.head = nn.Conv2d(8, 1, 1)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        return self.head(self.body(x))


class Trained(Scored):
    """With a second head for the lesion's boundary, which is gone when the network is scored."""

    def __init__(self) -> None:
        super().__init__()
        self.boundary = nn.Conv2d(8, 1, 1)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        features = self.body(x)
        logits = self.head(features)
        return (logits, self.boundary(features)) if self.training else logits


def objective(forward: Callable[[Tensor], Any], images: Tensor, masks: Tensor, draws: Tensor) -> Tensor:
    """BCE + Dice of the lesion, and half of it of its inner boundary."""
    logits, boundary = forward(images)
    return bce_dice(logits, masks) + 0.5 * bce_dice(boundary, inner_boundary(masks))


NETWORKS = [
    Entry(
        "bounded",
        "Bounded",
        Scored,
        training_builder=lambda size: Trained(),
        objective=objective,
        preprocess=lambda images: images / 127.5 - 1,  # [0, 255] to [-1, 1]
        accepts=MultiplesOf(8),
    )
]
