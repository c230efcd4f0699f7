"""The training loop, read from top to bottom: the epochs, the steps of one, what they draw, and the evaluation.

Letters: R replicas, B images of a batch, N images of a split, H = W pixels.
"""

import time
from collections.abc import Callable, Iterator
from threading import Event
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks.objectives.losses import bce_dice_per_image
from benchmarks.training.batches import ImageStore, draw_epoch
from benchmarks.training.cuda_graph import Step
from benchmarks.training.data import Data
from benchmarks.training.pixel_counts import counts
from benchmarks.training.progress import EpochRecord
from benchmarks.training.replicas import Replicas, Tensors
from results.metrics import pooled

EVALUATED = {"cpu": 16, "cuda": 64}  # images at a time: what fits the caches of a core, and what fills a GPU


class Interrupted(Exception):
    """The stop event was set; the last checkpoint stands."""


def train(
    replicas: Replicas,
    data: Data,
    after_epoch: Callable[[Replicas], None],
    stop: Event,
    after_step: Callable[[float], None] | None = None,
) -> None:
    """Train from where the replicas stand to the recipe's last epoch, keeping each one's best weights.

    The best epoch is the one of lowest validation loss. A replica whose loss is not finite is marked in its progress
    and the others go on, until none is left; likewise one whose patience is at an end. Raises Interrupted when `stop`
    is set. after_step: called with the share of the epoch that is done.
    """
    step = replicas.step_on(data.train)
    for epoch in range(replicas.epoch + 1, replicas.recipe.epochs + 1):
        if all(progress.over for progress in replicas.progress):
            return
        started = time.perf_counter()
        train_losses = train_epoch(replicas, data.train, epoch, stop, step, after_step).tolist()
        replicas.eager_because = getattr(step, "refusal", None)
        losses, pixel_counts = evaluate(replicas, data.validation, replicas.selectable())
        rows = _rows(replicas, epoch, train_losses, losses, pixel_counts)
        seconds = time.perf_counter() - started
        improved = []
        for progress, row in zip(replicas.progress, rows, strict=True):
            progress.seconds += seconds
            progress.images += len(data.train)
            improved.append(progress.add(row))
        replicas.keep_best(improved)
        after_epoch(replicas)


def train_epoch(
    replicas: Replicas,
    data: ImageStore,
    epoch: int,
    stop: Event,
    step: Step | None = None,
    after_step: Callable[[float], None] | None = None,
) -> Tensor:
    """One pass of every replica over its own shuffling of the training split; mean loss of each, (R,).

    step: `replicas.step_on(data)` of the epochs before, so that it is captured once and not in each.
    """
    replicas.set_rate(replicas.recipe.lr_at(epoch))
    total, seen, step = torch.zeros(len(replicas), device=replicas.device), 0, step or replicas.step_on(data)
    for drawn in steps_of(replicas, len(data), epoch):
        if stop.is_set():
            raise Interrupted
        width = drawn.order.shape[1]
        total += step(*drawn) * width
        seen += width
        if after_step is not None:
            after_step(seen / len(data))
    return total / seen


class Drawn(NamedTuple):
    """All that one step of R replicas draws: positions, rows of the two tables of `ImageStore`, (R, B), the objective's
    uniform numbers, (R, DRAWS), and factors of colour, (R, B, 3) or (R, B, 0)."""

    order: Tensor
    rot90_flip: Tensor
    rotation: Tensor
    objective: Tensor
    colour: Tensor


def steps_of(replicas: Replicas, images: int, epoch: int) -> Iterator[Drawn]:
    """What each step of an epoch over so many images draws, on the device: full batches, then the rest."""
    recipe = replicas.recipe
    how = images, recipe.batch, recipe.augment, recipe.augmentation
    draws = [draw_epoch(each.seed, epoch, *how) for each in replicas.progress]
    for same_width in zip(*draws, strict=True):
        stacked = (np.stack([getattr(each, name) for each in same_width], axis=1) for name in Drawn._fields)
        yield from map(Drawn, *(torch.from_numpy(each).to(replicas.device) for each in stacked))


@torch.no_grad()
def evaluate(
    replicas: Replicas,
    data: ImageStore,
    tensors: Tensors,
    *,
    batch: int | None = None,
    limit: int | None = None,
    seen: Callable[[Tensor, Tensor], None] | None = None,
) -> tuple[Tensor, Tensor]:
    """BCE + Dice of each image, (R, N), and its tp, fp, fn, tn in pixels, (R, N, 4) int64, in eval mode.

    tensors: stacked weights and buffers to evaluate. batch: images at a time, `EVALUATED` of the device by default.
    limit: only so many images, from the first. seen: called with the logits (R, B, 1, H, W) and the truth
    (B, 1, H, W) of each batch.
    """
    batch = batch or EVALUATED[replicas.device.type]
    losses, pixel_counts = [], []
    end = len(data) if limit is None else limit
    for start in range(0, end, batch):
        stop = min(start + batch, end)
        images, masks = data.plain(start, stop)
        logits = replicas.logits(images, tensors)  # (R, B, 1, H, W)
        losses.append(torch.stack([bce_dice_per_image(each, masks) for each in logits]))
        truth = data.truth(start, stop)
        pixel_counts.append(counts(logits, truth))
        if seen is not None:
            seen(logits, truth)
    return torch.cat(losses, dim=1), torch.cat(pixel_counts, dim=1)


def _rows(
    replicas: Replicas, epoch: int, train_losses: list[float], losses: Tensor, pixel_counts: Tensor
) -> list[EpochRecord]:
    """What an epoch was, of each replica; losses (R, N) and counts (R, N, 4) of the validation split."""
    validation_losses, metrics = losses.mean(dim=1).tolist(), [pooled(each) for each in pixel_counts.cpu().numpy()]
    lr = replicas.recipe.lr_at(epoch)
    return [
        EpochRecord(epoch, lr, train_loss, validation_loss, each["iou"], each["dsc"])
        for train_loss, validation_loss, each in zip(train_losses, validation_losses, metrics, strict=True)
    ]
