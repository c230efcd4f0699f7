"""The light skip gate (AULUNet's LSG): D + sigmoid(batch norm(1x1([D, E]))) E, in one pass and without joining D and E.

Letters: B images, C channels, n pixels.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from benchmarks.training.kernels.arrays import new, planes
from benchmarks.training.kernels.elementary import exp
from benchmarks.training.kernels.held import Held
from benchmarks.training.kernels.jit import kernel, row, row_sums
from benchmarks.training.kernels.norm import INVERSE, MEAN, SCALE, SHIFT, means, moments, statistics
from benchmarks.training.kernels.products import BLOCK, TILE, copy, outer, product, transposed


@row
def _gated_row(y, scale, shift, d, e, out):
    one = y.dtype.type(1)
    for p in range(y.size):
        out[p] = d[p] + e[p] / (one + exp(-(y[p] * scale + shift)))


@kernel
def _gated(y, stats, d, e, out):
    for c in range(y.shape[0]):
        _gated_row(y[c], stats[SCALE, c], stats[SHIFT, c], d[c], e[c], out[c])


@kernel
def _halves(w):
    """w (C, 2C) as (C, C) for the decoder and (C, C) for the encoder, contiguous."""
    channels = len(w)
    return w[:, :channels].copy(), w[:, channels:].copy()


@kernel
def _forward(d, e, w, training, norm, y, out):
    """d, e (B, C, n), w (C, 2C) to out (B, C, n), and y before the norm, (B, C, n), or (1, C, n) if not kept."""
    batch, channels, n = d.shape
    mean, square, count = np.zeros(channels), np.zeros(channels), 0
    stats = statistics(1, mean, square, norm, False)
    v, u = _halves(w)
    for b in range(batch):
        to = y[b % len(y)]
        for start in range(0, n, TILE):
            m = min(TILE, n - start)
            product(v, d[b], start, to, start, m, False)
            product(u, e[b], start, to, start, m, True)
        if training:
            moments(to, count, mean, square)
            count += n
        else:
            _gated(to, stats, d[b], e[b], out[b])
    if training:
        stats = statistics(count, mean, square, norm, True)
        for b in range(batch):
            _gated(y[b], stats, d[b], e[b], out[b])
    return stats


@row_sums
def _gate_row(g, y, e, scale, shift, mean, inverse, dv, de):
    """dv = gradient of the gate's argument v, de = gradient of e beside the gate; sums of dv, and with normalised y."""
    one = y.dtype.type(1)
    s = t = y.dtype.type(0)
    for p in range(y.size):
        gate = one / (one + exp(-(y[p] * scale + shift)))
        passed = g[p] * gate
        v = passed * (one - gate) * e[p]
        de[p] = passed
        dv[p] = v
        s += v
        t += v * ((y[p] - mean) * inverse)
    return s, t


@row
def _norm_row(dv, y, scale, mean, a, b, to):
    for p in range(y.size):
        to[p] = scale * (dv[p] - a - (y[p] - mean) * b)


@kernel
def _sums(g, e, y, stats, dd, de):
    """(2, C) float64: gradients of the norm's shift and scale; leaves that of the gate's argument in dd, part of de."""
    batch, channels, n = y.shape
    sums = np.zeros((2, channels))
    for b in range(batch):
        for c in range(channels):
            scale, shift, mean, inverse = stats[SCALE, c], stats[SHIFT, c], stats[MEAN, c], stats[INVERSE, c]
            for start in range(0, n, BLOCK):
                at = slice(start, min(start + BLOCK, n))
                rows = g[b, c, at], y[b, c, at], e[b, c, at]
                s, t = _gate_row(*rows, scale, shift, mean, inverse, dd[b, c, at], de[b, c, at])
                sums[0, c] += s
                sums[1, c] += t
    return sums


@kernel
def _backward(g, d, e, y, w, training, stats, dd, de, dw, dnorm):
    """g (B, C, n) to the gradients of d, e, w (C, 2C), and of the norm's bias and weight, (2, C)."""
    batch, channels, n = y.shape
    sums = _sums(g, e, y, stats, dd, de)
    back = means(sums, batch * n, training, y)
    v, u = _halves(w)
    across, total = (transposed(v), transposed(u)), (np.zeros(v.shape), np.zeros(v.shape))
    dy = np.empty((channels, TILE), y.dtype)
    for b in range(batch):
        for start in range(0, n, TILE):
            m = min(TILE, n - start)
            at = slice(start, start + m)
            for c in range(channels):
                scale, mean, slope = stats[SCALE, c], stats[MEAN, c], back[1, c] * stats[INVERSE, c]
                _norm_row(dd[b, c, at], y[b, c, at], scale, mean, back[0, c], slope, dy[c, :m])
                copy(g[b, c, at], dd[b, c, at])
            outer(dy, 0, d[b], start, m, total[0])
            outer(dy, 0, e[b], start, m, total[1])
            product(across[0], dy, 0, dd[b], start, m, True)
            product(across[1], dy, 0, de[b], start, m, True)
    dw[:, :channels], dw[:, channels:], dnorm[:] = total[0], total[1], sums


def skip(decoder: Tensor, encoder: Tensor, held: Held) -> Tensor:
    """LSG of decoder and encoder features (B, C, H, W). held: w, and the norm."""
    if torch.is_grad_enabled():
        return _Skip.apply(decoder, encoder, held, *held.tensors)
    return _values(decoder, encoder, held, keep=False)[0]


def _values(d: Tensor, e: Tensor, held: Held, *, keep: bool) -> tuple:
    """The result; d and e as arrays, y before the norm, the norm's statistics, whether it trains."""
    out = new(d)
    a, b, to, training = planes(d), planes(e), planes(out), held.training(d.shape)
    y = np.empty((len(to) if keep or training else 1, *to.shape[1:]), to.dtype)
    return out, a, b, y, _forward(a, b, held.arrays[0], training, held.norm, y, to), training


class _Skip(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, d: Tensor, e: Tensor, held: Held, *tensors: Tensor) -> Tensor:
        out, *ctx.kept = _values(d, e, held, keep=True)
        ctx.held, ctx.w = held, held.arrays[0]
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple:
        d, e, y, stats, training = ctx.kept
        dd, de, (gradients, to) = new(g), new(g), ctx.held.gradients()
        _backward(planes(g), d, e, y, ctx.w, training, stats, planes(dd), planes(de), *to)
        return dd, de, None, *gradients
