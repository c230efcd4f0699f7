"""Batch norm, with the ReLU that follows it: statistics, values and gradients of rows.

A norm is one scale and one shift for each channel. Its statistics are merged image by image and block by block in
float64 (Chan, Golub, LeVeque 1979). What follows a norm is computed again from its input in the backward pass, which is
cheaper than to store it.

Letters: B images, O channels, n pixels of an image.
"""

import numpy as np

from benchmarks.training.kernels.jit import kernel, row, row_sums
from benchmarks.training.kernels.products import BLOCK, plane_sum

SCALE, SHIFT, MEAN, INVERSE = range(4)
"""Rows of the statistics (4, O): y * SCALE + SHIFT is normalised; INVERSE is 1 / standard deviation."""


@row_sums
def _deviations(a, middle):
    s = q = a.dtype.type(0)
    for p in range(a.size):
        d = a[p] - middle
        s += d
        q += d * d
    return s, q


@kernel
def moments(y, count, mean, square):
    """Merge the planes y (O, n) of an image into mean and sum of squared deviations (O,) of `count` values so far."""
    n = y.shape[1]
    for o in range(y.shape[0]):
        before = count
        for start in range(0, n, BLOCK):
            part = y[o, start : min(start + BLOCK, n)]
            middle = y.dtype.type(plane_sum(part) / part.size)
            s, q = _deviations(part, middle)
            shift = np.float64(s) / part.size
            delta = np.float64(middle) + shift - mean[o]
            total = before + part.size
            mean[o] += delta * part.size / total
            square[o] += np.float64(q) - part.size * shift * shift + delta * delta * before * part.size / total
            before = total


@kernel
def statistics(count, mean, square, norm, training):
    """Rows SCALE, SHIFT, MEAN, INVERSE of each channel, (4, O); in training the running statistics move on.

    norm: weight, bias, running mean and variance, momentum, eps. The rest is what `moments` found, read in training.
    """
    gamma, beta, running_mean, running_var, momentum, eps = norm
    stats = np.empty((4, gamma.size), gamma.dtype)
    for o in range(gamma.size):
        middle, variance = np.float64(running_mean[o]), np.float64(running_var[o])
        if training:
            running_mean[o] += momentum * (mean[o] - middle)
            running_var[o] += momentum * (square[o] / (count - 1) - variance)
            middle, variance = mean[o], square[o] / count
        inverse = 1.0 / np.sqrt(variance + eps)
        stats[SCALE, o] = gamma[o] * inverse
        stats[SHIFT, o] = beta[o] - middle * gamma[o] * inverse
        stats[MEAN, o] = middle
        stats[INVERSE, o] = inverse
    return stats


@row
def relu_row(y, scale, shift, to):
    """to = ReLU(y * scale + shift). NaN is not <= 0 and stays, as in torch."""
    zero = y.dtype.type(0)
    for p in range(y.size):
        v = y[p] * scale + shift
        to[p] = zero if v <= zero else v


@kernel
def relu_planes(y, stats, out):
    """out (O, n) = ReLU of the normalised y (O, n)."""
    for o in range(y.shape[0]):
        relu_row(y[o], stats[SCALE, o], stats[SHIFT, o], out[o])


@row_sums
def _relu_sums(g, y, scale, shift, mean, inverse):
    zero = y.dtype.type(0)
    s = t = zero
    for p in range(y.size):
        d = zero if y[p] * scale + shift <= zero else g[p]
        s += d
        t += d * ((y[p] - mean) * inverse)
    return s, t


@kernel
def relu_sums(g, y, stats):
    """(2, O) float64: of the gradient after the ReLU its sum, which is beta's, and with the normalised y, gamma's."""
    batch, outs, n = y.shape
    sums = np.zeros((2, outs))
    for b in range(batch):
        for o in range(outs):
            for start in range(0, n, BLOCK):
                stop = min(start + BLOCK, n)
                s, t = _relu_sums(
                    g[b, o, start:stop],
                    y[b, o, start:stop],
                    stats[SCALE, o],
                    stats[SHIFT, o],
                    stats[MEAN, o],
                    stats[INVERSE, o],
                )
                sums[0, o] += s
                sums[1, o] += t
    return sums


@kernel
def means(sums, count, training, like):
    """What the statistics take back from each gradient, sums / count as (2, O) of the type of `like`; 0 in eval."""
    to = np.zeros(sums.shape, like.dtype)
    if training:
        for o in range(sums.shape[1]):
            to[0, o], to[1, o] = sums[0, o] / count, sums[1, o] / count
    return to


@row
def relu_gradient(g, y, stats, back, o, to):
    """to = gradient of a row of y of channel o, g being that of the ReLU's output; back: `means`."""
    zero = y.dtype.type(0)
    scale, shift, mean, inverse = stats[SCALE, o], stats[SHIFT, o], stats[MEAN, o], stats[INVERSE, o]
    a, b = back[0, o], back[1, o] * inverse
    for p in range(y.size):
        d = zero if y[p] * scale + shift <= zero else g[p]
        to[p] = scale * (d - a - (y[p] - mean) * b)
