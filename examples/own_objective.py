"""A network with a loss of its own: deep supervision, and brightness as one more augmentation.

python -m benchmarks run --suite quick --network supervised --plugin examples/own_objective.py
"""

from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.networks.entry import Entry
from benchmarks.objectives.losses import bce, bce_dice, dice


class Supervised(nn.Module):
    """Two scales; in training the logits of the coarser one as well."""

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Dropout2d(0.1))
        self.coarse = nn.Sequential(nn.MaxPool2d(4), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU())
        self.side, self.head = nn.Conv2d(8, 1, 1), nn.Conv2d(8, 1, 1)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        fine = self.fine(x)  # (B, 8, H, W)
        coarse = F.interpolate(self.coarse(fine), x.shape[2:])
        logits = self.head(fine + coarse)
        return (logits, self.side(coarse)) if self.training else logits


def objective(forward: Callable[[Tensor], Any], images: Tensor, masks: Tensor, draws: Tensor) -> Tensor:
    """The loss of one seed, a scalar: BCE + 2 Dice of the output, and BCE + Dice of the coarser scale."""
    logits, side = forward(images * (0.9 + 0.2 * draws[0]))  # brightness by up to a tenth
    probabilities = logits.sigmoid()
    main = bce(probabilities, masks) + 2 * dice(probabilities, masks)  # of each image, (B,)
    return main.mean() + 0.4 * bce_dice(side, masks)


NETWORKS = [Entry("supervised", "Supervised", Supervised, objective=objective)]
