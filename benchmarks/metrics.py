"""Pixel counts on the device. What is made of them stands in results/metrics.py."""

import torch
from torch import Tensor


def counts(logits: Tensor, truth: Tensor) -> Tensor:
    """Per image tp, fp, fn, tn in pixels: (..., 1, H, W) logits and (..., 1, H, W) bool truth to (..., 4) int64.

    A pixel is predicted where its probability is at least 0.5, that is where its logit is not negative.
    """
    predicted = logits >= 0
    pairs = (predicted & truth, predicted & ~truth, ~predicted & truth, ~predicted & ~truth)
    return torch.stack([pair.sum(dim=(-3, -2, -1)) for pair in pairs], dim=-1)
