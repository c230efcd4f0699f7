"""A network's first layers, 3x3 convolution, batch norm and ReLU: few channels, which fill no block of oneDNN's.

Letters: B images, C channels in, O out, n = H x W pixels, s distance of padded rows.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from benchmarks.training.kernels.arrays import planes
from benchmarks.training.kernels.depthwise import CENTRE, OUTER, centre_sum, nine, padded, place, take, tap_sums, taps
from benchmarks.training.kernels.held import Held
from benchmarks.training.kernels.jit import kernel
from benchmarks.training.kernels.norm import means, moments, relu_gradient, relu_planes, relu_sums, statistics
from benchmarks.training.kernels.products import TILE


@kernel
def _split(w, transposed):
    """w (O, 9C) as outer taps (O, C, 8) and centres (O, C); transposed: (C, O, ...), turned by half a turn."""
    outs, channels = (w.shape[1] // 9, len(w)) if transposed else (len(w), w.shape[1] // 9)
    outer_taps, centres = np.empty((outs, channels, 8), w.dtype), np.empty((outs, channels), w.dtype)
    for o in range(outs):
        for c in range(channels):
            k = w[c, 9 * o : 9 * o + 9][::-1] if transposed else w[o, 9 * c : 9 * c + 9][::1]
            centres[o, c] = k[CENTRE]
            for t in range(8):
                outer_taps[o, c, t] = k[OUTER[t]]
    return outer_taps, centres


@kernel
def _convolve(outer_taps, centres, pads, width, s, first, strip, to):
    """to (O, n) = convolution of padded planes (C, ...) whose first pixel is at `first`."""
    zero, height, rows = to.dtype.type(0), to.shape[1] // width, strip.size // s
    for i in range(0, height, rows):
        m, at = min(rows, height - i), first + i * s
        for o in range(to.shape[0]):
            for c in range(len(pads)):
                upper, lower = taps(pads[c], s, 1, at, m * s)
                nine(outer_taps[o, c], upper, lower, centres[o, c], pads[c, at : at + m * s], strip[: m * s], c > 0)
            take(strip, width, s, to[o, i * width : (i + m) * width], zero)


@kernel
def _forward(x, width, w, training, norm, y, out):
    """x (B, C, n), w (O, 9C) to out (B, O, n), and y before the norm, (B, O, n), or (1, O, n) if not kept."""
    batch, channels, n = x.shape
    outs, s = len(w), width + 1
    pads, first = padded(channels, n // width, width, 1, x)
    outer_taps, centres = _split(w, False)
    strip = np.empty(max(1, TILE // s) * s, x.dtype)
    mean, square, count = np.zeros(outs), np.zeros(outs), 0
    stats = statistics(1, mean, square, norm, False)
    for b in range(batch):
        to = y[b % len(y)]
        for c in range(channels):
            place(x[b, c], width, s, pads[c], first)
        _convolve(outer_taps, centres, pads, width, s, first, strip, to)
        if training:
            moments(to, count, mean, square)
            count += n
        else:
            relu_planes(to, stats, out[b])
    if training:
        stats = statistics(count, mean, square, norm, True)
        for b in range(batch):
            relu_planes(y[b], stats, out[b])
    return stats


@kernel
def _backward(g, x, y, width, w, training, stats, dx, dw, dnorm):
    """g (B, O, n) to dw (O, 9C), and to dx (B, C, n) if it is not empty; dnorm (2, O)."""
    batch, channels, n = x.shape
    outs, height, s = len(w), n // width, width + 1
    sums = relu_sums(g, y, stats)
    back = means(sums, batch * n, training, y)
    pads, first = padded(channels, height, width, 1, x)
    dpads, _ = padded(outs, height, width, 1, x)
    outer_taps, centres = _split(w, True)
    strip, dy = np.empty(max(1, TILE // s) * s, x.dtype), np.empty(n, x.dtype)
    total, into = np.zeros((outs, channels, 9)), np.zeros(8)
    for b in range(batch):
        for c in range(channels):
            place(x[b, c], width, s, pads[c], first)
        for o in range(outs):
            relu_gradient(g[b, o], y[b, o], stats, back, o, dy)
            place(dy, width, s, dpads[o], first)
            for c in range(channels):
                into[:] = 0
                total[o, c, CENTRE] += centre_sum(dpads[o], first, height * s, pads[c], first)
                tap_sums(dpads[o], first, height * s, 1, pads[c], s, first, into)
                for t in range(8):
                    total[o, c, OUTER[t]] += into[t]
        if len(dx):
            _convolve(outer_taps, centres, dpads, width, s, first, strip, dx[b])
    dw[:], dnorm[:] = total.reshape(dw.shape), sums


def stem(x: Tensor, held: Held) -> Tensor:
    """ReLU(batch norm(3x3 convolution with padding 1)) of x (B, C, H, W). held: w (O, C, 3, 3), and the norm."""
    if torch.is_grad_enabled():
        return _Stem.apply(x, held, *held.tensors)
    return _values(x, held, keep=False)[0]


def _values(x: Tensor, held: Held, *, keep: bool) -> tuple:
    """The result; x as an array, y before the norm, the norm's statistics, whether it trains."""
    (w, *_), width = held.arrays, x.shape[3]
    out = x.new_empty(len(x), len(w), *x.shape[2:])
    a, to, training = planes(x), planes(out), held.training(out.shape)
    y = np.empty((len(to) if keep or training else 1, *to.shape[1:]), to.dtype)
    return out, a, y, _forward(a, width, w, training, held.norm, y, to), training


class _Stem(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, held: Held, *tensors: Tensor) -> Tensor:
        out, *ctx.kept = _values(x, held, keep=True)
        ctx.held, ctx.w, ctx.shape = held, held.arrays[0], x.shape
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple:
        x, y, stats, training = ctx.kept
        needed, (gradients, to) = ctx.needs_input_grad[0], ctx.held.gradients()
        dx = g.new_empty(ctx.shape if needed else (0, *ctx.shape[1:]))
        _backward(planes(g), x, y, ctx.shape[3], ctx.w, training, stats, planes(dx), *to)
        return dx if needed else None, None, *gradients
