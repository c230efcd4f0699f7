"""LB-UNet's losses of probabilities, and the boundary that it is trained on.

Letters: B images, H x W pixels, n = H * W.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from benchmarks.training.kernels.arrays import array, matrix, new
from benchmarks.training.kernels.jit import kernel, summing
from benchmarks.training.kernels.loss import LEAST, SMOOTH, cross_entropy
from benchmarks.training.kernels.products import BLOCK


@summing
def _block(p, t):
    """Sums of the cross-entropies, of p t, of p and of t."""
    a = b = c = d = p.dtype.type(0)
    for i in range(p.size):
        a += cross_entropy(p[i], t[i])
        b += p[i] * t[i]
        c += p[i]
        d += t[i]
    return a, b, c, d


@kernel
def _forward(p, t, entropy_weight, dice_weight, sums):
    """The mean loss over images of p, t (B, n), and sums (B, 3) of p t, p and t."""
    batch, n = p.shape
    loss = 0.0
    for b in range(batch):
        entropy = 0.0
        for start in range(0, n, BLOCK):
            at = slice(start, min(start + BLOCK, n))
            a, both, ps, ts = _block(p[b, at], t[b, at])
            entropy += a
            sums[b, 0] += both
            sums[b, 1] += ps
            sums[b, 2] += ts
        dice = 1 - (2 * sums[b, 0] + SMOOTH) / (sums[b, 1] + sums[b, 2] + SMOOTH)
        loss += entropy_weight * entropy / n + dice_weight * dice
    return loss / batch


@kernel
def _gradient_row(p, t, u, v, w, g):
    one, least = p.dtype.type(1), p.dtype.type(LEAST)
    for i in range(p.size):
        slope = p[i] * (one - p[i])
        g[i] = (p[i] - t[i]) / (least if slope < least else slope) * u + v * t[i] + w


@kernel
def _backward(scale, p, t, entropy_weight, dice_weight, sums, g):
    batch, n = p.shape
    kind = p.dtype.type
    for b in range(batch):
        share, union = scale / batch, sums[b, 1] + sums[b, 2] + SMOOTH
        whole = dice_weight * share / union
        dice = whole * (2 * sums[b, 0] + SMOOTH) / union
        _gradient_row(p[b], t[b], kind(entropy_weight * share / n), kind(-2 * whole), kind(dice), g[b])


class _Loss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, p: Tensor, targets: Tensor, entropy_weight: float, dice_weight: float) -> Tensor:
        ctx.t, ctx.sums, ctx.weights = matrix(targets), np.zeros((len(p), 3)), (entropy_weight, dice_weight)
        ctx.save_for_backward(p)
        return p.new_tensor(_forward(matrix(p), ctx.t, *ctx.weights, ctx.sums))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (p,) = ctx.saved_tensors
        to_p = new(p)
        _backward(float(gradient), matrix(p), ctx.t, *ctx.weights, ctx.sums, matrix(to_p))
        return to_p, None, None, None


def weighed_loss(probabilities: Tensor, targets: Tensor, entropy_weight: float, dice_weight: float) -> Tensor:
    """entropy_weight BCE + dice_weight Dice of (B, 1, H, W), mean over images, a scalar. Targets get no gradient."""
    return _Loss.apply(probabilities, targets, entropy_weight, dice_weight)


@kernel
def _erode(x, to):
    """The smallest of each pixel and its four neighbours within (H, W)."""
    height, width = x.shape
    for i in range(height):
        row, above, below, out = x[i], x[max(i - 1, 0)], x[min(i + 1, height - 1)], to[i]
        for j in range(width):
            v = min(min(row[j], above[j]), below[j])
            v = min(v, row[j - 1] if j > 0 else v)
            out[j] = min(v, row[j + 1] if j + 1 < width else v)


@kernel
def _inner_boundary(masks, out):
    inside, once = np.empty(masks.shape[1:], masks.dtype), np.empty(masks.shape[1:], masks.dtype)
    twice = np.empty(masks.shape[1:], masks.dtype)
    half, one, zero = masks.dtype.type(0.5), masks.dtype.type(1), masks.dtype.type(0)
    for b in range(len(masks)):
        for i in range(masks.shape[1]):
            for j in range(masks.shape[2]):
                inside[i, j] = one if masks[b, i, j] >= half else zero
        _erode(inside, once)
        _erode(once, twice)
        out[b] = inside - twice


def inner_boundary(masks: Tensor) -> Tensor:
    """`benchmarks.objectives.losses.inner_boundary` of masks (B, 1, H, W)."""
    out = new(masks)
    _inner_boundary(array(masks)[:, 0], array(out)[:, 0])
    return out


def boundary_supervision(forward: Callable[[Tensor], Any], images: Tensor, masks: Tensor, draws: Tensor) -> Tensor:
    """`benchmarks.objectives.losses.boundary_supervision`, the objective of LB-UNet, by kernels."""
    logits, sides, boundaries = forward(images)
    main, edge = weighed_loss(logits.sigmoid(), masks, 1.0, 2.0), inner_boundary(masks)
    of_sides = [0.1 * (k + 1) * weighed_loss(each.sigmoid(), masks, 0.5, 1.0) for k, each in enumerate(sides)]
    of_edges = [0.1 * (k + 1) * weighed_loss(each, edge, 0.5, 1.0) for k, each in enumerate(boundaries)]
    return main + torch.stack(of_sides).sum() + torch.stack(of_edges).sum()
