"""Dilated 3x3 kernels over one plane.

A plane is padded once, flat: rows of W + D, D being the largest dilation, so that what pads a row on the right pads the
next one on the left, with D rows above and below. A tap is then an offset, a row of any width fills the vectors, and
what comes out between the rows is dropped. Kernels of several dilations share the centre, so it lies apart from their
eight outer taps.

Letters: H x W pixels, s = W + D the distance of rows.
"""

import numpy as np

from benchmarks.training.kernels.jit import kernel, row, row_sums
from benchmarks.training.kernels.products import BLOCK, copy, dot, eight

OUTER = np.array([0, 1, 2, 3, 5, 6, 7, 8])
CENTRE = 4


@kernel
def padded(count, height, width, d, like):
    """Zeros for `count` padded planes of `like`'s type, and the position of their first pixel."""
    s = width + d
    return np.zeros((count, (height + 2 * d) * s + 2 * d), like.dtype), d + d * s


@kernel
def place(rows, width, s, to, at):
    """The contiguous rows, of `width`, into padded memory that begins at `at`."""
    for i in range(rows.size // width):
        copy(rows[i * width : (i + 1) * width], to[at + i * s : at + i * s + width])


@kernel
def take(padded_rows, width, s, to, add):
    """The contiguous rows `to` out of padded ones, plus a constant."""
    for i in range(to.size // width):
        _copy_plus(padded_rows[i * s : i * s + width], add, to[i * width : (i + 1) * width])


@row
def _copy_plus(a, add, to):
    for p in range(a.size):
        to[p] = a[p] + add


@kernel
def taps(pad, s, d, at, n):
    """What lies under the eight outer taps of dilation d, for n values from `at` on: four rows, then four."""
    up, same, down = at - d * s, at, at + d * s
    a, b, c = pad[up - d : up - d + n], pad[up : up + n], pad[up + d : up + d + n]
    e, f = pad[same - d : same - d + n], pad[same + d : same + d + n]
    g, h, i = pad[down - d : down - d + n], pad[down : down + n], pad[down + d : down + d + n]
    return (a, b, c, e), (f, g, h, i)


@kernel
def fused_taps(outer, centre, dilations, pad, s, at, to):
    """to = dilated kernels over pad from `at` on: their eight outer taps (J, 8), and the centre of all of them."""
    for start in range(0, to.size, BLOCK):
        part, here = to[start : min(start + BLOCK, to.size)], at + start
        first, second = taps(pad, s, dilations[0], here, part.size)
        nine(outer[0], first, second, centre, pad[here : here + part.size], part, False)
        for j in range(1, len(outer)):
            first, second = taps(pad, s, dilations[j], here, part.size)
            eight(outer[j], first, second, part, True)


@row
def nine(w, first, second, centre, base, to, add):
    """to = the sum of eight rows times w (8,) and of `base` times `centre`, plus what is there if `add`."""
    (a0, a1, a2, a3), (a4, a5, a6, a7) = first, second
    w0, w1, w2, w3, w4, w5, w6, w7 = w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7]
    if add:
        for p in range(to.size):
            s = w0 * a0[p] + w1 * a1[p] + w2 * a2[p] + w3 * a3[p]
            to[p] += centre * base[p] + s + w4 * a4[p] + w5 * a5[p] + w6 * a6[p] + w7 * a7[p]
    else:
        for p in range(to.size):
            s = w0 * a0[p] + w1 * a1[p] + w2 * a2[p] + w3 * a3[p]
            to[p] = centre * base[p] + s + w4 * a4[p] + w5 * a5[p] + w6 * a6[p] + w7 * a7[p]


@kernel
def tap_sums(g, g_at, n, d, pad, s, at, to):
    """to (8,) += sums of n values of g with what lies under each outer tap of pad."""
    for start in range(0, n, BLOCK):
        m = min(BLOCK, n - start)
        first, second = taps(pad, s, d, at + start, m)
        for t, sums in enumerate(_eight_dots(g[g_at + start : g_at + start + m], first, second)):
            to[t] += sums


@kernel
def centre_sum(g, g_at, n, pad, at):
    """Sum of n values of g with what lies under the centre."""
    total = 0.0
    for start in range(0, n, BLOCK):
        m = min(BLOCK, n - start)
        total += dot(g[g_at + start : g_at + start + m], pad[at + start : at + start + m])
    return total


@row_sums
def _eight_dots(v, first, second):
    (a0, a1, a2, a3), (a4, a5, a6, a7) = first, second
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = v.dtype.type(0)
    for q in range(v.size):
        s0 += v[q] * a0[q]
        s1 += v[q] * a1[q]
        s2 += v[q] * a2[q]
        s3 += v[q] * a3[q]
        s4 += v[q] * a4[q]
        s5 += v[q] * a5[q]
        s6 += v[q] * a6[q]
        s7 += v[q] * a7[q]
    return s0, s1, s2, s3, s4, s5, s6, s7
