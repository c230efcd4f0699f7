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

from benchmarks.training.kernels.arrays import planes
from benchmarks.training.kernels.held import Held
from benchmarks.training.kernels.jit import kernel
from benchmarks.training.kernels.norm import (
    means,
    moments,
    relu_gradient,
    relu_planes,
    relu_sums,
    statistics,
)
from benchmarks.training.kernels.products import TILE, outer, product, transposed
from benchmarks.training.kernels.upsampling import double, double_gradient, table


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
def _backward(g, x, y, w, stats, training, side, dx, dw, dnorm):
    """g (B, O, n or 4n) to dx (B, C, n), dw (O, C), and dnorm (2, O) of the norm's bias and weight."""
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
    dw[:], dnorm[:] = total, sums


def point(x: Tensor, held: Held, *, up: bool = False) -> Tensor:
    """ReLU(batch norm(1x1 convolution)) of x (B, C, H, W), of x upsampled by two where `up`. held: w, and the norm."""
    if torch.is_grad_enabled():
        return _Point.apply(x, held, up, *held.tensors)
    return _values(x, held, up, keep=False)[0]


def _values(x: Tensor, held: Held, up: bool, *, keep: bool) -> tuple:
    """The result; x as an array, y, the norm's statistics, whether it trains. y is one image's if not to be kept."""
    batch, _, height, width = x.shape
    factor, (w, *_) = 2 if up else 1, held.arrays
    out = x.new_empty(batch, len(w), factor * height, factor * width)
    a, to, training = planes(x), planes(out), held.training(out.shape)
    y = np.empty((batch if keep or training else 1, *to.shape[1:]), to.dtype)
    return out, a, y, _forward(a, w, training, held.norm, width if up else 0, y, to), training


class _Point(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, held: Held, up: bool, *tensors: Tensor) -> Tensor:
        out, *ctx.kept = _values(x, held, up, keep=True)
        ctx.held, ctx.w, ctx.shape, ctx.side = held, held.arrays[0], x.shape, x.shape[3] if up else 0
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple:
        x, y, stats, training = ctx.kept
        dx, (gradients, to) = g.new_empty(ctx.shape), ctx.held.gradients()
        _backward(planes(g), x, y, ctx.w, stats, training, ctx.side, planes(dx), *to)
        return dx, None, None, *gradients
