"""Dilated 3x3 kernels over one plane.

A plane is padded once, flat: rows of W + D, D being the largest dilation, so that what pads a row on the right pads the
next one on the left, with D rows above and below. A tap is then an offset, a row of any width fills the vectors, and
what comes out between the rows is dropped. Kernels of several dilations share the centre, so it lies apart from their
eight outer taps.

Loads, not arithmetic, bound a loop over taps, because what lies a few pixels to the side is a load across two cache
lines. Of four rows that lie a dilation apart, each row's three loads serve up to three of them: 18 loads for 36 taps.

Letters: H x W pixels, s = W + D the distance of rows, f = d s that of rows a dilation d apart.
"""

import numpy as np

from benchmarks.training.kernels.jit import kernel, row, row_sums
from benchmarks.training.kernels.products import BLOCK, copy, dot, eight
from benchmarks.training.kernels.vectors import load, load_some, spread, store, store_some, times_plus, totals, width

OUTER = np.array([0, 1, 2, 3, 5, 6, 7, 8])
CENTRE = 4
SLACK = 64  # values behind a plane, which the last vectors may read


@kernel
def padded(count, height, width, d, like):
    """Zeros for `count` padded planes of `like`'s type, and the position of their first pixel."""
    s = width + d
    return np.zeros((count, (height + 2 * d) * s + 2 * d + SLACK), like.dtype), d + d * s


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
    none = pad.dtype.type(0)
    for j in range(len(outer)):
        w, f = _nine_of(outer[j], centre if j == 0 else none), dilations[j] * s
        done = to.size // (4 * f) * 4 * f
        for start in range(0, done, 4 * f):
            for q in range(0, f, width(w[0])):
                _four_rows(w, pad, at + start + q, f, dilations[j], to, start + q, j > 0, f - q)
        for start in range(done, to.size, BLOCK):
            part, here = to[start : min(start + BLOCK, to.size)], at + start
            first, second = taps(pad, s, dilations[j], here, part.size)
            if j == 0:
                nine(outer[0], first, second, centre, pad[here : here + part.size], part, False)
            else:
                eight(outer[j], first, second, part, True)


@row
def _nine_of(w, centre):
    """Eight outer taps and the centre as vectors, row by row."""
    a, b, c = spread(w[0]), spread(w[1]), spread(w[2])
    return a, b, c, spread(w[3]), spread(centre), spread(w[4]), spread(w[5]), spread(w[6]), spread(w[7])


@row
def _three(pad, at, d):
    return load(pad, at - d), load(pad, at), load(pad, at + d)


@row
def _row_of(w, t, x, add):
    """Three taps from t on, and what is there."""
    return times_plus(x[2], w[t + 2], times_plus(x[1], w[t + 1], times_plus(x[0], w[t], add)))


@row
def _four_rows(w, pad, at, f, d, to, to_at, add, count):
    """One vector of each of four rows f apart, or its first `count` values; w: `_nine_of`."""
    none = spread(pad.dtype.type(0))
    a = b = c = e = none
    if add:
        a, b, c, e = load(to, to_at), load(to, to_at + f), load(to, to_at + 2 * f), _last(to, to_at + 3 * f, count)
    x = _three(pad, at - f, d)
    a = _row_of(w, 0, x, a)
    x = _three(pad, at, d)
    a, b = _row_of(w, 3, x, a), _row_of(w, 0, x, b)
    x = _three(pad, at + f, d)
    a, b, c = _row_of(w, 6, x, a), _row_of(w, 3, x, b), _row_of(w, 0, x, c)
    x = _three(pad, at + 2 * f, d)
    b, c, e = _row_of(w, 6, x, b), _row_of(w, 3, x, c), _row_of(w, 0, x, e)
    x = _three(pad, at + 3 * f, d)
    c, e = _row_of(w, 6, x, c), _row_of(w, 3, x, e)
    e = _row_of(w, 6, _three(pad, at + 4 * f, d), e)
    for k, value in enumerate((a, b, c, e)):
        if count >= width(none):
            store(value, to, to_at + k * f)
        else:
            store_some(value, to, to_at + k * f, count)


@row
def _last(a, at, count):
    """A vector of the last row, behind which nothing may be read."""
    return load(a, at) if count >= width(spread(a.dtype.type(0))) else load_some(a, at, count)


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
    """to (9,) += sums of n values of g with what lies under each tap of pad."""
    f, none = d * s, spread(g.dtype.type(0))
    done, together = n // (4 * f) * 4 * f, max(BLOCK // (4 * f), 1) * 4 * f
    for start in range(0, done, together):
        sums = none, none, none, none, none, none, none, none, none
        for first in range(start, min(start + together, done), 4 * f):
            for q in range(0, f, width(none)):
                sums = _nine_products(g, g_at + first + q, pad, at + first + q, f, d, f - q, sums)
        for k in range(0, 8, 4):
            for t, value in enumerate(totals((sums[k], sums[k + 1], sums[k + 2], sums[k + 3]))):
                to[k + t] += value
        to[8] += totals((sums[8], none, none, none))[0]
    for start in range(done, n, BLOCK):
        m = min(BLOCK, n - start)
        row, (first, second) = g[g_at + start : g_at + start + m], taps(pad, s, d, at + start, m)
        for t, value in enumerate(_eight_dots(row, first, second)):
            to[OUTER[t]] += value
        to[CENTRE] += dot(row, pad[at + start : at + start + m])


@row
def _nine_products(g, g_at, pad, at, f, d, count, sums):
    """Add to nine vectors the products of four rows of g, f apart, with what lies under the taps."""
    a, b, c, e = (
        _last(g, g_at, count),
        _last(g, g_at + f, count),
        _last(g, g_at + 2 * f, count),
        _last(g, g_at + 3 * f, count),
    )
    above, here, below = sums[:3], sums[3:6], sums[6:]
    above = _each(a, _three(pad, at - f, d), above)
    x = _three(pad, at, d)
    above, here = _each(b, x, above), _each(a, x, here)
    x = _three(pad, at + f, d)
    above, here, below = _each(c, x, above), _each(b, x, here), _each(a, x, below)
    x = _three(pad, at + 2 * f, d)
    above, here, below = _each(e, x, above), _each(c, x, here), _each(b, x, below)
    x = _three(pad, at + 3 * f, d)
    here, below = _each(e, x, here), _each(c, x, below)
    below = _each(e, _three(pad, at + 4 * f, d), below)
    return above + here + below


@row
def _each(g, x, sums):
    return times_plus(g, x[0], sums[0]), times_plus(g, x[1], sums[1]), times_plus(g, x[2], sums[2])


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
