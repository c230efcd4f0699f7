"""Adaptive kernel fusion (AULUNet's AKF) in one pass: branches, gate, mix, 1x1 convolution, batch norm and ReLU.

A mix of convolutions of one image is the convolution with the mixed kernel, g (K1 * x) + (1 - g) (K2 * x) =
(g K1 + (1 - g) K2) * x, exactly. Each image thus has one kernel per channel: two dilated 3x3 kernels share their centre
and make 17 taps, not 18; three make 25. No branch is stored: all that the gate's gradient needs of the branches is in
the gradient of the mixed kernel's taps.

Letters: B images, C channels in, O out, H x W pixels, J branches, s distance of padded rows.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from benchmarks.kernels.arrays import array, arrays, matrix, new, planes, tensors
from benchmarks.kernels.depthwise import CENTRE, OUTER, fused_taps, padded, place, take, tap_sums
from benchmarks.kernels.jit import kernel
from benchmarks.kernels.norm import means, moments, relu_gradient, relu_planes, relu_sums, statistics
from benchmarks.kernels.products import TILE, outer, plane_sum, product, transposed


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
def _mixed_gradient(douter, dcentres, branches, weights, dbranches, dweights):
    """From the gradients of outer taps (C, J, 8) and centres (C,): adds to that of branches, sets that of shares."""
    for c in range(len(dcentres)):
        for j in range(len(branches)):
            dbranches[j, c, CENTRE] += weights[j, c] * dcentres[c]
            dweights[j, c] = branches[j, c, CENTRE] * dcentres[c]
            for t in range(8):
                dbranches[j, c, OUTER[t]] += weights[j, c] * douter[c, j, t]
                dweights[j, c] += branches[j, c, OUTER[t]] * douter[c, j, t]


@kernel
def _forward(x, width, branches, dilations, gate_w, gate_b, w, training, norm, y, out, gap, weights):
    """x (B, C, n) to out (B, O, n), y (B, O, n) before the norm, gap (B, C) and weights (B, J, C); its statistics."""
    batch, channels, n = x.shape
    outs, height, s = len(w), n // width, width + dilations.max()
    rows = max(1, TILE // s)
    pads, first = padded(channels, height, width, s - width, x)
    k, centres = np.empty((channels, len(branches), 8), x.dtype), np.empty(channels, x.dtype)
    z, mixed = np.empty((channels, rows * s), x.dtype), np.empty((outs, rows * s), x.dtype)
    mean, square, count = np.zeros(outs), np.zeros(outs), 0
    stats = statistics(1, mean, square, norm, False)
    for b in range(batch):
        to = y[b % len(y)]
        for c in range(channels):
            place(x[b, c], width, s, pads[c], first)
            gap[b, c] = plane_sum(x[b, c]) / n
        _weights(gap[b], gate_w, gate_b, weights[b])
        _mixed(branches, weights[b], False, k, centres)
        for i in range(0, height, rows):
            m = min(rows, height - i)
            for c in range(channels):
                fused_taps(k[c], centres[c], dilations, pads[c], s, first + i * s, z[c, : m * s])
            product(w, z, 0, mixed, 0, m * s, False)
            for o in range(outs):
                take(mixed[o], width, s, to[o, i * width : (i + m) * width], x.dtype.type(0))
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
def _backward(
    g, x, y, width, branches, dilations, gate_w, gate_b, w, training, stats, gap, weights, dx, dbranches, dgate, dw
):
    """g (B, O, n) to the gradients of x, branches (J, C, 9), gate (weights (K, C), bias (K,)) and w; and of the norm."""
    batch, channels, n = x.shape
    outs, height, s = len(w), n // width, width + dilations.max()
    rows = max(1, TILE // s)
    sums = relu_sums(g, y, stats)
    back = means(sums, batch * n, training, y)
    pads, first = padded(channels, height, width, s - width, x)
    dpads = np.zeros_like(pads)
    k, centres = np.empty((channels, len(branches), 8), x.dtype), np.empty(channels, x.dtype)
    turned, dcentres = np.empty_like(k), np.empty(channels)
    z, dy = np.empty((channels, rows * s), x.dtype), np.zeros((outs, rows * s), x.dtype)
    across, total, dweights, dgap = transposed(w), np.zeros(w.shape), np.zeros(weights.shape[1:]), np.zeros(channels)
    for b in range(batch):
        _mixed(branches, weights[b], False, k, centres)
        _mixed(branches, weights[b], True, turned, centres)
        for c in range(channels):
            place(x[b, c], width, s, pads[c], first)
        for i in range(0, height, rows):
            m = min(rows, height - i)
            for c in range(channels):
                fused_taps(k[c], centres[c], dilations, pads[c], s, first + i * s, z[c, : m * s])
            for o in range(outs):
                _dy_rows(g[b, o], y[b, o], i, m, width, s, stats, back, o, dy[o])
            outer(dy, 0, z, 0, m * s, total)
            product(across, dy, 0, dpads, first + i * s, m * s, False)
        dk = np.zeros(k.shape)
        for c in range(channels):
            for j in range(len(branches)):
                where = dilations[j], pads[c], s, first
                dcentres[c] = tap_sums(dpads[c], first, height * s, *where, dk[c, j])
        _mixed_gradient(dk, dcentres, branches, weights[b], dbranches, dweights)
        _weights_gradient(weights[b], dweights, gap[b], gate_w, dgate[0], dgate[1], dgap)
        for c in range(channels):
            for i in range(0, height, rows):
                m = min(rows, height - i)
                fused_taps(turned[c], centres[c], dilations, dpads[c], s, first + i * s, z[c, : m * s])
                take(z[c], width, s, dx[b, c, i * width : (i + m) * width], x.dtype.type(dgap[c] / n))
    dw[:] = total
    return sums


@kernel
def _dy_rows(g, y, i, m, width, s, stats, back, o, to):
    """Gradients of rows i to i + m of y, s apart."""
    for r in range(m):
        row = slice((i + r) * width, (i + r + 1) * width)
        relu_gradient(g[row], y[row], stats, back, o, to[r * s : r * s + width])


def akf(x: Tensor, branches: Sequence[Tensor], dilations: Sequence[int], gate: tuple, w: Tensor, norm: tuple) -> Tensor:
    """AKF of x (B, C, H, W) with branches (C, 1, 3, 3), a gate's weight and bias, the 1x1's w, and `norm.arguments`.

    One branch has no gate, which is then (None, None). Two have a sigmoid for each channel, more a softmax.
    """
    if torch.is_grad_enabled():
        return _AKF.apply(x, dilations, *gate, w, *norm, *branches)
    return _values(x, dilations, gate, w, norm, branches, keep=norm[0])[0]


def _values(x: Tensor, dilations: Sequence[int], gate: Any, w: Tensor, norm: Any, branches: Any, *, keep: bool) -> tuple:
    """The result; and for its gradient y before the norm, the norm's statistics, pooled features, shares."""
    (batch, channels, height, width), outs = x.shape, len(w)
    out = x.new_empty(batch, outs, height, width)
    to = planes(out)
    y = np.empty((batch if keep else 1, *to.shape[1:]), to.dtype)
    gap, weights = np.empty((batch, channels)), np.empty((batch, len(branches), channels))
    layers = _layers(x, dilations, gate, w, branches)
    stats = _forward(planes(x), *layers, norm[0], arrays(norm[1:]), y, to, gap, weights)
    return out, y, stats, gap, weights


def _layers(x: Tensor, dilations: Sequence[int], gate: Any, w: Tensor, branches: Any) -> tuple:
    """The width of x, and the weights as the kernels take them."""
    channels = x.shape[1]
    kernels = np.stack([array(branch).reshape(channels, 9) for branch in branches])
    gate_w, gate_b = (np.empty(0, kernels.dtype),) * 2 if gate[0] is None else arrays(gate)
    return x.shape[3], kernels, np.array(dilations), gate_w.reshape(-1, channels), gate_b, matrix(w)


class _AKF(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, dilations: Any, gate_w: Any, gate_b: Any, w: Tensor, *rest: Any) -> Tensor:
        norm, branches = rest[:7], rest[7:]
        out, *ctx.kept = _values(x, dilations, (gate_w, gate_b), w, norm, branches, keep=True)
        ctx.save_for_backward(x, gate_w, gate_b, w, *branches)
        ctx.dilations, ctx.training = dilations, norm[0]
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple:
        (x, *gate, w), branches = ctx.saved_tensors[:4], ctx.saved_tensors[4:]
        y, stats, gap, weights = ctx.kept
        layers = _layers(x, ctx.dilations, gate, w, branches)
        dx, dw, dbranches = new(x), new(w), np.zeros(layers[1].shape)
        dgate = np.zeros(layers[3].shape), np.zeros(layers[4].shape)
        rest = ctx.training, stats, gap, weights, planes(dx), dbranches, dgate, matrix(dw)
        beta, gamma = tensors(_backward(planes(g), planes(x), y, *layers, *rest), w)
        dgate_w, dgate_b = (None, None) if gate[0] is None else tensors(dgate, w)
        to_gate = dgate_w if dgate_w is None else dgate_w.view_as(gate[0])
        to_branches = [each.view_as(branches[0]) for each in tensors(dbranches, w)]
        return dx, None, to_gate, dgate_b, dw, None, gamma, beta, None, None, None, None, *to_branches
