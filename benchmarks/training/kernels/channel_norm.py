"""Layer norm over the channels of each pixel, in one or several groups of channels.

Letters: B images, C channels in G groups, n = H * W pixels.
"""

import numpy as np

from benchmarks.training.kernels.jit import kernel, summing

TILE = 256  # pixels at a time, so that all channels of a tile stay in the nearest cache


@kernel
def _fill(row, value):
    for p in range(row.size):
        row[p] = value


@kernel
def _multiply(row, factor):
    for p in range(row.size):
        row[p] *= factor


@kernel
def _add(row, to):
    for p in range(to.size):
        to[p] += row[p]


@kernel
def _add_square(row, mean, to):
    for p in range(to.size):
        to[p] += (row[p] - mean[p]) * (row[p] - mean[p])


@kernel
def _inverse(sums, width, eps):
    """Sums of squares to 1 / sqrt(mean + eps), in place."""
    one, share = sums.dtype.type(1), sums.dtype.type(1) / sums.dtype.type(width)
    for p in range(sums.size):
        sums[p] = one / np.sqrt(sums[p] * share + sums.dtype.type(eps))


@kernel
def _scaled(row, mean, inverse, gamma, beta, to):
    for p in range(to.size):
        to[p] = gamma * ((row[p] - mean[p]) * inverse[p]) + beta


@kernel
def forward(x, gamma, beta, eps, mean, inverse, out):
    """x to out (B, C, n) under gamma and beta (C,); mean and inverse (B, G, n) are for the way back."""
    batch, channels, n = x.shape
    groups = mean.shape[1]
    width = channels // groups
    for b in range(batch):
        for start in range(0, n, TILE):
            stop = min(start + TILE, n)
            for group in range(groups):
                middle, scale = mean[b, group, start:stop], inverse[b, group, start:stop]
                _fill(middle, 0)
                _fill(scale, 0)
                here = range(group * width, (group + 1) * width)
                for c in here:
                    _add(x[b, c, start:stop], middle)
                _multiply(middle, x.dtype.type(1) / x.dtype.type(width))
                for c in here:
                    _add_square(x[b, c, start:stop], middle, scale)
                _inverse(scale, width, eps)
                for c in here:
                    _scaled(x[b, c, start:stop], middle, scale, gamma[c], beta[c], out[b, c, start:stop])


@summing
def _shares(g, row, mean, inverse, gamma, plain, both):
    """Add gamma g and gamma g times the normalised row to two rows; the sums of g and of g times it."""
    total, product = g.dtype.type(0), g.dtype.type(0)
    for p in range(plain.size):
        normed = (row[p] - mean[p]) * inverse[p]
        d = gamma * g[p]
        plain[p] += d
        both[p] += d * normed
        total += g[p]
        product += g[p] * normed
    return total, product


@kernel
def _gradient(g, row, mean, inverse, gamma, plain, both, share, to):
    for p in range(to.size):
        normed = (row[p] - mean[p]) * inverse[p]
        to[p] = inverse[p] * (gamma * g[p] - share * (plain[p] + normed * both[p]))


@kernel
def backward(g, x, gamma, mean, inverse, dx, dgamma, dbeta):
    """dx (B, C, n), and dgamma and dbeta (C,), float64, which are added to, from g (B, C, n)."""
    batch, channels, n = x.shape
    groups = mean.shape[1]
    width = channels // groups
    share = x.dtype.type(1) / x.dtype.type(width)
    plains, boths = np.empty(TILE, x.dtype), np.empty(TILE, x.dtype)
    for b in range(batch):
        for start in range(0, n, TILE):
            stop = min(start + TILE, n)
            plain, both = plains[: stop - start], boths[: stop - start]
            for group in range(groups):
                middle, scale = mean[b, group, start:stop], inverse[b, group, start:stop]
                _fill(plain, 0)
                _fill(both, 0)
                here = range(group * width, (group + 1) * width)
                for c in here:
                    row = x[b, c, start:stop]
                    total, product = _shares(g[b, c, start:stop], row, middle, scale, gamma[c], plain, both)
                    dbeta[c] += total
                    dgamma[c] += product
                for c in here:
                    row, to = x[b, c, start:stop], dx[b, c, start:stop]
                    _gradient(g[b, c, start:stop], row, middle, scale, gamma[c], plain, both, share, to)
