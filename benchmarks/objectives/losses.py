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

CROSS_ENTROPY = "of probabilities, logarithms at least -100"
"""How cross-entropy is taken; recorded with every run. Runs up to version 0.2 took it from logits and record none."""

Objective = Callable[[Callable[[Tensor], Any], Tensor, Tensor, Tensor], Tensor]
Loss = Callable[[Tensor, Tensor], Tensor]
"""Logits and targets (B, 1, H, W) to a scalar."""


def bce(probabilities: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy of each image, mean over its pixels: (B,).

    Of probabilities, as the authors take it (`nn.BCELoss` behind a sigmoid): each logarithm is at least -100, and where
    a sigmoid has rounded to 0 or 1 no gradient comes back. Cross-entropy taken from logits is another loss there. NaN
    in the probabilities is NaN in the loss, where torch's function would raise, and on CUDA end the process.
    """
    finite = probabilities.nan_to_num(nan=0.5)
    pixels = F.binary_cross_entropy(finite, targets, reduction="none")
    return torch.where(probabilities.isnan(), probabilities, pixels).flatten(1).mean(dim=1)


def dice(probabilities: Tensor, targets: Tensor, smooth: float = 1.0) -> Tensor:
    """Soft Dice loss of each image, 1 - (2 sum(p t) + smooth) / (sum(p) + sum(t) + smooth): (B,)."""
    p, t = probabilities.flatten(1), targets.flatten(1)
    return 1 - (2 * (p * t).sum(dim=1) + smooth) / (p.sum(dim=1) + t.sum(dim=1) + smooth)


def bce_dice_per_image(logits: Tensor, targets: Tensor) -> Tensor:
    """BCE + Dice of each image: (B,)."""
    probabilities = logits.sigmoid()
    return bce(probabilities, targets) + dice(probabilities, targets)


def bce_dice(logits: Tensor, targets: Tensor) -> Tensor:
    """The suite's loss (`paper` recipe): BCE + Dice (smooth 1) with equal weights, mean over images."""
    return bce_dice_per_image(logits, targets).mean()


def plain(
    forward: Callable[[Tensor], Tensor], images: Tensor, masks: Tensor, draws: Tensor, loss: Loss = bce_dice
) -> Tensor:
    """BCE + Dice on the logits: the objective of every network without one of its own.

    loss: `bce_dice`, or another implementation of it.
    """
    return loss(forward(images), masks)


def deep_supervision(
    forward: Callable[[Tensor], Any], images: Tensor, masks: Tensor, draws: Tensor, loss: Loss = bce_dice
) -> Tensor:
    """EGE-UNet: main + 0.1, 0.2, 0.3, 0.4, 0.5 times the same loss of the side logits, deepest first.

    loss: `bce_dice`, or another implementation of it.
    """
    logits, sides = forward(images)
    return loss(logits, masks) + _weighted(loss, sides, masks)


def boundary_supervision(forward: Callable[[Tensor], Any], images: Tensor, masks: Tensor, draws: Tensor) -> Tensor:
    """LB-UNet: main BCE + 2 Dice, side logits against the mask and boundary maps against the boundary, each
    0.1, 0.2, ... times (0.5 BCE + Dice).

    Deviation: the authors' boundary target is an inner band plus six half discs at points found by an unseeded genetic
    search, offline; ours is the band alone (`inner_boundary`), computed from the augmented mask on the device.
    """
    return boundary_loss(forward(images), masks, inner_boundary(masks))


def boundary_loss(outputs: Any, masks: Tensor, boundary: Tensor) -> Tensor:
    """LB-UNet's loss of its training outputs: logits, side logits and boundary maps, (B, 1, H, W) each, deepest first.

    boundary: the target of the boundary maps, (B, 1, H, W) in [0, 1].
    """
    logits, sides, boundaries = outputs
    probabilities = logits.sigmoid()
    main = (bce(probabilities, masks) + 2 * dice(probabilities, masks)).mean()
    sides_loss = _weighted(_side_loss, [side.sigmoid() for side in sides], masks)
    return main + sides_loss + _weighted(_side_loss, boundaries, boundary)


def _side_loss(probabilities: Tensor, targets: Tensor) -> Tensor:
    """LB-UNet: 0.5 BCE + Dice, mean over images."""
    return (0.5 * bce(probabilities, targets) + dice(probabilities, targets)).mean()


def _weighted(loss: Loss, outputs: Sequence[Tensor], targets: Tensor) -> Tensor:
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
