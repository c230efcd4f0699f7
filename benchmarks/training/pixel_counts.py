"""Predicted pixels and their counts on the device. What is made of the counts stands in results/metrics.py."""

import torch
from torch import Tensor

THRESHOLD = 0.5
"""Probability from which a pixel is predicted as lesion; the authors' (`>=`), and their masks' too."""


def predicted(logits: Tensor) -> Tensor:
    """Whether each pixel is predicted as lesion, bool: its probability, rounded to the logit's type, is at least 0.5.

    The only place where logits become masks. A logit of -1e-9 in float32 has a sigmoid of exactly 0.5 and counts as
    lesion, as with the authors, who threshold the sigmoid that their networks end in.
    """
    return logits.sigmoid() >= THRESHOLD


def counts(logits: Tensor, truth: Tensor) -> Tensor:
    """Per image tp, fp, fn, tn in pixels: (..., 1, H, W) logits and (..., 1, H, W) bool truth to (..., 4) int64."""
    found = predicted(logits)
    pairs = (found & truth, found & ~truth, ~found & truth, ~found & ~truth)
    return torch.stack([pair.sum(dim=(-3, -2, -1)) for pair in pairs], dim=-1)
