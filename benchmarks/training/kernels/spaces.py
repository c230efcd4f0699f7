"""Learned maps that multiply groups of channels: the attention of EGE-UNet and LB-UNet.

A gate (Q, H, W) is made of a small learned map: resized, a 3x3 depthwise convolution, GELU, a 1x1 convolution. It
depends on no image. Over rows or columns alone it is (Q, H, 1) or (Q, 1, W), and its convolution has three taps.

Letters: B images, Q channels of a gate, H x W pixels.
"""

import numpy as np

from benchmarks.training.kernels.activations import GELU, activate, through
from benchmarks.training.kernels.depthwise_conv import backward as depthwise_backward
from benchmarks.training.kernels.depthwise_conv import forward as depthwise
from benchmarks.training.kernels.jit import kernel, summing
from benchmarks.training.kernels.products import copy, plane_sum
from benchmarks.training.kernels.resampling import resize_forward, resize_gradient


@kernel
def _fill(row, value):
    for j in range(row.size):
        row[j] = value


@kernel
def _add_scaled(row, f, to):
    for j in range(row.size):
        to[j] += f * row[j]


@summing
def _product(a, b):
    total = a.dtype.type(0)
    for j in range(a.size):
        total += a[j] * b[j]
    return total


@kernel
def gate_forward(space, rows, columns, taps, taps_bias, mix, mix_bias, resized, before, after, gate):
    """From the learned map (1, Q, h, w) to gate, with what the way back needs: all (1, Q, H, W).

    rows, columns: tables of `resampling`. taps: (Q, 3, 3). mix: (Q, Q), to and from.
    """
    quarter = len(mix)
    ones, zeros = np.ones((1, quarter), space.dtype), np.zeros((1, quarter), space.dtype)
    resize_forward(space, ones, zeros, rows, columns, 0, np.empty((0, 0, 0, 0), space.dtype), resized)
    depthwise(resized, 0, taps, taps_bias, 1, False, before, 0)
    flat, to = after.reshape(quarter, after.size // quarter), gate.reshape(quarter, gate.size // quarter)
    old = before.reshape(quarter, after.size // quarter)
    for q in range(quarter):
        copy(old[q], flat[q])
        activate(flat[q], GELU)
    for o in range(quarter):
        _fill(to[o], mix_bias[o])
        for q in range(quarter):
            _add_scaled(flat[q], mix[o, q], to[o])


@kernel
def gate_backward(g, rows, columns, taps, mix, resized, before, after, d_space, d_taps, d_taps_bias, d_mix, d_mix_bias):
    """From the gradient g (1, Q, H, W) of the gate to those of all its parameters, all float64 but d_space.

    Those of the taps and of their bias are added to.
    """
    quarter = len(mix)
    d = np.zeros_like(before)
    flat, old = d.reshape(quarter, d.size // quarter), before.reshape(quarter, d.size // quarter)
    slope = np.empty(flat.shape[1], g.dtype)
    to, new = g.reshape(quarter, d.size // quarter), after.reshape(quarter, d.size // quarter)
    for o in range(quarter):
        d_mix_bias[o] = plane_sum(to[o])
        for q in range(quarter):
            d_mix[o, q] = _product(to[o], new[q])
            _add_scaled(to[o], mix[o, q], flat[q])
    for q in range(quarter):
        copy(old[q], slope)
        through(flat[q], slope, GELU)
        copy(slope, flat[q])
    fine = np.empty_like(d)
    depthwise_backward(d, 0, resized, 0, taps, 1, fine, 0, d_taps, d_taps_bias)
    ones, zeros = np.ones((1, quarter), g.dtype), np.zeros((1, quarter), g.dtype)
    resize_gradient(fine, d_space, ones, zeros, rows, columns, 0, d_space)


@kernel
def _times(row, gate, to):
    for j in range(to.size):
        to[j] = row[j] * gate[j]


@kernel
def _times_one(row, gate, to):
    for j in range(to.size):
        to[j] = row[j] * gate


@kernel
def multiply(x, first, gate, y, to):
    """y[:, to ...] = x[:, first ...] times gate (1, Q, H or 1, W or 1); x and y (B, C, H, W)."""
    height = x.shape[2]
    for b in range(len(x)):
        for q in range(gate.shape[1]):
            for i in range(height):
                row, of_row = x[b, first + q, i], gate[0, q, i if gate.shape[2] > 1 else 0]
                if of_row.size == row.size:
                    _times(row, of_row, y[b, to + q, i])
                else:
                    _times_one(row, of_row[0], y[b, to + q, i])


@kernel
def _add_product(a, b, to):
    for j in range(to.size):
        to[j] += a[j] * b[j]


@kernel
def multiply_backward(g, to, x, first, gate, dx, d_gate):
    """dx[:, first ...] and d_gate, and d_gate is added to, from the gradient g[:, to ...] of `multiply`."""
    height = x.shape[2]
    for b in range(len(x)):
        for q in range(gate.shape[1]):
            for i in range(height):
                at = i if gate.shape[2] > 1 else 0
                row, of_row, d, whole = x[b, first + q, i], gate[0, q, at], d_gate[0, q, at], g[b, to + q, i]
                if of_row.size == row.size:
                    _times(whole, of_row, dx[b, first + q, i])
                    _add_product(whole, row, d)
                else:
                    _times_one(whole, of_row[0], dx[b, first + q, i])
                    d[0] += _product(whole, row)
