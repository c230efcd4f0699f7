"""Scoring: what the best weights of a group predict on one part of a data set. Nothing is written here.

Letters: R replicas, N images of the part, H = W pixels.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from benchmarks.training.batches import ImageStore
from benchmarks.training.loop import evaluate
from benchmarks.training.pixel_counts import predicted
from benchmarks.training.replicas import Replicas
from results.probabilities import BINS, EDGES


@dataclass(frozen=True, eq=False)
class Scores:
    """What a group predicted on one part of a data set."""

    ids: tuple[str, ...]
    """Of the N images, in the order of the counts."""
    counts: np.ndarray
    """tp, fp, fn, tn of each image in pixels, (R, N, 4) int64."""
    masks: np.ndarray = field(repr=False)
    """Predicted masks, (R, N, H, W) bool."""
    spread: np.ndarray = field(repr=False)
    """Pixels of each image by truth (skin, lesion) and bin of the predicted probability, (R, N, 2, BINS) int64."""


def score(replicas: Replicas, part: ImageStore) -> Scores:
    """Score the best weights of each replica on every image of the part, once.

    Raises ValueError where the part does not know the ids of its images.
    """
    if len(part.ids) != len(part):
        raise ValueError(f"{len(part)} images without their ids cannot be scored")
    masks: list[np.ndarray] = []
    spreads: list[np.ndarray] = []

    def seen(logits: Tensor, truth: Tensor) -> None:
        masks.append(predicted(logits)[:, :, 0].cpu().numpy())
        spreads.append(_spread(logits, truth).cpu().numpy())

    _, counts = evaluate(replicas, part, replicas.best, seen=seen)
    return Scores(part.ids, counts.cpu().numpy(), np.concatenate(masks, axis=1), np.concatenate(spreads, axis=1))


def _spread(logits: Tensor, truth: Tensor) -> Tensor:
    """(R, B, 1, H, W) logits and (B, 1, H, W) bool to (R, B, 2, BINS) pixels. What is not a number is in no bin."""
    probability = logits.sigmoid().contiguous()
    edges = torch.tensor(EDGES[1:-1], dtype=probability.dtype, device=probability.device)
    cell = torch.bucketize(probability, edges, right=True) + BINS * truth
    pixels = probability.isfinite().flatten(2).long()
    found = torch.zeros(*logits.shape[:2], 2 * BINS, dtype=torch.int64, device=logits.device)
    return found.scatter_add_(-1, cell.flatten(2), pixels).unflatten(-1, (2, BINS))
