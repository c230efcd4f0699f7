"""A dense 3x3 convolution from few channels, as every network begins with: oneDNN fills its blocks of 16 with 3.

Planes get a border of zeros and are then walked as one long row, so that neighbours are at fixed distances and narrow
maps fill vectors too; what falls on the border is left out at the end.

Letters: B images, C channels in, O out, H x W pixels, S = W + 2, the distance between rows with their border.
"""

import numpy as np

from benchmarks.training.kernels.jit import kernel, summing

CHUNK = 2048  # pixels at a time: with four outputs they stay in the nearest cache


@kernel
def border(plane, margin, to):
    """plane (H, W) into the middle of to (H + 2 margin, W + 2 margin), whose border is zero already."""
    height, width = plane.shape
    for i in range(height):
        row, inner = plane[i], to[i + margin, margin:]
        for j in range(width):
            inner[j] = row[j]


@kernel
def _fill(row, value):
    for q in range(row.size):
        row[q] = value


@kernel
def _nine(x, start, step, v, w, n, a, b):
    """Add nine taps of a flat plane x to the rows a and b (n,), with the kernels v and w (9,)."""
    r0, r1, r2 = x[start:], x[start + step :], x[start + 2 * step :]
    v0, v1, v2, v3, v4, v5, v6, v7, v8 = v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7], v[8]
    w0, w1, w2, w3, w4, w5, w6, w7, w8 = w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7], w[8]
    for q in range(n):
        x0, x1, x2 = r0[q], r0[q + 1], r0[q + 2]
        x3, x4, x5 = r1[q], r1[q + 1], r1[q + 2]
        x6, x7, x8 = r2[q], r2[q + 1], r2[q + 2]
        a[q] += v0 * x0 + v1 * x1 + v2 * x2 + v3 * x3 + v4 * x4 + v5 * x5 + v6 * x6 + v7 * x7 + v8 * x8
        b[q] += w0 * x0 + w1 * x1 + w2 * x2 + w3 * x3 + w4 * x4 + w5 * x5 + w6 * x6 + w7 * x7 + w8 * x8


@kernel
def convolve(x, w, bias, y):
    """y (B, O, H, W) of x (B, C, H, W), kernels w (O', C, 9) and bias (O',); O' is even, O or O + 1."""
    batch, channels, height, width = x.shape
    outs, step = y.shape[1], width + 2
    padded = np.zeros((channels, height + 3, step), x.dtype)  # and a row, which the last taps touch
    flat = padded.reshape(channels, padded[0].size)
    lines = max(CHUNK // step, 1)
    strip = np.empty((2, lines * step), x.dtype)
    for b in range(batch):
        for c in range(channels):
            border(x[b, c], 1, padded[c])
        for first in range(0, height, lines):
            count = min(lines, height - first)
            for o in range(0, outs, 2):
                _fill(strip[0], bias[o])
                _fill(strip[1], bias[o + 1])
                for c in range(channels):
                    _nine(flat[c], first * step, step, w[o, c], w[o + 1, c], count * step, strip[0], strip[1])
                for k in range(min(2, outs - o)):
                    for i in range(count):
                        to, row = y[b, o + k, first + i], strip[k, i * step :]
                        for j in range(width):
                            to[j] = row[j]


@summing
def _nine_sums(x, g, h, start, step, n, to, more):
    """Add to to and more (9,) the sums of g and of h (n,) times what lies under each tap of a flat plane x."""
    zero = x.dtype.type(0)
    r0, r1, r2 = x[start:], x[start + step :], x[start + 2 * step :]
    a0 = a1 = a2 = a3 = a4 = a5 = a6 = a7 = a8 = b0 = b1 = b2 = b3 = b4 = b5 = b6 = b7 = b8 = zero
    for q in range(n):
        u, v = g[q], h[q]
        a0 += u * r0[q]
        a1 += u * r0[q + 1]
        a2 += u * r0[q + 2]
        a3 += u * r1[q]
        a4 += u * r1[q + 1]
        a5 += u * r1[q + 2]
        a6 += u * r2[q]
        a7 += u * r2[q + 1]
        a8 += u * r2[q + 2]
        b0 += v * r0[q]
        b1 += v * r0[q + 1]
        b2 += v * r0[q + 2]
        b3 += v * r1[q]
        b4 += v * r1[q + 1]
        b5 += v * r1[q + 2]
        b6 += v * r2[q]
        b7 += v * r2[q + 1]
        b8 += v * r2[q + 2]
    for t, value in enumerate((a0, a1, a2, a3, a4, a5, a6, a7, a8)):
        to[t] += value
    for t, value in enumerate((b0, b1, b2, b3, b4, b5, b6, b7, b8)):
        more[t] += value


@kernel
def kernel_gradients(g, x, dw, db):
    """dw (O', C, 9) and db (O',), float64 and zero at first, from g (B, O, H, W) and x (B, C, H, W); O' is even."""
    batch, channels, height, width = x.shape
    outs, step = g.shape[1], width + 2
    padded = np.zeros((channels, height + 3, step), x.dtype)
    flat = padded.reshape(channels, padded[0].size)
    lines = max(CHUNK // step, 1)
    strip = np.zeros((dw.shape[0], lines, step), x.dtype)
    rows = strip.reshape(dw.shape[0], lines * step)
    for b in range(batch):
        for c in range(channels):
            border(x[b, c], 1, padded[c])
        for first in range(0, height, lines):
            count = min(lines, height - first)
            for o in range(outs):
                db[o] += _sum_into(g[b, o, first : first + count], strip[o])
            for o in range(0, outs, 2):
                for c in range(channels):
                    _nine_sums(flat[c], rows[o], rows[o + 1], first * step, step, count * step, dw[o, c], dw[o + 1, c])


@summing
def _sum_into(plane, to):
    """Copy plane (H, W) to the first columns of to and return its sum."""
    total = plane.dtype.type(0)
    for i in range(plane.shape[0]):
        row, line = plane[i], to[i]
        for j in range(row.size):
            line[j] = row[j]
            total += row[j]
    return total
