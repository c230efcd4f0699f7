"""Losses and the training objectives of networks that have their own.

Letters: B images, H x W pixels. Logits are (B, 1, H, W); targets are (B, 1, H, W) in [0, 1] and may be soft.

An objective is `objective(forward, images, masks, draws) -> scalar`: `forward` is the network in training mode, images
are (B, 3, H, W), and `draws` are `DRAWS` numbers uniform in [0, 1) from this replica's own stream, the only randomness
an objective may use (torch's generators would tie one seed's numbers to what runs beside it).
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

DRAWS = 16
"""Uniform numbers that an objective receives each step."""

Objective = Callable[[Callable[[Tensor], Any], Tensor, Tensor, Tensor], Tensor]


def bce(logits: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy of each image, mean over its pixels: (B,)."""
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="none").flatten(1).mean(dim=1)


def dice(probabilities: Tensor, targets: Tensor, smooth: float = 1.0) -> Tensor:
    """Soft Dice loss of each image, 1 - (2 sum(p t) + smooth) / (sum(p) + sum(t) + smooth): (B,)."""
    p, t = probabilities.flatten(1), targets.flatten(1)
    return 1 - (2 * (p * t).sum(dim=1) + smooth) / (p.sum(dim=1) + t.sum(dim=1) + smooth)


def bce_dice_per_image(logits: Tensor, targets: Tensor) -> Tensor:
    """BCE + Dice of each image: (B,)."""
    return bce(logits, targets) + dice(logits.sigmoid(), targets)


def bce_dice(logits: Tensor, targets: Tensor) -> Tensor:
    """The suite's loss (`paper` recipe): BCE + Dice (smooth 1) with equal weights, mean over images."""
    return bce_dice_per_image(logits, targets).mean()


def plain(forward: Callable[[Tensor], Tensor], images: Tensor, masks: Tensor, draws: Tensor) -> Tensor:
    """BCE + Dice on the logits: the objective of every network without one of its own."""
    return bce_dice(forward(images), masks)


def deep_supervision(forward: Callable[[Tensor], Any], images: Tensor, masks: Tensor, draws: Tensor) -> Tensor:
    """EGE-UNet: main + 0.1, 0.2, 0.3, 0.4, 0.5 times the same loss of the side logits, deepest first."""
    logits, sides = forward(images)
    return bce_dice(logits, masks) + _weighted(bce_dice, sides, masks)


def boundary_supervision(forward: Callable[[Tensor], Any], images: Tensor, masks: Tensor, draws: Tensor) -> Tensor:
    """LB-UNet: main BCE + 2 Dice, side logits against the mask and boundary maps against the boundary, each
    0.1, 0.2, ... times (0.5 BCE + Dice).

    Deviation: the authors' boundary target is an inner band plus six half discs at points found by an unseeded genetic
    search, offline; ours is the band alone (`inner_boundary`), computed from the augmented mask on the device.
    """
    logits, sides, boundaries = forward(images)
    main = (bce(logits, masks) + 2 * dice(logits.sigmoid(), masks)).mean()
    sides_loss = _weighted(lambda x, t: (0.5 * bce(x, t) + dice(x.sigmoid(), t)).mean(), sides, masks)
    return main + sides_loss + _weighted(_probability_loss, boundaries, inner_boundary(masks))


def _probability_loss(probabilities: Tensor, targets: Tensor) -> Tensor:
    cross_entropy = F.binary_cross_entropy(probabilities, targets, reduction="none").flatten(1).mean(dim=1)
    return (0.5 * cross_entropy + dice(probabilities, targets)).mean()


def _weighted(loss: Callable[[Tensor, Tensor], Tensor], outputs: Sequence[Tensor], targets: Tensor) -> Tensor:
    """0.1, 0.2, 0.3, ... times the loss of each output, summed."""
    return torch.stack([0.1 * (k + 1) * loss(output, targets) for k, output in enumerate(outputs)]).sum()


def inner_boundary(masks: Tensor) -> Tensor:
    """Mask pixels at most two 4-neighbour steps from the background, as 0 / 1: the mask minus its erosion by the
    radius-2 diamond. (B, 1, H, W) to (B, 1, H, W); pixels outside the image count as mask.

    This is the band of LB-UNet's boundary maps: edge pixels stamped with a plus of radius 1, kept inside the mask.
    """
    inside = (masks >= 0.5).to(masks.dtype)
    eroded = inside
    for _ in range(2):
        eroded = -torch.maximum(
            F.max_pool2d(-eroded, (3, 1), stride=1, padding=(1, 0)),
            F.max_pool2d(-eroded, (1, 3), stride=1, padding=(0, 1)),
        )
    return inside - eroded
