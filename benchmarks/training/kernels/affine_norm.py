"""Group and batch norms: as a scale and a shift of each plane, to be fused with what follows.

Either norm is y -> y * scale + shift with one scale and one shift for each plane (b, c). What follows applies them; its
gradient d on the norm's output comes back with two sums of each plane, of d and of d * (y - mean) / std, and from
them follows dy = scale * d - offset - slope * (y - mean), again with one offset and one slope for each plane.

Letters: B images, C channels, n = H * W pixels. `stats` is (4, B, C): scale, shift, mean, 1 / std.
"""

import numpy as np

from benchmarks.training.kernels.activations import IDENTITY, activate, through
from benchmarks.training.kernels.jit import kernel, summing

BATCH = 0  # groups of a batch norm: its statistics are over images
SCALE, SHIFT, MEAN, INVERSE = range(4)


@summing
def _moments(row):
    """Mean of a row and the sum of squared deviations from it, float64."""
    total = row.dtype.type(0)
    for p in range(row.size):
        total += row[p]
    mean = np.float64(total) / row.size
    near, square, rest = row.dtype.type(mean), row.dtype.type(0), row.dtype.type(0)
    for p in range(row.size):
        deviation = row[p] - near
        square += deviation * deviation
        rest += deviation
    shift = np.float64(rest) / row.size
    return np.float64(near) + shift, np.float64(square) - row.size * shift * shift


@kernel
def _merged(means, squares, n):
    """Mean and variance of planes of n pixels each, from those of each plane (Chan)."""
    mean, total = 0.0, 0.0
    for k in range(means.size):
        mean += means[k] / means.size
    for k in range(means.size):
        total += squares[k] + n * (means[k] - mean) * (means[k] - mean)
    return mean, total / (means.size * n)


@kernel
def statistics(y, gamma, beta, eps, groups, running_mean, running_var, momentum, training, stats):
    """`stats` of y (B, C, n) under gamma and beta (C,); in training, batch norm moves its running statistics."""
    batch, channels, n = y.shape
    means, squares = np.empty((batch, channels)), np.empty((batch, channels))
    if training or groups != BATCH:
        for b in range(batch):
            for c in range(channels):
                means[b, c], squares[b, c] = _moments(y[b, c])
    of_moments(means, squares, n, gamma, beta, eps, groups, running_mean, running_var, momentum, training, stats)


@kernel
def of_moments(means, squares, n, gamma, beta, eps, groups, running_mean, running_var, momentum, training, stats):
    """`statistics` from the means and sums of squared deviations, (B, C) float64 each, of planes of n pixels."""
    batch, channels = means.shape
    for c in range(channels):
        mean, variance = np.float64(0), np.float64(0)
        if groups == BATCH:
            if training:
                mean, variance = _merged(means[:, c], squares[:, c], n)
                running_mean[c] += momentum * (mean - running_mean[c])
                running_var[c] += momentum * (variance * (batch * n / (batch * n - 1)) - running_var[c])
            else:
                mean, variance = np.float64(running_mean[c]), np.float64(running_var[c])
        for b in range(batch):
            if groups != BATCH:
                width = channels // groups
                first = c // width * width
                mean, variance = _merged(means[b, first : first + width], squares[b, first : first + width], n)
            inverse = 1.0 / np.sqrt(variance + eps)
            stats[SCALE, b, c] = gamma[c] * inverse
            stats[SHIFT, b, c] = beta[c] - mean * gamma[c] * inverse
            stats[MEAN, b, c] = mean
            stats[INVERSE, b, c] = inverse


@kernel
def coefficients(sums, stats, gamma, n, groups, training, lines, dgamma, dbeta):
    """From the sums (2, B, C) of a gradient to `lines` (2, B, C), offset and slope, and to the gradients (C,)."""
    batch, channels = sums.shape[1:]
    for c in range(channels):
        plain, both = 0.0, 0.0
        for b in range(batch):
            plain += sums[0, b, c]
            both += sums[1, b, c]
        dbeta[c], dgamma[c] = plain, both
    for b in range(batch):
        for c in range(channels):
            offset, slope = 0.0, 0.0
            if groups == BATCH and training:
                offset, slope = gamma[c] * np.float64(dbeta[c]), gamma[c] * np.float64(dgamma[c])
                offset, slope = offset / (batch * n), slope / (batch * n)
            if groups != BATCH:
                width = channels // groups
                first = c // width * width
                for k in range(first, first + width):
                    offset += gamma[k] * sums[0, b, k] / (width * n)
                    slope += gamma[k] * sums[1, b, k] / (width * n)
            inverse = np.float64(stats[INVERSE, b, c])
            lines[0, b, c] = offset * inverse
            lines[1, b, c] = slope * inverse * inverse


@kernel
def input_gradient(d, y, stats, lines, dy):
    """dy (B, C, n) from the gradient d on the norm's output. dy may be d."""
    batch, channels, n = y.shape
    for b in range(batch):
        for c in range(channels):
            from_d, from_y, to = d[b, c], y[b, c], dy[b, c]
            scale, mean = stats[SCALE, b, c], stats[MEAN, b, c]
            offset, slope = lines[0, b, c], lines[1, b, c]
            for p in range(n):
                to[p] = scale * from_d[p] - offset - slope * (from_y[p] - mean)


@summing
def plane_sums(d, y, mean, inverse):
    """Sum of d, and of d times the normalised y: two rows."""
    total, product = d.dtype.type(0), d.dtype.type(0)
    for p in range(d.size):
        total += d[p]
        product += d[p] * ((y[p] - mean) * inverse)
    return total, product


@kernel
def _scaled(row, scale, shift, to):
    for p in range(row.size):
        to[p] = row[p] * scale + shift


@kernel
def _plus(row, to):
    for p in range(row.size):
        to[p] += row[p]


@kernel
def forward(y, stats, activation, added, out):
    """out = activation(norm(y)) + added; all (B, C, n), and added may be empty, (0, 0, 0)."""
    for b in range(len(y)):
        for c in range(y.shape[1]):
            _scaled(y[b, c], stats[SCALE, b, c], stats[SHIFT, b, c], out[b, c])
            activate(out[b, c], activation)
            if added.size:
                _plus(added[b, c], out[b, c])


@kernel
def gradient(g, y, stats, activation, d, sums):
    """From the gradient g (B, C, n) of `forward` to that on the norm, d, and its sums (2, B, C)."""
    for b in range(len(y)):
        for c in range(y.shape[1]):
            if activation == IDENTITY:
                _scaled(g[b, c], g.dtype.type(1), g.dtype.type(0), d[b, c])
            else:
                _scaled(y[b, c], stats[SCALE, b, c], stats[SHIFT, b, c], d[b, c])
                through(g[b, c], d[b, c], activation)
            of_d, of_both = plane_sums(d[b, c], y[b, c], stats[MEAN, b, c], stats[INVERSE, b, c])
            sums[0, b, c], sums[1, b, c] = of_d, of_both
