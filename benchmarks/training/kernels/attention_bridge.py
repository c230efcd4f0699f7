"""The bridge of MALUNet and ULVM-UNet: a gate over the pixels of each skip, then one over its channels.

With s a skip's gate over pixels and g that over channels, the authors' attended, summed and gated skips are
x s, x (1 + s) and x (g (1 + s) + s), which three kernels make in few passes over memory.

Letters: B images, C channels, H x W pixels, n = H * W.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from benchmarks.training.kernels.arrays import array, new, planes, tensors
from benchmarks.training.kernels.depthwise_conv import backward as depthwise_backward
from benchmarks.training.kernels.depthwise_conv import forward as depthwise
from benchmarks.training.kernels.elementary import exp
from benchmarks.training.kernels.jit import kernel, summing
from benchmarks.training.kernels.products import copy

TILE = 1024


@kernel
def _summary_row(row, c, total, largest, where):
    """Take channel c into the sum and the maximum, the first of equal ones; NaN is larger than all, as in torch."""
    for p in range(row.size):
        v = row[p]
        take = (v > largest[p]) | ((v != v) & (largest[p] == largest[p])) | (c == 0)
        total[p] = v + (total[p] if c > 0 else v * 0)
        largest[p] = v if take else largest[p]
        where[p] = c if take else where[p]


@kernel
def _multiply(row, factor):
    for p in range(row.size):
        row[p] *= factor


@kernel
def _summarise(x, summary, where):
    """Mean and maximum over the channels of x (B, C, n), (B, 2, n), and the maximum's channel (B, n), int32."""
    share = x.dtype.type(1) / x.dtype.type(x.shape[1])
    for b in range(len(x)):
        for start in range(0, x.shape[2], TILE):
            at = slice(start, min(start + TILE, x.shape[2]))
            for c in range(x.shape[1]):
                _summary_row(x[b, c, at], c, summary[b, 0, at], summary[b, 1, at], where[b, at])
            _multiply(summary[b, 0, at], share)


@kernel
def _gate(both, bias, gate):
    """gate (B, n) = sigmoid of the sum of two planes (B, 2, n) and a bias."""
    one = gate.dtype.type(1)
    for b in range(len(gate)):
        for p in range(gate.shape[1]):
            gate[b, p] = one / (one + exp(-(both[b, 0, p] + both[b, 1, p] + bias)))


@kernel
def _gate_slope(g, gate, both):
    """The gradient of both planes (B, 2, n)."""
    one = gate.dtype.type(1)
    for b in range(len(gate)):
        for p in range(gate.shape[1]):
            both[b, 0, p] = g[b, p] * gate[b, p] * (one - gate[b, p])
        copy(both[b, 0], both[b, 1])


@kernel
def _from_summary(d, where, c, share, to):
    mean, largest = d[0], d[1]
    for p in range(to.size):
        to[p] = mean[p] * share + (largest[p] if where[p] == c else share * 0)


@kernel
def _unsummarise(d, where, dx):
    """dx (B, C, n) from the gradient (B, 2, n) of the summary."""
    share = dx.dtype.type(1) / dx.dtype.type(dx.shape[1])
    for b in range(len(dx)):
        for c in range(dx.shape[1]):
            _from_summary(d[b], where[b], c, share, dx[b, c])


class _PixelGate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, dilation: int) -> Tensor:
        values = planes(x)
        shape = (len(x), 2, *x.shape[2:])
        summary, both = np.empty(shape, values.dtype), np.empty(shape, values.dtype)
        where, gate = np.empty((len(x), values.shape[2]), np.int32), x.new_empty(len(x), 1, *x.shape[2:])
        _summarise(values, summary.reshape(len(x), 2, -1), where)
        none = np.zeros(2, values.dtype)
        depthwise(summary, 0, array(weight)[0], none, dilation, False, both, 0)
        _gate(both.reshape(len(x), 2, -1), array(bias)[0], array(gate).reshape(len(x), -1))
        ctx.save_for_backward(x, weight)
        ctx.rest = summary, where, gate, dilation
        return gate

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (x, weight), (summary, where, gate, dilation) = ctx.saved_tensors, ctx.rest
        both, to_summary, to_x = np.empty_like(summary), np.empty_like(summary), new(x)
        flat = len(x), 2, -1
        _gate_slope(array(gradient).reshape(len(x), -1), array(gate).reshape(len(x), -1), both.reshape(flat))
        to_weight, to_bias = np.zeros(weight.shape[1:]), np.zeros(2)
        depthwise_backward(both, 0, summary, 0, array(weight)[0], dilation, to_summary, 0, to_weight, to_bias)
        _unsummarise(to_summary.reshape(flat), where, planes(to_x))
        return to_x, *tensors((to_weight[None], to_bias[:1]), weight), None


def pixel_gate(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """sigmoid(conv(cat(mean, maximum over channels))): (B, C, H, W) to (B, 1, H, W). conv: 2 to 1 channels, square."""
    assert conv.bias is not None
    return _PixelGate.apply(x, conv.weight, conv.bias, conv.dilation[0])


@summing
def _weighted_sum(row, gate):
    total = row.dtype.type(0)
    for p in range(row.size):
        total += row[p] + row[p] * gate[p]
    return total


@kernel
def _pool(x, gate, pooled):
    """pooled (B, C): means of x (1 + gate); x (B, C, n), gate (B, n)."""
    n = x.shape[2]
    for b in range(len(x)):
        for c in range(x.shape[1]):
            total = 0.0
            for start in range(0, n, TILE):
                at = slice(start, min(start + TILE, n))
                total += _weighted_sum(x[b, c, at], gate[b, at])
            pooled[b, c] = total / n


@kernel
def _combined(x, gate, g, to):
    one = x.dtype.type(1)
    for p in range(x.size):
        to[p] = x[p] * (g * (one + gate[p]) + gate[p])


@kernel
def _combine(x, gate, g, out):
    """out (B, C, n) = x (g (1 + gate) + gate) with gate (B, n) and g (B, C)."""
    for b in range(len(x)):
        for c in range(x.shape[1]):
            _combined(x[b, c], gate[b], g[b, c], out[b, c])


@kernel
def _pooled_back(row, gate, d, to, to_gate):
    one = row.dtype.type(1)
    for p in range(row.size):
        to[p] = d * (one + gate[p])
        to_gate[p] += d * row[p]


@kernel
def _pool_back(d, x, gate, dx, d_gate):
    """dx (B, C, n), and d_gate (B, n), which is added to, from the gradient d (B, C) of `_pool`."""
    for b in range(len(x)):
        for c in range(x.shape[1]):
            _pooled_back(x[b, c], gate[b], d[b, c] / x.dtype.type(x.shape[2]), dx[b, c], d_gate[b])


@summing
def _combined_back(d, x, gate, g, dx, d_gate):
    """Adds to d_gate, sets dx and returns the gradient of g."""
    one, total = x.dtype.type(1), x.dtype.type(0)
    for p in range(x.size):
        dx[p] = d[p] * (g * (one + gate[p]) + gate[p])
        d_gate[p] += d[p] * x[p] * (g + one)
        total += d[p] * x[p] * (one + gate[p])
    return total


@kernel
def _combine_back(d, x, gate, g, dx, d_gate, d_g):
    """dx (B, C, n), d_gate (B, n), which is added to, and d_g (B, C) from the gradient d (B, C, n) of `_combine`."""
    for b in range(len(x)):
        for c in range(x.shape[1]):
            total = 0.0
            for start in range(0, x.shape[2], TILE):
                at = slice(start, min(start + TILE, x.shape[2]))
                rows = d[b, c, at], x[b, c, at], gate[b, at]
                total += _combined_back(rows[0], rows[1], rows[2], g[b, c], dx[b, c, at], d_gate[b, at])
            d_g[b, c] = total


class _Pool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, gate: Tensor) -> Tensor:
        pooled = x.new_empty(x.shape[:2])
        _pool(planes(x), planes(gate)[:, 0], array(pooled))
        ctx.save_for_backward(x, gate)
        return pooled

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        x, gate = ctx.saved_tensors
        to_x, to_gate = new(x), torch.zeros_like(gate)
        _pool_back(array(gradient), planes(x), planes(gate)[:, 0], planes(to_x), planes(to_gate)[:, 0])
        return to_x, to_gate


class _Combine(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, gate: Tensor, channel_gate: Tensor) -> Tensor:
        out = new(x)
        _combine(planes(x), planes(gate)[:, 0], array(channel_gate), planes(out))
        ctx.save_for_backward(x, gate, channel_gate)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, gate, channel_gate = ctx.saved_tensors
        to_x, to_gate, to_channel = new(x), torch.zeros_like(gate), new(channel_gate)
        values = planes(x), planes(gate)[:, 0], array(channel_gate)
        _combine_back(planes(gradient), *values, planes(to_x), planes(to_gate)[:, 0], array(to_channel))
        return to_x, to_gate, to_channel


def pool(x: Tensor, gate: Tensor) -> Tensor:
    """Means over the pixels of x (1 + gate): (B, C, H, W) and (B, 1, H, W) to (B, C)."""
    return _Pool.apply(x, gate)


def combine(x: Tensor, gate: Tensor, channel_gate: Tensor) -> Tensor:
    """x (channel_gate (1 + gate) + gate): of (B, C, H, W), (B, 1, H, W) and (B, C)."""
    return _Combine.apply(x, gate, channel_gate)
