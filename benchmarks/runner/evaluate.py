"""Scoring: what the best weights of a group predict on one part of a data set. Nothing is written here.

Letters: R replicas, N images of the part, H = W pixels.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256

import numpy as np
import torch

from benchmarks.training.batches import ImageStore
from benchmarks.training.data import Data
from benchmarks.training.loop import evaluate
from benchmarks.training.pixel_counts import predicted
from benchmarks.training.replicas import Replicas

PICTURED = 32  # images, chosen by id hash, whose predictions are kept for the qualitative figure


@dataclass(frozen=True, eq=False)
class Scores:
    """What a group predicted on one part of a data set."""

    ids: tuple[str, ...]
    """Of the N images, in the order of the counts."""
    counts: np.ndarray
    """tp, fp, fn, tn of each image in pixels, (R, N, 4) int64."""
    masks: dict[str, np.ndarray] = field(repr=False)
    """Predictions of the pictured images by id, each (R, H, W) bool."""


def score(replicas: Replicas, part: ImageStore, pictured: Iterable[str] = ()) -> Scores:
    """Score the best weights of each replica on every image of the part, once.

    pictured: ids of the images whose predictions are kept. Raises ValueError where the part does not know its ids.
    """
    if len(part.ids) != len(part):
        raise ValueError(f"{len(part)} images without their ids cannot be scored")
    _, counts = evaluate(replicas, part, replicas.best)
    masks = {name: _masks(replicas, part, part.ids.index(name)) for name in pictured}
    return Scores(part.ids, counts.cpu().numpy(), masks)


@torch.no_grad()
def _masks(replicas: Replicas, part: ImageStore, row: int) -> np.ndarray:
    """(R, H, W) bool: what each replica predicts on one image."""
    images, _ = part.plain(row, row + 1)
    return predicted(replicas.logits(images, replicas.best))[:, 0, 0].cpu().numpy()


def score_test(replicas: Replicas, data: Data) -> Scores:
    """What every run is scored on: the test part, with the predictions that the qualitative figure may show."""
    return score(replicas, data.test, pictured(data.test.ids))


def pictured(ids: Iterable[str]) -> list[str]:
    """The ids whose predictions are kept: the first by SHA-256 of "picture:" + id, the same for every network."""
    return sorted(ids, key=lambda name: sha256(f"picture:{name}".encode()).hexdigest())[:PICTURED]
