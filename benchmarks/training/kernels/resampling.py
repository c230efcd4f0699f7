"""A norm, bilinear resizing and an activation: the end of most decoder stages, in one pass forward and two back.

The norm's scale and shift are applied to the small map, which is the same: bilinear weights sum to one. The rows are
mixed first and the columns second. A `Table` says for each of the new positions which old ones lie to its left and
right and how much the right one weighs. Twice the size, which is nearly every case, needs no look-up: sample 2 m lies
between m - 1 and m, sample 2 m + 1 between m and m + 1.

Letters: B images, C channels, h x w old and H x W new pixels.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from benchmarks.training.kernels.activations import IDENTITY, activate, through
from benchmarks.training.kernels.affine_norm import INVERSE, MEAN, plane_sums
from benchmarks.training.kernels.jit import kernel


class Table(NamedTuple):
    """Of a resizing along one axis."""

    left: np.ndarray
    """Old position to the left of each new one."""
    right: np.ndarray
    """And to the right, itself at the edge."""
    weight: np.ndarray
    """Of the right one."""
    twice: np.ndarray
    """(2, old): the weight of m in sample 2 m, and of m + 1 in sample 2 m + 1; (2, 0) where new is not 2 old."""


@lru_cache(maxsize=256)
def table(old: int, new: int, align_corners: bool, kind: str) -> Table:
    """From `old` to `new` positions, as `torch.nn.functional.interpolate` takes them; weights of a given dtype."""
    at = np.arange(new) * ((old - 1) / (new - 1) if new > 1 else 0.0)
    if not align_corners:
        at = np.maximum((np.arange(new) + 0.5) * (old / new) - 0.5, 0.0)
    left = np.minimum(at.astype(np.uint32), old - 1)
    right = np.minimum(left + 1, old - 1).astype(np.uint32)
    whole = np.arange(old if new == 2 * old else 0)
    twice = np.stack([at[: 2 * whole.size : 2] - (whole - 1), at[1 : 2 * whole.size : 2] - whole]).astype(kind)
    return Table(left, right, (at - left).astype(kind), twice)


@kernel
def _fill(row, value):
    for j in range(row.size):
        row[j] = value


@kernel
def _mixed(upper, lower, f, scale, shift, to):
    """One row between two, after the norm, in to[1 : -1]; to repeats its first and its last value."""
    inner = to[1:]
    for j in range(upper.size):
        inner[j] = (upper[j] + f * (lower[j] - upper[j])) * scale + shift
    to[0], to[to.size - 1] = to[1], to[to.size - 2]


@kernel
def _stretched(row, columns, to):
    """A row of `_mixed` to the new width."""
    left, right, weight, twice = columns
    if twice.size:
        before, at, after = row, row[1:], row[2:]
        even, odd = twice[0], twice[1]
        for m in range(even.size):
            to[2 * m] = before[m] + even[m] * (at[m] - before[m])
            to[2 * m + 1] = at[m] + odd[m] * (after[m] - at[m])
        return
    inner = row[1:]
    for j in range(to.size):
        a = inner[left[j]]
        to[j] = a + weight[j] * (inner[right[j]] - a)


@kernel
def _plus(row, to):
    for j in range(to.size):
        to[j] += row[j]


@kernel
def resize_forward(y, scales, shifts, rows, columns, activation, added, out):
    """out (B, C, H, W) = activation(resize(y * scale + shift)) + added.

    y: (B, C, h, w). scales, shifts: (B, C). rows, columns: `table`s. added: as out, or empty (0, 0, 0, 0).
    """
    batch, channels, height = out.shape[:3]
    row = np.empty(y.shape[3] + 2, y.dtype)
    for b in range(batch):
        for c in range(channels):
            for i in range(height):
                upper, lower = y[b, c, rows[0][i]], y[b, c, rows[1][i]]
                _mixed(upper, lower, rows[2][i], scales[b, c], shifts[b, c], row)
                _stretched(row, columns, out[b, c, i])
                activate(out[b, c, i], activation)
                if added.size:
                    _plus(added[b, c, i], out[b, c, i])


@kernel
def _add_scaled(row, f, to):
    for j in range(row.size):
        to[j] += f * row[j]


@kernel
def _gathered(row, columns, to):
    """The transpose of `_stretched`, from the new width to the old."""
    left, right, weight, twice = columns
    last, one = to.size - 1, row.dtype.type(1)
    if twice.size == 0:
        _fill(to, 0)
        for j in range(row.size):
            share = weight[j] * row[j]
            to[left[j]] += row[j] - share
            to[right[j]] += share
        return
    odd, next_even, here, past = twice[1], twice[0, 1:], row[2:], to[1:]
    for m in range(last):  # into position m + 1, but for what its right neighbour sends back
        past[m] = odd[m] * row[2 * m + 1] + next_even[m] * here[2 * m] + (one - odd[m + 1]) * here[2 * m + 1]
    to[0] = row[0] + (one - odd[0]) * row[1]
    for m in range(last):
        to[m] += (one - next_even[m]) * here[2 * m]
    to[last] += odd[last] * row[2 * last + 1]


@kernel
def resize_gradient(g, y, scales, shifts, rows, columns, activation, d):
    """From the gradient g (B, C, H, W) on the output to that on the norm's output, d (B, C, h, w)."""
    batch, channels, height, width = g.shape
    row, fine = np.empty(y.shape[3] + 2, y.dtype), np.empty(width, y.dtype)
    tall = np.empty((y.shape[2], width), y.dtype)
    for b in range(batch):
        for c in range(channels):
            _fill(tall.reshape(tall.size), 0)
            for i in range(height):
                at, after, f = rows[0][i], rows[1][i], rows[2][i]
                if activation == IDENTITY:
                    _add_scaled(g[b, c, i], 1 - f, tall[at])
                    _add_scaled(g[b, c, i], f, tall[after])
                    continue
                _mixed(y[b, c, at], y[b, c, after], f, scales[b, c], shifts[b, c], row)
                _stretched(row, columns, fine)
                through(g[b, c, i], fine, activation)
                _add_scaled(fine, 1 - f, tall[at])
                _add_scaled(fine, f, tall[after])
            for i in range(y.shape[2]):
                _gathered(tall[i], columns, d[b, c, i])


@kernel
def norm_sums(d, y, stats, sums):
    """Sums (2, B, C) of d (B, C, n) for `affine_norm.coefficients`."""
    for b in range(d.shape[0]):
        for c in range(d.shape[1]):
            of_d, of_both = plane_sums(d[b, c], y[b, c], stats[MEAN, b, c], stats[INVERSE, b, c])
            sums[0, b, c], sums[1, b, c] = of_d, of_both
