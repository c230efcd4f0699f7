"""Dense 3x3 convolutions of few channels, which fill no block of oneDNN's, and their gradients.

Planes get a border of zeros and are then walked as one long row, so that neighbours are at fixed distances and narrow
maps fill vectors too; what falls on the border is left out at the end. Four outputs stay in registers over all taps
and channels. Channels are filled up with zeros to fours.

Letters: B images, C channels in, O out, H x W pixels, S = W + 2, the distance between rows with their border.
"""

import numpy as np

from benchmarks.training.kernels.jit import kernel, row
from benchmarks.training.kernels.products import copy, four_dots, plane_sum, sixteen
from benchmarks.training.kernels.vectors import load_wide, spread_wide, store, times_plus, totals, width

CHUNK = 2048  # pixels at a time: with four outputs they stay in the nearest cache
SLACK = 256  # values behind a plane that the last vectors may read, more than two rows' ends and a wide vector


@kernel
def border(plane, margin, to):
    """plane (H, W) into the middle of to (H + 2 margin, W + 2 margin), whose border is zero already."""
    height, width = plane.shape
    for i in range(height):
        copy(plane[i], to[i + margin, margin : margin + width])


@kernel
def _fours(count):
    """The number of channels with those that fill the last four."""
    return (count + 3) // 4 * 4


@kernel
def _filled(w, bias):
    """w (O, C, 9) and bias (O,) with zeros for as many outputs as fill the last four."""
    outs = _fours(len(w))
    kernels, biases = np.zeros((outs, w.shape[1], 9), w.dtype), np.zeros(outs, w.dtype)
    kernels[: len(w)], biases[: len(w)] = w, bias
    return kernels, biases


@kernel
def turned(w):
    """The kernels (C, O, 9) of the gradient of the input: w (O, C, 9) turned by half a turn."""
    to = np.empty((w.shape[1], w.shape[0], 9), w.dtype)
    for o in range(w.shape[0]):
        for c in range(w.shape[1]):
            for t in range(9):
                to[c, o, t] = w[o, c, 8 - t]
    return to


@kernel
def _room(channels, height, width, like):
    """Zeros for planes with their border, as (C, H + 2, S) and flat (C, n), with some behind."""
    size = (height + 2) * (width + 2)
    flat = np.zeros((channels, size + SLACK), like.dtype)
    return flat, size


@kernel
def _place(x, flat):
    """Planes x (C, H, W) into the middle of their room."""
    height, width = x.shape[1:]
    step = width + 2
    for c in range(len(x)):
        for i in range(height):
            at = (i + 1) * step + 1
            copy(x[c, i], flat[c, at : at + width])


@row
def _nine(x, at, step, w, o, c, sums):
    """Add nine taps of a flat plane x, the first at `at`, to four wide sums, with the kernels w[o : o + 4, c]."""
    a, b, d, e = sums
    for r in range(3):
        for s in range(3):
            value, t = load_wide(x, at + r * step + s), 3 * r + s
            a = times_plus(value, w[o, c, t], a)
            b = times_plus(value, w[o + 1, c, t], b)
            d = times_plus(value, w[o + 2, c, t], d)
            e = times_plus(value, w[o + 3, c, t], e)
    return a, b, d, e


@kernel
def _four(flat, at, step, w, bias, o, n, strip):
    """strip (4, >= n): outputs o to o + 4 for n places of the planes from `at` on."""
    none = spread_wide(bias[o])
    for q in range(0, n, width(none)):
        sums = none, spread_wide(bias[o + 1]), spread_wide(bias[o + 2]), spread_wide(bias[o + 3])
        for c in range(w.shape[1]):
            sums = _nine(flat[c], at + q, step, w, o, c, sums)
        for k, value in enumerate(sums):
            store(value, strip[k], q)


@kernel
def convolve(x, w, bias, y):
    """y (B, O, H, W) of x (B, C, H, W), kernels w (O, C, 9) and bias (O,)."""
    height, side = x.shape[2:]
    step, (kernels, biases) = side + 2, _filled(w, bias)
    flat, _ = _room(x.shape[1], height, side, x)
    lines = max(CHUNK // step, 1)
    strip = np.empty((4, lines * step + SLACK), x.dtype)
    for b in range(len(x)):
        _place(x[b], flat)
        for first in range(0, height, lines):
            count = min(lines, height - first)
            for o in range(0, len(w), 4):
                _four(flat, first * step, step, kernels, biases, o, (count - 1) * step + side, strip)
                for k in range(min(4, len(w) - o)):
                    for i in range(count):
                        copy(strip[k, i * step : i * step + side], y[b, o + k, first + i])


@kernel
def _tap_sums(g, flat, at, step, n, sums):
    """Add to sums (O, C', 9), float64, those of g (O, n) times what lies under each tap of planes (C', ...)."""
    full = len(g) // 4 * 4
    for c in range(0, len(flat), 4):
        planes = flat[c : c + 4]
        for t in range(9):
            under = at + t // 3 * step + t % 3
            for o in range(0, full, 4):
                for k, line in enumerate(sixteen(g[o : o + 4], 0, planes, under, n)):
                    for m, value in enumerate(totals(line)):
                        sums[o + k, c + m, t] += value
            for o in range(full, len(g)):
                for m, value in enumerate(totals(four_dots(planes, under, g[o], 0, n))):
                    sums[o, c + m, t] += value


@kernel
def kernel_gradients(g, x, dw, db):
    """dw (O, C, 9) and db (O,) from g (B, O, H, W) and x (B, C, H, W)."""
    (batch, channels, height, side), outs = x.shape, g.shape[1]
    step = side + 2
    flat, _ = _room(_fours(channels), height, side, x)
    lines = max(CHUNK // 2 // step, 1)
    strip = np.zeros((outs, lines * step + SLACK), x.dtype)
    sums, plain = np.zeros((outs, len(flat), 9)), np.zeros(outs)
    for b in range(batch):
        _place(x[b], flat)
        for o in range(outs):
            plain[o] += plane_sum(g[b, o].reshape(height * side))
        for first in range(0, height, lines):
            count = min(lines, height - first)
            for o in range(outs):
                for i in range(count):
                    copy(g[b, o, first + i], strip[o, i * step : i * step + side])
                strip[o, count * step :] = 0
            _tap_sums(strip, flat, first * step, step, count * step, sums)
    dw[:], db[:] = sums[:, :channels], plain
