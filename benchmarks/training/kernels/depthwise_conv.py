"""Depthwise convolutions of kernels of 3, 5 or 7, any dilation, that keep H x W by a border of zeros or of reflections.

Planes get their border and are then walked as one long row, as in `dense`. Input and output may be a range of the
channels of larger arrays, from `first` on, so that nothing is cut out or joined.

Letters: B images, C channels of the convolution, H x W pixels, K taps a side, M = dilation * (K // 2), the border.
"""

import numpy as np

from benchmarks.training.kernels.dense import border
from benchmarks.training.kernels.jit import kernel, summing
from benchmarks.training.kernels.products import copy, plane_sum


@kernel
def _nine(x, step, dilation, w, add, out):
    """out (n,) = nine taps of a flat plane x, and a constant."""
    r0, r1, r2 = x, x[dilation * step :], x[2 * dilation * step :]
    a0, a1, a2 = r0, r0[dilation:], r0[2 * dilation :]
    b0, b1, b2 = r1, r1[dilation:], r1[2 * dilation :]
    c0, c1, c2 = r2, r2[dilation:], r2[2 * dilation :]
    w0, w1, w2, w3, w4, w5, w6, w7, w8 = w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7], w[8]
    for q in range(out.size):
        out[q] = (
            (add + w0 * a0[q] + w1 * a1[q] + w2 * a2[q])
            + (w3 * b0[q] + w4 * b1[q] + w5 * b2[q])
            + (w6 * c0[q] + w7 * c1[q] + w8 * c2[q])
        )


@kernel
def _fill(row, value):
    for q in range(row.size):
        row[q] = value


@kernel
def _plus(row, to):
    for q in range(row.size):
        to[q] += row[q]


@kernel
def _line(x, dilation, w, out):
    """Add the K taps of one kernel row, 5 or 7, to out (n,)."""
    a0, a1, a2, a3, a4 = x, x[dilation:], x[2 * dilation :], x[3 * dilation :], x[4 * dilation :]
    w0, w1, w2, w3, w4 = w[0], w[1], w[2], w[3], w[4]
    if w.size == 5:
        for q in range(out.size):
            out[q] += w0 * a0[q] + w1 * a1[q] + w2 * a2[q] + w3 * a3[q] + w4 * a4[q]
        return
    a5, a6, w5, w6 = x[5 * dilation :], x[6 * dilation :], w[5], w[6]
    for q in range(out.size):
        out[q] += w0 * a0[q] + w1 * a1[q] + w2 * a2[q] + w3 * a3[q] + w4 * a4[q] + w5 * a5[q] + w6 * a6[q]


@kernel
def taps(padded, w, dilation, add, strip, out):
    """out (H, W): the kernel w (K, K) over padded (H + 2 M, W + 2 M), plus a constant. strip: scratch, H (W + 2 M)."""
    height, width = out.shape
    side, step, flat = w.shape[0], padded.shape[1], padded.reshape(padded.size)
    row = strip[: (height - 1) * step + width]
    if side == 3:
        _nine(flat, step, dilation, w.reshape(9), add, row)
    else:
        _fill(row, add)
        for k in range(side):
            _line(flat[k * dilation * step :], dilation, w[k], row)
    for i in range(height):
        to, inner = out[i], strip[i * step :]
        for j in range(width):
            to[j] = inner[j]


@summing
def _nine_sums(x, g, step, dilation, to):
    """Add to to (9,) the sums of g (n,) times what lies under each of nine taps of a flat plane x."""
    zero = x.dtype.type(0)
    r0, r1, r2 = x, x[dilation * step :], x[2 * dilation * step :]
    b0, b1, b2 = r0[dilation:], r1[dilation:], r2[dilation:]
    c0, c1, c2 = r0[2 * dilation :], r1[2 * dilation :], r2[2 * dilation :]
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = s8 = zero
    for q in range(g.size):
        v = g[q]
        s0 += v * r0[q]
        s1 += v * b0[q]
        s2 += v * c0[q]
        s3 += v * r1[q]
        s4 += v * b1[q]
        s5 += v * c1[q]
        s6 += v * r2[q]
        s7 += v * b2[q]
        s8 += v * c2[q]
    for t, value in enumerate((s0, s1, s2, s3, s4, s5, s6, s7, s8)):
        to[t] += value


@summing
def _line_sums(x, g, dilation, to):
    """The same for one kernel row of 5 or 7 taps; to (K,)."""
    zero = x.dtype.type(0)
    a1, a2, a3, a4 = x[dilation:], x[2 * dilation :], x[3 * dilation :], x[4 * dilation :]
    a5, a6 = (x[5 * dilation :], x[6 * dilation :]) if to.size == 7 else (a3, a4)
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = zero
    for q in range(g.size):
        v = g[q]
        s0 += v * x[q]
        s1 += v * a1[q]
        s2 += v * a2[q]
        s3 += v * a3[q]
        s4 += v * a4[q]
        s5 += v * a5[q]
        s6 += v * a6[q]
    for t, value in enumerate((s0, s1, s2, s3, s4, s5, s6)):
        if t < to.size:
            to[t] += value


STRETCH = 4096  # pixels summed in the kernel's own kind before float64 takes over


@kernel
def tap_sums(padded, spread, dilation, to):
    """Add to to (K, K), float64, the sums of a gradient times what lies under each tap of padded (H + 2 M, W + 2 M).

    spread: the gradient in rows as long as those of padded, zero between, flat.
    """
    side, step, flat = to.shape[0], padded.shape[1], padded.reshape(padded.size)
    for start in range(0, spread.size, STRETCH):
        part = spread[start : start + STRETCH]
        if side == 3:
            _nine_sums(flat[start:], part, step, dilation, to.reshape(9))
        else:
            for k in range(side):
                _line_sums(flat[start + k * dilation * step :], part, dilation, to[k])


@kernel
def _reflect(padded, margin):
    """Fill the border by reflection at the edge pixels, once the middle is there."""
    height, width = padded.shape[0] - 2 * margin, padded.shape[1] - 2 * margin
    for i in range(margin, margin + height):
        for m in range(margin):
            padded[i, m] = padded[i, 2 * margin - m]
            padded[i, margin + width + m] = padded[i, margin + width - 2 - m]
    for m in range(margin):
        copy(padded[2 * margin - m], padded[m])
        copy(padded[margin + height - 2 - m], padded[margin + height + m])


@kernel
def _unreflect(padded, margin):
    """The transpose of `_reflect`: the border's values are added to where they came from."""
    height, width = padded.shape[0] - 2 * margin, padded.shape[1] - 2 * margin
    for m in range(margin):
        _plus(padded[m], padded[2 * margin - m])
        _plus(padded[margin + height + m], padded[margin + height - 2 - m])
    for i in range(margin, margin + height):
        for m in range(margin):
            padded[i, 2 * margin - m] += padded[i, m]
            padded[i, margin + width - 2 - m] += padded[i, margin + width + m]


@kernel
def forward(x, first, w, bias, dilation, reflect, y, to):
    """y (B, >= to + C, H, W) from x (B, >= first + C, H, W), kernels w (C, K, K) and bias (C,)."""
    height, width = y.shape[2:]
    margin = dilation * (w.shape[1] // 2)
    padded = np.zeros((height + 2 * margin, width + 2 * margin), x.dtype)
    strip = np.empty(height * (width + 2 * margin), x.dtype)
    for b in range(x.shape[0]):
        for c in range(w.shape[0]):
            border(x[b, first + c], margin, padded)
            if reflect:
                _reflect(padded, margin)
            taps(padded, w[c], dilation, bias[c], strip, y[b, to + c])


@kernel
def _turned(w):
    """A kernel (K, K) turned by half a turn."""
    side, to = len(w), np.empty(w.shape, w.dtype)
    for k in range(side):
        for m in range(side):
            to[k, m] = w[side - 1 - k, side - 1 - m]
    return to


@kernel
def backward(g, first, x, at, w, dilation, dx, to, dw, db):
    """Gradients of `forward` with a border of zeros: dx at channels to..., and dw (C, K, K) and db (C,), float64.

    g: (B, >= first + C, H, W). x: (B, >= at + C, H, W). dw and db are added to.
    """
    height, width = g.shape[2:]
    side = w.shape[1]
    margin = dilation * (side // 2)
    step = width + 2 * margin
    padded = np.zeros((height + 2 * margin, step), x.dtype)
    spread = np.zeros((height + 2 * margin, step), x.dtype)
    strip = np.empty(height * step, x.dtype)
    inner = spread.reshape(spread.size)[margin * step + margin :]
    inner = inner[: (height - 1) * step + width]
    for b in range(x.shape[0]):
        for c in range(w.shape[0]):
            border(x[b, at + c], margin, padded)
            border(g[b, first + c], margin, spread)
            tap_sums(padded, inner, dilation, dw[c])
            db[c] += plane_sum(g[b, first + c].reshape(height * width))
            taps(spread, _turned(w[c]), dilation, x.dtype.type(0), strip, dx[b, to + c])


@kernel
def backward_reflected(g, x, w, dx, dw, db):
    """Gradients of `forward` with a border of reflections and dilation 1, all channels; dw and db are added to."""
    height, width = g.shape[2:]
    side = w.shape[1]
    margin = side // 2
    step = width + 2 * margin
    padded = np.zeros((height + 2 * margin, step), x.dtype)
    wide = np.zeros((height + 4 * margin, step + 2 * margin), x.dtype)
    strip = np.empty((height + 2 * margin) * (step + 2 * margin), x.dtype)
    spread = np.zeros((height, step), x.dtype)
    inner = spread.reshape(spread.size)[: (height - 1) * step + width]
    for b in range(x.shape[0]):
        for c in range(w.shape[0]):
            border(x[b, c], margin, padded)
            _reflect(padded, margin)
            for i in range(height):
                copy(g[b, c, i], spread[i, :width])
            tap_sums(padded, inner, 1, dw[c])
            db[c] += plane_sum(g[b, c].reshape(height * width))
            border(g[b, c], 2 * margin, wide)
            taps(wide, _turned(w[c]), 1, x.dtype.type(0), strip, padded)
            _unreflect(padded, margin)
            for i in range(height):
                copy(padded[margin + i, margin : margin + width], dx[b, c, i])
