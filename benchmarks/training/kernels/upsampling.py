"""Bilinear upsampling by two with aligned corners, and its transpose, of one plane.

Sample i of 2n lies at i (n - 1) / (2n - 1) on n samples. Sample 2m is therefore (1 - e) low[m] + e low[m - 1] with
e = m / (2n - 1), and sample 2m + 1 is (1 - d) low[m] + d low[m + 1] with d = (n - 1 - m) / (2n - 1): rows and columns
need a table of e and d, and no search.

Letters: h x w pixels of the small plane.
"""

import numpy as np

from benchmarks.training.kernels.jit import kernel, row

EVEN, ODD, NEXT, PREVIOUS = range(4)
"""Rows of a table (4, n): e and d of sample m; e of m + 1 and d of m - 1, or 0, with which these lean on m."""


@kernel
def table(n, like):
    """The shares (4, n) of `like`'s type."""
    to = np.zeros((4, n), like.dtype)
    for m in range(n):
        to[EVEN, m], to[ODD, m] = m / (2 * n - 1), (n - 1 - m) / (2 * n - 1)
        if m > 0:
            to[NEXT, m - 1], to[PREVIOUS, m] = to[EVEN, m], to[ODD, m - 1]
    return to


@kernel
def double(low, rows, columns, strip, to):
    """low (h w) to `to` (4 h w); rows, columns: `table` of h and w; strip: room for 2 w + 2 values."""
    h, w = rows.shape[1], columns.shape[1]
    for m in range(h):
        here = low[m * w : (m + 1) * w]
        for odd in range(2):
            other, share = min(m + 1, h - 1) if odd else max(m - 1, 0), rows[odd, m]
            _blend(here, low[other * w : (other + 1) * w], share, strip[1 : w + 1])
            strip[0], strip[w + 1] = strip[1], strip[w]
            at = (2 * m + odd) * 2 * w
            _double_row(strip, columns[EVEN], columns[ODD], to[at : at + 2 * w])


@row
def _blend(a, b, share, to):
    rest = a.dtype.type(1) - share
    for j in range(a.size):
        to[j] = rest * a[j] + share * b[j]


@row
def _double_row(strip, even, odd, to):
    one = strip.dtype.type(1)
    for j in range(even.size):
        to[2 * j] = (one - even[j]) * strip[j + 1] + even[j] * strip[j]
        to[2 * j + 1] = (one - odd[j]) * strip[j + 1] + odd[j] * strip[j + 2]


@kernel
def double_gradient(high, rows, columns, strip, to):
    """The transpose of `double`: high (4 h w) to `to` (h w)."""
    h, w = rows.shape[1], columns.shape[1]
    strip[0] = strip[2 * w + 1] = 0
    for m in range(h):
        a, b = 2 * m * 2 * w, (2 * m + 1) * 2 * w
        before, after = max(b - 4 * w, 0), min(a + 4 * w, high.size - 2 * w)
        _lean(
            high[a : a + 2 * w],
            high[b : b + 2 * w],
            high[after : after + 2 * w],
            high[before : before + 2 * w],
            rows[:, m].copy(),
            strip[1 : 2 * w + 1],
        )
        _double_row_gradient(strip, columns, to[m * w : (m + 1) * w])


@row
def _lean(even, odd, after, before, shares, to):
    one = to.dtype.type(1)
    a, b, c, d = one - shares[EVEN], one - shares[ODD], shares[NEXT], shares[PREVIOUS]
    for j in range(to.size):
        to[j] = a * even[j] + b * odd[j] + c * after[j] + d * before[j]


@row
def _double_row_gradient(strip, columns, to):
    one, even, odd, after, before = to.dtype.type(1), columns[EVEN], columns[ODD], columns[NEXT], columns[PREVIOUS]
    for j in range(to.size):
        own = (one - even[j]) * strip[2 * j + 1] + (one - odd[j]) * strip[2 * j + 2]
        to[j] = own + after[j] * strip[2 * j + 3] + before[j] * strip[2 * j]
