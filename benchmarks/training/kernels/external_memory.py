"""Kernels of MALUNet's attentions: the softmax over pixels, its sums over the slots of the memory, and the gate.

Letters: n pixels, L lanes, B images, S slots.
"""

import numpy as np

from benchmarks.training.kernels.activations import gelu, gelu_slope, sigmoid
from benchmarks.training.kernels.elementary import exp
from benchmarks.training.kernels.jit import kernel, summing
from benchmarks.training.kernels.lanes import lane_sums, product_sums
from benchmarks.training.kernels.products import copy, dot


@kernel
def _larger(row, to):
    for q in range(row.size):
        to[q] = row[q] if row[q] > to[q] else to[q]  # NaN shows in the exponentials


@kernel
def _exponentials(row, largest, to):
    for q in range(row.size):
        to[q] = exp(row[q] - largest[q])


@kernel
def _times(factor, row):
    for q in range(row.size):
        row[q] *= factor[q]


@kernel
def softmax(x, out):
    """out (n, L) = softmax of x over the pixels."""
    largest, total, factor = x[0].copy(), np.zeros(x.shape[1]), np.empty(x.shape[1], x.dtype)
    for p in range(1, len(x)):
        _larger(x[p], largest)
    for p in range(len(x)):
        _exponentials(x[p], largest, out[p])
    lane_sums(out, total)
    for q in range(total.size):
        factor[q] = 1.0 / total[q]
    for p in range(len(x)):
        _times(factor, out[p])


@kernel
def _softmax_back(row, share, mean):
    for q in range(row.size):
        row[q] = share[q] * (row[q] - mean[q])


@kernel
def softmax_back(g, out):
    """Replace g (n, L), the gradient of `softmax`, by that of its input."""
    total, mean = np.zeros(g.shape[1]), np.empty(g.shape[1], g.dtype)
    product_sums(g, out, total)
    copy(total, mean)
    for p in range(len(g)):
        _softmax_back(g[p], out[p], mean)


@summing
def _total(row):
    total = row.dtype.type(0)
    for q in range(row.size):
        total += row[q]
    return total


@kernel
def _scaled(row, factor, to):
    for q in range(row.size):
        to[q] = row[q] * factor


@kernel
def normalise(share, inverse, out):
    """out (n B, S) = share over 1e-9 plus its sum over slots; inverse (n B,) is one over that."""
    one, tiny = share.dtype.type(1), share.dtype.type(1e-9)
    for p in range(len(share)):
        inverse[p] = one / (tiny + _total(share[p]))
        _scaled(share[p], inverse[p], out[p])


@kernel
def _normalise_back(row, inverse, shift):
    for q in range(row.size):
        row[q] = inverse * (row[q] - shift)


@kernel
def normalise_back(g, out, inverse):
    """Replace g (n B, S), the gradient of `normalise`, by that of its input."""
    for p in range(len(g)):
        _normalise_back(g[p], inverse[p], dot(g[p], out[p]))


@kernel
def gated(gate, value, out):
    """out = sigmoid(gate) gelu(value), flat arrays."""
    for p in range(out.size):
        out[p] = sigmoid(gate[p]) * gelu(value[p])


@kernel
def gated_back(g, gate, value, dgate, dvalue):
    """Both gradients of `gated`."""
    for p in range(g.size):
        s = sigmoid(gate[p])
        dgate[p] = g[p] * gelu(value[p]) * s * (g.dtype.type(1) - s)
        dvalue[p] = g[p] * s * gelu_slope(value[p])
