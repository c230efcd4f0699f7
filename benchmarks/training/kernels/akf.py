"""Adaptive kernel fusion (AULUNet's AKF) in one pass: branches, gate, mix, 1x1 convolution, batch norm and ReLU.

A mix of convolutions of one image is the convolution with the mixed kernel, g (K1 * x) + (1 - g) (K2 * x) =
(g K1 + (1 - g) K2) * x, exactly. Each image thus has one kernel per channel: two dilated 3x3 kernels share their centre
and make 17 taps, not 18; three make 25. No branch is stored: all that the gate's gradient needs of the branches is in
the gradient of the mixed kernel's taps. The mixed map is stored, because to read it is faster than to compute it again.

Letters: B images, C channels in, O out, H x W pixels, J branches, s distance of padded rows.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from benchmarks.training.kernels.arrays import planes
from benchmarks.training.kernels.depthwise import CENTRE, OUTER, fused_taps, padded, place, take, tap_sums
from benchmarks.training.kernels.held import Held
from benchmarks.training.kernels.jit import kernel
from benchmarks.training.kernels.norm import means, moments, relu_gradient, relu_planes, relu_sums, statistics
from benchmarks.training.kernels.products import TILE, outer, plane_sum, product, transposed


@kernel
def _weights(gap, gate_w, gate_b, to):
    """to (J, C): share of each branch, from pooled features (C,): 1; a and 1 - a of a sigmoid; or a softmax."""
    branches, channels = to.shape
    logits = np.empty(len(gate_b))
    for k in range(len(gate_b)):
        logits[k] = gate_b[k]
        for c in range(channels):
            logits[k] += gate_w[k, c] * gap[c]
    if branches == 1:
        to[:] = 1
    elif branches == 2:
        to[0] = 1 / (1 + np.exp(-logits))
        to[1] = 1 - to[0]
    else:
        shares = np.exp(logits - logits.max())
        for j in range(branches):
            to[j] = shares[j] / shares.sum()


@kernel
def _weights_gradient(weights, dweights, gap, gate_w, dgate_w, dgate_b, dgap):
    """From the gradient of the shares (J, C): adds to the gate's gradients, sets that of the pooled features."""
    branches, channels = weights.shape
    dlogits = np.zeros(len(dgate_b))
    if branches == 2:
        for c in range(channels):
            dlogits[c] = (dweights[0, c] - dweights[1, c]) * weights[0, c] * weights[1, c]
    elif branches > 2:
        mean = (dweights * weights).sum()
        for j in range(branches):
            dlogits[j] = weights[j, 0] * (dweights[j].sum() - mean)
    dgap[:] = 0
    for k in range(len(dgate_b)):
        dgate_b[k] += dlogits[k]
        for c in range(channels):
            dgate_w[k, c] += dlogits[k] * gap[c]
            dgap[c] += dlogits[k] * gate_w[k, c]


@kernel
def _mixed(branches, weights, turned, outer_taps, centres):
    """The mixed kernels: outer taps (C, J, 8), turned by half a turn if `turned`, and centres (C,).

    branches (J, C, 9), their shares: weights (J, C).
    """
    for c in range(len(centres)):
        centres[c] = 0
        for j in range(len(branches)):
            centres[c] += weights[j, c] * branches[j, c, CENTRE]
            for t in range(8):
                outer_taps[c, j, t] = weights[j, c] * branches[j, c, OUTER[7 - t if turned else t]]


@kernel
def _mixed_gradient(dtaps, branches, weights, dbranches, dweights):
    """From the gradients of mixed taps (C, J, 9): adds to that of branches (J, C, 9), sets that of shares (J, C)."""
    for c in range(len(dtaps)):
        for j in range(len(branches)):
            dweights[j, c] = 0
            for t in range(9):
                dbranches[j, c, t] += weights[j, c] * dtaps[c, j, t]
                dweights[j, c] += branches[j, c, t] * dtaps[c, j, t]


@kernel
def _forward(x, layers, training, norm, z, y, out, gap, weights):
    """x (B, C, n) to out (B, O, n); z (B, C, H s), mixed and still padded, y (B, O, n) before the norm, one image's
    where they are not kept; gap (B, C) and weights (B, J, C); the norm's statistics.

    layers: the width of x, branches (J, C, 9), their dilations (J,), the gate's weights (K, C) and bias (K,), w (O, C).
    """
    width, branches, dilations, gate_w, gate_b, w = layers
    batch, channels, n = x.shape
    outs, height, s = len(w), n // width, width + dilations.max()
    rows = max(1, TILE // s)
    pads, first = padded(channels, height, width, s - width, x)
    k, centres = np.empty((channels, len(branches), 8), x.dtype), np.empty(channels, x.dtype)
    strip = np.empty((outs, rows * s), x.dtype)
    mean, square, count = np.zeros(outs), np.zeros(outs), 0
    stats = statistics(1, mean, square, norm, False)
    for b in range(batch):
        mixed, to = z[b % len(z)], y[b % len(y)]
        for c in range(channels):
            place(x[b, c], width, s, pads[c], first)
            gap[b, c] = plane_sum(x[b, c]) / n
        _weights(gap[b], gate_w, gate_b, weights[b])
        _mixed(branches, weights[b], False, k, centres)
        for c in range(channels):
            fused_taps(k[c], centres[c], dilations, pads[c], s, first, mixed[c])
        for i in range(0, height, rows):
            m = min(rows, height - i)
            product(w, mixed, i * s, strip, 0, m * s, False)
            for o in range(outs):
                take(strip[o], width, s, to[o, i * width : (i + m) * width], x.dtype.type(0))
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
def _backward(g, x, z, y, layers, training, stats, gap, weights, dx, dgate_w, dgate_b, dw, dnorm, dk):
    """g (B, O, n) to the gradients of x, the gate's weights (K, C) and bias (K,), w, norm, and branches (J, C, 9)."""
    width, branches, dilations, gate_w, _, w = layers
    batch, channels, n = x.shape
    outs, height, s = len(w), n // width, width + dilations.max()
    rows = max(1, TILE // s)
    sums = relu_sums(g, y, stats)
    back = means(sums, batch * n, training, y)
    pads, first = padded(channels, height, width, s - width, x)
    dpads = np.zeros_like(pads)
    turned, centres = np.empty((channels, len(branches), 8), x.dtype), np.empty(channels, x.dtype)
    strip, dy = np.empty(height * s, x.dtype), np.zeros((outs, rows * s), x.dtype)
    across, total, dweights, dgap = transposed(w), np.zeros(w.shape), np.zeros(weights.shape[1:]), np.zeros(channels)
    sum_k, sum_w, sum_b = np.zeros(dk.shape), np.zeros(dgate_w.shape), np.zeros(len(dgate_b))
    for b in range(batch):
        _mixed(branches, weights[b], True, turned, centres)
        for c in range(channels):
            place(x[b, c], width, s, pads[c], first)
        for i in range(0, height, rows):
            m = min(rows, height - i)
            for o in range(outs):
                _dy_rows(g[b, o], y[b, o], i, m, width, s, stats, back, o, dy[o])
            outer(dy, 0, z[b], i * s, m * s, total)
            product(across, dy, 0, dpads, first + i * s, m * s, False)
        dtaps = np.zeros((channels, len(branches), 9))
        for c in range(channels):
            for j in range(len(branches)):
                tap_sums(dpads[c], first, height * s, dilations[j], pads[c], s, first, dtaps[c, j])
        _mixed_gradient(dtaps, branches, weights[b], sum_k, dweights)
        _weights_gradient(weights[b], dweights, gap[b], gate_w, sum_w, sum_b, dgap)
        for c in range(channels):
            fused_taps(turned[c], centres[c], dilations, dpads[c], s, first, strip)
            take(strip, width, s, dx[b, c], x.dtype.type(dgap[c] / n))
    dgate_w[:], dgate_b[:], dw[:], dnorm[:], dk[:] = sum_w, sum_b, total, sums, sum_k


@kernel
def _dy_rows(g, y, i, m, width, s, stats, back, o, to):
    """Gradients of rows i to i + m of y, s apart."""
    for r in range(m):
        row = slice((i + r) * width, (i + r + 1) * width)
        relu_gradient(g[row], y[row], stats, back, o, to[r * s : r * s + width])


def akf(x: Tensor, held: Held, dilations: np.ndarray) -> Tensor:
    """AKF of x (B, C, H, W). held: branches (C, 1, 3, 3), then the gate's weights and bias, the 1x1's w, and the norm.

    One branch has no gate. Two have a sigmoid for each channel, more a softmax.
    """
    if torch.is_grad_enabled():
        return _AKF.apply(x, held, dilations, *held.tensors)
    return _values(x, held, dilations, keep=False)[0]


def _values(x: Tensor, held: Held, dilations: np.ndarray, *, keep: bool) -> tuple:
    """The result; and what its gradient needs: x as an array, z mixed, y before the norm, the kernels' layers,
    whether the norm trains, its statistics, pooled features, and shares of the branches."""
    (batch, channels, _, width), count = x.shape, len(dilations)
    *gate, w, _, _ = held.arrays[count:]
    gate = gate or [np.empty((0, channels), w.dtype), np.empty(0, w.dtype)]
    layers = width, np.concatenate(held.arrays[:count]).reshape(count, channels, 9), dilations, *gate, w
    out = x.new_empty(batch, len(w), *x.shape[2:])
    a, to, training = planes(x), planes(out), held.training(out.shape)
    kept = batch if keep or training else 1
    z, y = (
        np.empty((kept, channels, x.shape[2] * (width + dilations.max())), w.dtype),
        np.empty((kept, *to.shape[1:]), w.dtype),
    )
    gap, weights = np.empty((batch, channels)), np.empty((batch, count, channels))
    stats = _forward(a, layers, training, held.norm, z, y, to, gap, weights)
    return out, a, z, y, layers, training, stats, gap, weights


class _AKF(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, held: Held, dilations: np.ndarray, *tensors: Tensor) -> Tensor:
        out, *ctx.kept = _values(x, held, dilations, keep=True)
        ctx.held, ctx.shape = held, x.shape
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple:
        layers = ctx.kept[3]
        dx, (gradients, to) = g.new_empty(ctx.shape), ctx.held.gradients()
        *gate, dw, dnorm = to[len(layers[1]) :]
        gate = gate or [np.empty_like(each) for each in layers[3:5]]
        dk = np.empty_like(layers[1])
        _backward(planes(g), *ctx.kept, planes(dx), *gate, dw, dnorm, dk)
        for to_branch, value in zip(to, dk):  # noqa: B905  # the rest is not of branches
            to_branch[:] = value
        return dx, None, None, *gradients
