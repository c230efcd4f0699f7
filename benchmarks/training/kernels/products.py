"""Products of few channels and many pixels, the 1x1 convolution and its gradients, and sums.

Rows are taken one by one as contiguous slices: only then does the compiler see that pixels lie side by side, without
which nothing runs on vectors. Few rows at a time stay in the nearest cache, so a pass costs about one load for each
multiplication, which is what processors are balanced for.

Letters: C channels in, O channels out, n pixels.
"""

import numpy as np

from benchmarks.training.kernels.jit import kernel, row, row_sums

TILE = 1024
"""Pixels at a time: a row of them is 4 kB, so that some rows fit the nearest cache."""
BLOCK = 4096
"""Values that are summed in their own type; sums of blocks are added in float64."""


@kernel
def product(w, x, x_at, y, y_at, n, add):
    """y[:, y_at : y_at + n] = w @ x[:, x_at : x_at + n], or += if `add`. w (O, C), x (C, ...), y (O, ...)."""
    at, to = slice(x_at, x_at + n), slice(y_at, y_at + n)
    full = len(w) // 4 * 4
    for o in range(0, full, 4):
        c, more, rows = 0, add, (y[o, to], y[o + 1, to], y[o + 2, to], y[o + 3, to])
        while c + 4 <= w.shape[1]:
            _square(w[o : o + 4, c : c + 4], (x[c, at], x[c + 1, at], x[c + 2, at], x[c + 3, at]), rows, more)
            c, more = c + 4, True
        while c < w.shape[1]:
            for k in range(4):
                one(w[o + k, c], x[c, at], y[o + k, to], more)
            c, more = c + 1, True
    for o in range(full, len(w)):
        c, more = 0, add
        while c + 4 <= w.shape[1]:
            _four(w[o, c : c + 4], (x[c, at], x[c + 1, at], x[c + 2, at], x[c + 3, at]), y[o, to], more)
            c, more = c + 4, True
        while c < w.shape[1]:
            one(w[o, c], x[c, at], y[o, to], more)
            c, more = c + 1, True


@row
def _square(w, rows, to, add):
    """Four rows of the product of w (4, 4) with four rows."""
    (a, b, c, d), (y0, y1, y2, y3) = rows, to
    w00, w01, w02, w03, w10, w11, w12, w13 = w[0, 0], w[0, 1], w[0, 2], w[0, 3], w[1, 0], w[1, 1], w[1, 2], w[1, 3]
    w20, w21, w22, w23, w30, w31, w32, w33 = w[2, 0], w[2, 1], w[2, 2], w[2, 3], w[3, 0], w[3, 1], w[3, 2], w[3, 3]
    if add:
        for p in range(y0.size):
            y0[p] += w00 * a[p] + w01 * b[p] + w02 * c[p] + w03 * d[p]
            y1[p] += w10 * a[p] + w11 * b[p] + w12 * c[p] + w13 * d[p]
            y2[p] += w20 * a[p] + w21 * b[p] + w22 * c[p] + w23 * d[p]
            y3[p] += w30 * a[p] + w31 * b[p] + w32 * c[p] + w33 * d[p]
    else:
        for p in range(y0.size):
            y0[p] = w00 * a[p] + w01 * b[p] + w02 * c[p] + w03 * d[p]
            y1[p] = w10 * a[p] + w11 * b[p] + w12 * c[p] + w13 * d[p]
            y2[p] = w20 * a[p] + w21 * b[p] + w22 * c[p] + w23 * d[p]
            y3[p] = w30 * a[p] + w31 * b[p] + w32 * c[p] + w33 * d[p]


@row
def eight(w, first, second, to, add):
    """to = the sum of eight rows times w (8,), plus what is there if `add`."""
    (a0, a1, a2, a3), (a4, a5, a6, a7) = first, second
    w0, w1, w2, w3, w4, w5, w6, w7 = w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7]
    if add:
        for p in range(to.size):
            s = w0 * a0[p] + w1 * a1[p] + w2 * a2[p] + w3 * a3[p]
            to[p] += s + w4 * a4[p] + w5 * a5[p] + w6 * a6[p] + w7 * a7[p]
    else:
        for p in range(to.size):
            s = w0 * a0[p] + w1 * a1[p] + w2 * a2[p] + w3 * a3[p]
            to[p] = s + w4 * a4[p] + w5 * a5[p] + w6 * a6[p] + w7 * a7[p]


@row
def _four(w, rows, to, add):
    a0, a1, a2, a3 = rows
    w0, w1, w2, w3 = w[0], w[1], w[2], w[3]
    if add:
        for p in range(to.size):
            to[p] += w0 * a0[p] + w1 * a1[p] + w2 * a2[p] + w3 * a3[p]
    else:
        for p in range(to.size):
            to[p] = w0 * a0[p] + w1 * a1[p] + w2 * a2[p] + w3 * a3[p]


@row
def one(w, a, to, add):
    """to = w times a row, plus what is there if `add`."""
    if add:
        for p in range(to.size):
            to[p] += w * a[p]
    else:
        for p in range(to.size):
            to[p] = w * a[p]


@kernel
def outer(a, a_at, b, b_at, n, to):
    """to (O, C) += a[:, a_at : a_at + n] @ b[:, b_at : b_at + n].T; to is float64, n at most `BLOCK`."""
    for o in range(to.shape[0]):
        c, row = 0, a[o, a_at : a_at + n]
        while c + 4 <= to.shape[1]:
            b0, b1 = b[c, b_at : b_at + n], b[c + 1, b_at : b_at + n]
            b2, b3 = b[c + 2, b_at : b_at + n], b[c + 3, b_at : b_at + n]
            s0, s1, s2, s3 = _dots(row, b0, b1, b2, b3)
            to[o, c] += s0
            to[o, c + 1] += s1
            to[o, c + 2] += s2
            to[o, c + 3] += s3
            c += 4
        while c < to.shape[1]:
            to[o, c] += dot(row, b[c, b_at : b_at + n])
            c += 1


@row_sums
def _dots(a, b0, b1, b2, b3):
    s0 = s1 = s2 = s3 = a.dtype.type(0)
    for p in range(a.size):
        s0 += a[p] * b0[p]
        s1 += a[p] * b1[p]
        s2 += a[p] * b2[p]
        s3 += a[p] * b3[p]
    return s0, s1, s2, s3


@row_sums
def dot(a, b):
    """Sum of the products of two rows."""
    s = a.dtype.type(0)
    for p in range(a.size):
        s += a[p] * b[p]
    return s


@row_sums
def _block_sum(a):
    s = a.dtype.type(0)
    for p in range(a.size):
        s += a[p]
    return s


@kernel
def plane_sum(a):
    """Sum of a row, in float64 between blocks."""
    s = 0.0
    for start in range(0, a.size, BLOCK):
        s += _block_sum(a[start : min(start + BLOCK, a.size)])
    return s


@kernel
def transposed(w):
    """w (O, C) as (C, O), contiguous."""
    to = np.empty((w.shape[1], w.shape[0]), w.dtype)
    for o in range(w.shape[0]):
        for c in range(w.shape[1]):
            to[c, o] = w[o, c]
    return to


@row
def copy(a, to):
    """to = a, rows of one length."""
    for p in range(a.size):
        to[p] = a[p]
