"""The suite's loss, clamped BCE + Dice of the sigmoid of logits, in two passes.

As in torch, which takes it of probabilities: each logarithm is at least -100, and the gradient comes back through the
rounded sigmoid p as (p - t) / max(p (1 - p), 1e-12) times p (1 - p), so that none comes back where p is 0 or 1.

Letters: B images, n pixels.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from benchmarks.training.kernels.activations import inlined, sigmoid
from benchmarks.training.kernels.arrays import matrix, new
from benchmarks.training.kernels.elementary import log
from benchmarks.training.kernels.jit import kernel, summing
from benchmarks.training.kernels.products import BLOCK

SMOOTH = 1.0
"""Of Dice, in numerator and denominator."""

LEAST = np.float32(1e-12)
"""Least p (1 - p) that the gradient is divided by; torch has it in float32 for float64 too."""


@inlined
def cross_entropy(p, t):
    """Of a probability and its target, each logarithm at least -100; NaN stays."""
    one, floor = type(p)(1.0), type(p)(-100.0)
    inside, outside = log(p), log(one - p)
    inside = floor if inside < floor else inside
    outside = floor if outside < floor else outside
    return (t - one) * outside - t * inside


@summing
def _block(z, t, p):
    """Sums of the cross-entropies, p t, p and t; sets p = sigmoid(z)."""
    a = b = c = d = z.dtype.type(0)
    for i in range(z.size):
        v = sigmoid(z[i])
        p[i] = v
        a += cross_entropy(v, t[i])
        b += v * t[i]
        c += v
        d += t[i]
    return a, b, c, d


@kernel
def _forward(z, t, p, sums):
    """z, t (B, n) to p (B, n) and sums (B, 3) of p t, p and t; returns the mean loss of the images."""
    batch, n = z.shape
    loss = 0.0
    for b in range(batch):
        entropy = 0.0
        for start in range(0, n, BLOCK):
            at = slice(start, min(start + BLOCK, n))
            a, both, ps, ts = _block(z[b, at], t[b, at], p[b, at])
            entropy += a
            sums[b, 0] += both
            sums[b, 1] += ps
            sums[b, 2] += ts
        loss += entropy / n + 1 - (2 * sums[b, 0] + SMOOTH) / (sums[b, 1] + sums[b, 2] + SMOOTH)
    return loss / batch


@kernel
def _gradient_row(p, t, u, v, w, g):
    one, least = p.dtype.type(1), p.dtype.type(LEAST)
    for i in range(p.size):
        slope = p[i] * (one - p[i])
        below = slope if slope > least else least
        g[i] = ((p[i] - t[i]) / below * u + v * t[i] + w) * slope


@kernel
def _backward(scale, p, t, sums, g):
    batch, n = p.shape
    kind = p.dtype.type
    for b in range(batch):
        share, union = scale / batch, sums[b, 1] + sums[b, 2] + SMOOTH
        dice = share * (2 * sums[b, 0] + SMOOTH) / (union * union)
        _gradient_row(p[b], t[b], kind(share / n), kind(-2 * share / union), kind(dice), g[b])


def bce_dice(logits: Tensor, masks: Tensor) -> Tensor:
    """BCE + Dice of logits (B, 1, H, W), mean over images, a scalar; masks (B, 1, H, W) in [0, 1] get no gradient."""
    return _Loss.apply(logits, masks)


class _Loss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, masks: Tensor) -> Tensor:
        ctx.t = matrix(masks)
        ctx.p, ctx.sums = np.empty_like(ctx.t), np.zeros((len(masks), 3))
        ctx.save_for_backward(logits)
        return logits.new_tensor(_forward(matrix(logits), ctx.t, ctx.p, ctx.sums))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        to = new(ctx.saved_tensors[0])
        _backward(float(g), ctx.p, ctx.t, ctx.sums, matrix(to))
        return to, None
