"""1x1 convolution, batch norm and ReLU, with or without a bilinear upsampling by two before them.

A 1x1 convolution without bias mixes channels and bilinear interpolation mixes pixels, both with fixed weights: they
commute exactly. Convolved below the upsampling there is a quarter of the pixels, and fewer channels to upsample.

Letters: B images, C channels in, O out, n pixels, h x w pixels below the upsampling.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from benchmarks.kernels.arrays import arrays, matrix, new, planes, tensors
from benchmarks.kernels.jit import kernel
from benchmarks.kernels.norm import (
    means,
    moments,
    relu_gradient,
    relu_planes,
    relu_sums,
    statistics,
)
from benchmarks.kernels.products import TILE, outer, product, transposed
from benchmarks.kernels.upsampling import double, double_gradient, table


@kernel
def _forward(x, w, training, norm, side, y, out):
    """x (B, C, n) to out (B, O, n or 4n) and y, what the norm saw: (B, O, ...), or (1, O, ...) where it is not kept."""
    batch, n, outs = len(x), x.shape[2], len(w)
    low = np.empty((outs, n if side else 0), x.dtype)
    mean, square, count = np.zeros(outs), np.zeros(outs), 0
    stats = statistics(1, mean, square, norm, False)
    rows, columns = table(n // max(side, 1), x), table(side, x)
    strip = np.empty(2 * side + 2, x.dtype)
    for b in range(batch):
        to = y[b % len(y)]
        for start in range(0, n, TILE):
            product(w, x[b], start, low if side else to, start, min(TILE, n - start), False)
        if side:
            for o in range(outs):
                double(low[o], rows, columns, strip, to[o])
        if training:
            moments(to, count, mean, square)
            count += to.shape[1]
        else:
            relu_planes(to, stats, out[b])
    if training:
        stats = statistics(count, mean, square, norm, True)
        for b in range(batch):
            relu_planes(y[b], stats, out[b])
    return stats


@kernel
def _backward(g, x, y, w, stats, training, side, dx, dw):
    """g (B, O, n or 4n) to dx (B, C, n) and dw (O, C); the sums (2, O) that are beta's and gamma's gradients."""
    batch, n, outs = len(x), x.shape[2], len(w)
    sums = relu_sums(g, y, stats)
    back = means(sums, batch * y.shape[2], training, y)
    width = y.shape[2] if side else TILE
    dy, low = np.empty((outs, width), y.dtype), np.empty((outs, n if side else 0), y.dtype)
    rows, columns = table(n // max(side, 1), x), table(side, x)
    strip = np.empty(2 * side + 2, x.dtype)
    total, across = np.zeros(w.shape), transposed(w)
    for b in range(batch):
        if side:
            for o in range(outs):
                relu_gradient(g[b, o], y[b, o], stats, back, o, dy[o])
                double_gradient(dy[o], rows, columns, strip, low[o])
        for start in range(0, n, TILE):
            m = min(TILE, n - start)
            if side:
                outer(low, start, x[b], start, m, total)
                product(across, low, start, dx[b], start, m, False)
            else:
                for o in range(outs):
                    stop = start + m
                    relu_gradient(g[b, o, start:stop], y[b, o, start:stop], stats, back, o, dy[o, :m])
                outer(dy, 0, x[b], start, m, total)
                product(across, dy, 0, dx[b], start, m, False)
    dw[:] = total
    return sums


def point(x: Tensor, w: Tensor, norm: tuple, *, up: bool = False) -> Tensor:
    """ReLU(batch norm(1x1 convolution)) of x (B, C, H, W), of x upsampled by two where `up`. norm: `norm.arguments`."""
    if torch.is_grad_enabled():
        return _Point.apply(x, w, up, *norm)
    return _values(x, w, up, norm, keep=norm[0])[0]


def _values(x: Tensor, w: Tensor, up: bool, norm: tuple, *, keep: bool) -> tuple[Tensor, np.ndarray, np.ndarray]:
    """The result, y of all images, or of one image where they need not be kept, and the norm's statistics."""
    batch, _, height, width = x.shape
    factor = 2 if up else 1
    out = x.new_empty(batch, len(w), factor * height, factor * width)
    to = planes(out)
    y = np.empty((batch if keep else 1, *to.shape[1:]), to.dtype)
    stats = _forward(planes(x), matrix(w), norm[0], arrays(norm[1:]), width if up else 0, y, to)
    return out, y, stats


class _Point(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, up: bool, *norm: Any) -> Tensor:
        out, ctx.y, ctx.stats = _values(x, w, up, norm, keep=True)
        ctx.save_for_backward(x, w)
        ctx.training, ctx.side = norm[0], x.shape[3] if up else 0
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple:
        x, w = ctx.saved_tensors
        dx, dw = new(x), new(w)
        values = planes(g), planes(x), ctx.y, matrix(w), ctx.stats, ctx.training, ctx.side
        beta, gamma = tensors(_backward(*values, planes(dx), matrix(dw)), w)
        return dx, dw, None, None, gamma, beta, None, None, None, None
