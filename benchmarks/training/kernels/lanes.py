"""Layers over small maps with images and channels side by side in the vector lanes.

Where a map has 16 x 16 pixels or fewer, a plane fills vectors badly, and its borders, nine sums and single calls cost
more than the taps. With the pixels outermost, (H, W, B, C), every loop runs over B * C neighbours in memory, borders
are a row of zeros, and a 1x1 convolution of all images is one matrix product.

Letters: B images, C channels, H x W pixels, n = H * W, L = B * C lanes, K taps a side.
"""

import numpy as np

from benchmarks.training.kernels.affine_norm import INVERSE, MEAN, SCALE, SHIFT, coefficients, of_moments
from benchmarks.training.kernels.jit import kernel
from benchmarks.training.kernels.products import copy

STRETCH = 64  # pixels that are summed in their own type before float64 takes over


@kernel
def fill(row, value):
    """Set a row to a value."""
    for q in range(row.size):
        row[q] = value


@kernel
def _nine(rows, w, bias, out):
    """out (L,) = bias plus nine rows times w (9, L)."""
    x0, x1, x2, x3, x4, x5, x6, x7, x8 = rows
    w0, w1, w2, w3, w4, w5, w6, w7, w8 = w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7], w[8]
    for q in range(out.size):
        out[q] = (
            (bias[q] + w0[q] * x0[q] + w1[q] * x1[q] + w2[q] * x2[q])
            + (w3[q] * x3[q] + w4[q] * x4[q] + w5[q] * x5[q])
            + (w6[q] * x6[q] + w7[q] * x7[q] + w8[q] * x8[q])
        )


@kernel
def _five(rows, w, out):
    """out (L,) += five rows times w (5, L)."""
    x0, x1, x2, x3, x4 = rows
    w0, w1, w2, w3, w4 = w[0], w[1], w[2], w[3], w[4]
    for q in range(out.size):
        out[q] += w0[q] * x0[q] + w1[q] * x1[q] + w2[q] * x2[q] + w3[q] * x3[q] + w4[q] * x4[q]


@kernel
def _at(x, zero, i, j):
    """The lanes of pixel (i, j) of x (H, W, L), zeros outside."""
    return x[i, j] if 0 <= i < x.shape[0] and 0 <= j < x.shape[1] else zero


@kernel
def _convolve(x, w, dilation, bias, y):
    """y (H, W, L): w (K * K, L) over x (H, W, L) with a border of zeros, plus bias (L,). K is 3 or 5."""
    zero, d = np.zeros(x.shape[2], x.dtype), dilation
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            if len(w) == 9:
                above = _at(x, zero, i - d, j - d), _at(x, zero, i - d, j), _at(x, zero, i - d, j + d)
                here = _at(x, zero, i, j - d), x[i, j], _at(x, zero, i, j + d)
                below = _at(x, zero, i + d, j - d), _at(x, zero, i + d, j), _at(x, zero, i + d, j + d)
                _nine(above + here + below, w, bias, y[i, j])
                continue
            copy(bias, y[i, j])
            for k in range(5):
                r = i + (k - 2) * d
                near = _at(x, zero, r, j - d), _at(x, zero, r, j), _at(x, zero, r, j + d)
                row = _at(x, zero, r, j - 2 * d), near[0], near[1], near[2], _at(x, zero, r, j + 2 * d)
                _five(row, w[5 * k : 5 * k + 5], y[i, j])


@kernel
def _spread(w, batch, turned):
    """w (C, K, K) as (K * K, B * C), the same for each image; turned by half a turn, if so."""
    channels, count = len(w), w.shape[1] * w.shape[2]
    flat, to = w.reshape(channels, count), np.empty((count, batch * channels), w.dtype)
    for t in range(count):
        for b in range(batch):
            for c in range(channels):
                to[t, b * channels + c] = flat[c, count - 1 - t if turned else t]
    return to


@kernel
def _part(x, first, to):
    """Channels of x (H, W, B, C) from `first` on to to (H, W, B, Q)."""
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            for b in range(x.shape[2]):
                for c in range(to.shape[3]):
                    to[i, j, b, c] = x[i, j, b, first + c]


@kernel
def _put(part, first, x):
    """The reverse of `_part`."""
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            for b in range(x.shape[2]):
                for c in range(part.shape[3]):
                    x[i, j, b, first + c] = part[i, j, b, c]


@kernel
def _maps(x):
    """(H, W, B, C) as (H, W, L)."""
    return x.reshape(x.shape[0], x.shape[1], x.shape[2] * x.shape[3])


@kernel
def _rows(x):
    """(H, W, B, C) as (n, L)."""
    return x.reshape(x.shape[0] * x.shape[1], x.shape[2] * x.shape[3])


@kernel
def _depthwise(x, w, dilation, bias, y):
    lanes = np.empty((x.shape[2], x.shape[3]), x.dtype)
    for b in range(len(lanes)):
        copy(bias, lanes[b])
    _convolve(_maps(x), _spread(w, len(lanes), False), dilation, lanes.reshape(lanes.size), _maps(y))


@kernel
def depthwise(x, w, dilations, bias, y):
    """A depthwise convolution of x (H, W, B, C) to y, with w (C, K, K), K 3 or 5, and bias (C,).

    As many equal parts of the channels as there are `dilations` have one each.
    """
    if len(dilations) == 1:
        _depthwise(x, w, dilations[0], bias, y)
        return
    width = len(w) // len(dilations)
    shape = x.shape[0], x.shape[1], x.shape[2], width
    part, result = np.empty(shape, x.dtype), np.empty(shape, x.dtype)
    for k in range(len(dilations)):
        at = slice(k * width, (k + 1) * width)
        _part(x, k * width, part)
        _depthwise(part, w[at], dilations[k], bias[at], result)
        _put(result, k * width, y)


@kernel
def _add_product(a, b, to):
    for q in range(to.size):
        to[q] += a[q] * b[q]


@kernel
def _add(a, to):
    for q in range(to.size):
        to[q] += a[q]


@kernel
def _move(a, to):
    """Add a row to `to`, float64, and set it to 0."""
    for q in range(to.size):
        to[q] += a[q]
    fill(a, 0)


@kernel
def _tap_sums(g, x, side, dilation, dw, db):
    """Add to dw (K * K, L) and db (L,), float64, the sums of g (H, W, L) times what lies under each tap, and of g."""
    height, width = g.shape[:2]
    parts = np.zeros((len(dw) + 1, g.shape[2]), g.dtype)
    lines = max(STRETCH // width, 1)
    for i in range(height):
        for j in range(width):
            for t in range(len(dw)):
                r, s = i + (t // side - side // 2) * dilation, j + (t % side - side // 2) * dilation
                if 0 <= r < height and 0 <= s < width:
                    _add_product(g[i, j], x[r, s], parts[t])
            _add(g[i, j], parts[len(dw)])
        if (i + 1) % lines == 0 or i == height - 1:
            for t in range(len(dw)):
                _move(parts[t], dw[t])
            _move(parts[len(dw)], db)


@kernel
def _depthwise_back(g, x, w, dilation, dx, dw, db):
    channels, side = w.shape[:2]
    lanes, count = x.shape[2] * channels, side * side
    _convolve(_maps(g), _spread(w, x.shape[2], True), dilation, np.zeros(lanes, x.dtype), _maps(dx))
    taps, plain = np.zeros((count, lanes)), np.zeros(lanes)
    _tap_sums(_maps(g), _maps(x), side, dilation, taps, plain)
    whole, total = dw.reshape(channels, count), np.zeros((count + 1, channels))
    for b in range(x.shape[2]):
        at = slice(b * channels, (b + 1) * channels)
        for t in range(count):
            _add(taps[t, at], total[t])
        _add(plain[at], total[count])
    for c in range(channels):
        db[c] = total[count, c]
        for t in range(count):
            whole[c, t] = total[t, c]


@kernel
def depthwise_back(g, x, w, dilations, dx, dw, db):
    """Gradients of `depthwise`: dx, dw (C, K, K) and db (C,)."""
    if len(dilations) == 1:
        _depthwise_back(g, x, w, dilations[0], dx, dw, db)
        return
    width = len(w) // len(dilations)
    shape = x.shape[0], x.shape[1], x.shape[2], width
    from_g, part, result = np.empty(shape, x.dtype), np.empty(shape, x.dtype), np.empty(shape, x.dtype)
    for k in range(len(dilations)):
        at = slice(k * width, (k + 1) * width)
        _part(g, k * width, from_g)
        _part(x, k * width, part)
        _depthwise_back(from_g, part, w[at], dilations[k], result, dw[at], db[at])
        _put(result, k * width, dx)


@kernel
def lane_sums(x, to):
    """Add the sums over the pixels of x (n, L) to to (L,), float64."""
    part = np.zeros(x.shape[1], x.dtype)
    for start in range(0, len(x), STRETCH):
        for p in range(start, min(start + STRETCH, len(x))):
            _add(x[p], part)
        _move(part, to)


@kernel
def product_sums(a, b, to):
    """Add the sums over the pixels of a times b, (n, L) both, to to (L,), float64."""
    part = np.zeros(a.shape[1], a.dtype)
    for start in range(0, len(a), STRETCH):
        for p in range(start, min(start + STRETCH, len(a))):
            _add_product(a[p], b[p], part)
        _move(part, to)


@kernel
def _deviations(row, near, squares, rest):
    for q in range(row.size):
        deviation = row[q] - near[q]
        squares[q] += deviation * deviation
        rest[q] += deviation


@kernel
def _moments(y, means, squares):
    """Mean and sum of squared deviations, (L,) float64, of each lane of y (n, L)."""
    n, lanes = y.shape
    fill(means, 0)
    fill(squares, 0)
    lane_sums(y, means)
    near, parts, rest = np.empty(lanes, y.dtype), np.zeros((2, lanes), y.dtype), np.zeros(lanes)
    for q in range(lanes):
        near[q] = means[q] / n
    for start in range(0, n, STRETCH):
        for p in range(start, min(start + STRETCH, n)):
            _deviations(y[p], near, parts[0], parts[1])
        _move(parts[0], squares)
        _move(parts[1], rest)
    for q in range(lanes):
        shift = rest[q] / n
        means[q] = np.float64(near[q]) + shift
        squares[q] -= n * shift * shift


@kernel
def _scaled(row, scale, shift, to):
    for q in range(row.size):
        to[q] = row[q] * scale[q] + shift[q]


@kernel
def norm(y, gamma, beta, eps, groups, stats, out):
    """Group norm of y (H, W, B, C), and its `stats` (4, B, C), see `affine_norm`."""
    values, none = _rows(y), gamma[:0]
    both = np.empty((2, y.shape[2], y.shape[3]))
    flat, lines = both.reshape(2, values.shape[1]), stats.reshape(4, values.shape[1])
    _moments(values, flat[0], flat[1])
    of_moments(both[0], both[1], len(values), gamma, beta, eps, groups, none, none, 0.0, True, stats)
    to = _rows(out)
    for p in range(len(values)):
        _scaled(values[p], lines[SCALE], lines[SHIFT], to[p])


@kernel
def _normalised_products(d, y, mean, inverse, to):
    for q in range(d.size):
        to[q] += d[q] * ((y[q] - mean[q]) * inverse[q])


@kernel
def _norm_sums(d, y, mean, inverse, sums):
    """sums (2, L), float64 and zero at first: of d (n, L), and of d times the normalised y."""
    lane_sums(d, sums[0])
    part = np.zeros(d.shape[1], d.dtype)
    for start in range(0, len(d), STRETCH):
        for p in range(start, min(start + STRETCH, len(d))):
            _normalised_products(d[p], y[p], mean, inverse, part)
        _move(part, sums[1])


@kernel
def _norm_back(d, y, scale, mean, offset, slope, to):
    for q in range(d.size):
        to[q] = scale[q] * d[q] - offset[q] - slope[q] * (y[q] - mean[q])


@kernel
def norm_back(d, y, gamma, groups, stats, dy, dgamma, dbeta):
    """Gradients of `norm`: dy, which may be d, and dgamma and dbeta (C,)."""
    gradient, values, to = _rows(d), _rows(y), _rows(dy)
    lanes, shape = values.shape[1], (2, y.shape[2], y.shape[3])
    flat, sums, lines = stats.reshape(4, lanes), np.zeros(shape), np.empty(shape, y.dtype)
    _norm_sums(gradient, values, flat[MEAN], flat[INVERSE], sums.reshape(2, lanes))
    coefficients(sums, stats, gamma, len(values), groups, True, lines, dgamma, dbeta)
    line = lines.reshape(2, lanes)
    for p in range(len(values)):
        _norm_back(gradient[p], values[p], flat[SCALE], flat[MEAN], line[0], line[1], to[p])


@kernel
def normed_depthwise(x, w, dilations, bias, gamma, beta, eps, groups, y, stats, out):
    """`norm` of `depthwise`, whose result is y."""
    depthwise(x, w, dilations, bias, y)
    norm(y, gamma, beta, eps, groups, stats, out)


@kernel
def normed_depthwise_back(g, x, w, dilations, gamma, groups, y, stats, dx, dw, db, dgamma, dbeta):
    """Gradients of `normed_depthwise`, in g's place that of y."""
    norm_back(g, y, gamma, groups, stats, g, dgamma, dbeta)
    depthwise_back(g, x, w, dilations, dx, dw, db)
