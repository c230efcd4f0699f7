"""Products of few channels and many pixels, the 1x1 convolution and its gradients, and sums.

Four rows of the result stay in vector registers over all that they are summed from, so a pass costs a load for every
four multiplications. Rows are taken one by one as contiguous slices: only then does the compiler see that pixels lie
side by side.

Letters: C channels in, O channels out, n pixels.
"""

import numpy as np

from benchmarks.training.kernels.jit import kernel, row, row_sums
from benchmarks.training.kernels.vectors import (
    load,
    load_some,
    load_some_wide,
    load_wide,
    spread,
    spread_wide,
    store,
    store_some,
    times_plus,
    totals,
    width,
)

TILE = 1024
"""Pixels at a time: a row of them is 4 kB, so that some rows fit the nearest cache."""
BLOCK = 4096
"""Values that are summed in their own type; sums of blocks are added in float64."""
SHORT = 160
"""Pixels; with fewer, to add up a register's places costs more than to keep sixteen sums in registers saves."""
ALL = 0
"""As a count of a vector's values: all of them."""


@row
def _wide(a, at, count):
    return load_wide(a, at) if count == ALL else load_some_wide(a, at, count)


@row
def _narrow(a, at, count):
    return load(a, at) if count == ALL else load_some(a, at, count)


@row
def _put(vector, a, at, count):
    if count == ALL:
        store(vector, a, at)
    else:
        store_some(vector, a, at, count)


@kernel
def product(w, x, x_at, y, y_at, n, add):
    """y[:, y_at : y_at + n] = w @ x[:, x_at : x_at + n], or += if `add`. w (O, C), x (C, ...), y (O, ...)."""
    step = width(spread_wide(w.dtype.type(0)))
    for q in range(0, n - step + 1, step):
        _columns(w, x, x_at + q, y, y_at + q, add, ALL)
    if n % step:
        q = n // step * step
        _columns(w, x, x_at + q, y, y_at + q, add, n - q)


@row
def _columns(w, x, x_at, y, y_at, add, count):
    """`product` for `count` pixels, four rows at a time and then one by one."""
    full = len(w) // 4 * 4
    for o in range(0, full, 4):
        _four(w[o : o + 4], x, x_at, y[o : o + 4], y_at, add, count)
    for o in range(full, len(w)):
        s = _wide(y[o], y_at, count) if add else spread_wide(w.dtype.type(0))
        for c in range(w.shape[1]):
            s = times_plus(_wide(x[c], x_at, count), w[o, c], s)
        _put(s, y[o], y_at, count)


@row
def _four(w, x, x_at, y, y_at, add, count):
    a = b = c = d = spread_wide(w.dtype.type(0))
    if add:
        a, b, c, d = (
            _wide(y[0], y_at, count),
            _wide(y[1], y_at, count),
            _wide(y[2], y_at, count),
            _wide(y[3], y_at, count),
        )
    for k in range(w.shape[1]):
        v = _wide(x[k], x_at, count)
        a, b = times_plus(v, w[0, k], a), times_plus(v, w[1, k], b)
        c, d = times_plus(v, w[2, k], c), times_plus(v, w[3, k], d)
    _put(a, y[0], y_at, count)
    _put(b, y[1], y_at, count)
    _put(c, y[2], y_at, count)
    _put(d, y[3], y_at, count)


@kernel
def outer(a, a_at, b, b_at, n, to):
    """to (O, C) += a[:, a_at : a_at + n] @ b[:, b_at : b_at + n].T; to is float64, n at most `BLOCK`."""
    if n < SHORT:
        for o in range(to.shape[0]):
            _short_row(a[o, a_at : a_at + n], b, b_at, to[o])
        return
    rows, columns = to.shape[0] // 4 * 4, to.shape[1] // 4 * 4
    for o in range(0, rows, 4):
        for c in range(0, columns, 4):
            for k, line in enumerate(sixteen(a[o : o + 4], a_at, b[c : c + 4], b_at, n)):
                for m, value in enumerate(totals(line)):
                    to[o + k, c + m] += value
        for c in range(columns, to.shape[1]):
            for k, value in enumerate(totals(four_dots(a[o : o + 4], a_at, b[c], b_at, n))):
                to[o + k, c] += value
    for o in range(rows, to.shape[0]):
        _one_row(a[o], a_at, b, b_at, n, to[o])


@kernel
def _short_row(a, b, b_at, to):
    """`outer` of a short row, whose totals would cost more than its products."""
    c, here = 0, slice(b_at, b_at + a.size)
    while c + 4 <= to.size:
        for k, value in enumerate(_dots(a, b[c, here], b[c + 1, here], b[c + 2, here], b[c + 3, here])):
            to[c + k] += value
        c += 4
    while c < to.size:
        to[c] += dot(a, b[c, here])
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


@kernel
def _one_row(a, a_at, b, b_at, n, to):
    """`outer` of one row: to (C,)."""
    full = len(to) // 4 * 4
    for c in range(0, full, 4):
        for k, value in enumerate(totals(four_dots(b[c : c + 4], b_at, a, a_at, n))):
            to[c + k] += value
    for c in range(full, len(to)):
        to[c] += dot(a[a_at : a_at + n], b[c, b_at : b_at + n])


@row
def sixteen(a, a_at, b, b_at, n):
    """Vectors whose totals are the sums of n products of each of four rows of a with each of four of b."""
    none = spread(a.dtype.type(0))
    four, step = (none, none, none, none), width(none)
    sums = four, four, four, four
    for q in range(0, n - step + 1, step):
        sums = _sixteen_more(a, a_at + q, b, b_at + q, ALL, sums)
    if n % step:
        q = n // step * step
        sums = _sixteen_more(a, a_at + q, b, b_at + q, n - q, sums)
    return sums


@row
def _sixteen_more(a, a_at, b, b_at, count, sums):
    v = _narrow(b[0], b_at, count), _narrow(b[1], b_at, count), _narrow(b[2], b_at, count), _narrow(b[3], b_at, count)
    return (
        _four_more(_narrow(a[0], a_at, count), v, sums[0]),
        _four_more(_narrow(a[1], a_at, count), v, sums[1]),
        _four_more(_narrow(a[2], a_at, count), v, sums[2]),
        _four_more(_narrow(a[3], a_at, count), v, sums[3]),
    )


@row
def _four_more(u, v, sums):
    return (
        times_plus(u, v[0], sums[0]),
        times_plus(u, v[1], sums[1]),
        times_plus(u, v[2], sums[2]),
        times_plus(u, v[3], sums[3]),
    )


@row
def four_dots(a, a_at, b, b_at, n):
    """As `sixteen`, of each of four rows with one."""
    none = spread(b.dtype.type(0))
    sums, step = (none, none, none, none), width(none)
    for q in range(0, n - step + 1, step):
        i = a_at + q
        sums = _four_more(load(b, b_at + q), (load(a[0], i), load(a[1], i), load(a[2], i), load(a[3], i)), sums)
    if n % step:
        q = n // step * step
        i, count = a_at + q, n - q
        rows = (
            load_some(a[0], i, count),
            load_some(a[1], i, count),
            load_some(a[2], i, count),
            load_some(a[3], i, count),
        )
        sums = _four_more(load_some(b, b_at + q, count), rows, sums)
    return sums


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
