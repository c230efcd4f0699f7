"""A norm, 2x2 maximum pooling and an activation: the end of most encoder stages, in one pass forward and two back.

Letters: B images, C channels, H x W pixels; pooled maps are h x w = H // 2 x W // 2.
"""

from benchmarks.training.kernels.activations import activate, through
from benchmarks.training.kernels.affine_norm import INVERSE, MEAN, SCALE, SHIFT, plane_sums
from benchmarks.training.kernels.jit import kernel


@kernel
def _largest(top, bottom, scale, shift, out, found, place):
    """Of each 2x2 in two rows (W,): the largest after the norm, what it was before it, and its place 0 to 3; (w,).

    Of equal ones the first counts, and NaN is larger than all, as in torch.
    """
    for j in range(out.size):
        y = top[2 * j]
        v, k = y * scale + shift, 0
        other = top[2 * j + 1]
        w = other * scale + shift
        take = (w > v) | (w != w)
        y, v, k = (other if take else y), (w if take else v), (1 if take else k)
        other = bottom[2 * j]
        w = other * scale + shift
        take = (w > v) | (w != w)
        y, v, k = (other if take else y), (w if take else v), (2 if take else k)
        other = bottom[2 * j + 1]
        w = other * scale + shift
        take = (w > v) | (w != w)
        out[j], found[j], place[j] = (w if take else v), (other if take else y), (3 if take else k)


@kernel
def pool_forward(y, stats, activation, out, found, place):
    """y (B, C, H, W) with the `stats` of its norm to out, found and place (B, C, h, w); place is int32."""
    batch, channels, height = out.shape[:3]
    for b in range(batch):
        for c in range(channels):
            scale, shift = stats[SCALE, b, c], stats[SHIFT, b, c]
            for i in range(height):
                rows = y[b, c, 2 * i], y[b, c, 2 * i + 1]
                _largest(rows[0], rows[1], scale, shift, out[b, c, i], found[b, c, i], place[b, c, i])
                activate(out[b, c, i], activation)


@kernel
def _normed(row, scale, shift, to):
    for p in range(row.size):
        to[p] = row[p] * scale + shift


@kernel
def pool_gradient(g, found, stats, activation, d, sums):
    """From the gradient g (B, C, n) on the output to that on the pooled norm, d, and its sums (2, B, C); n is h w."""
    batch, channels = g.shape[:2]
    for b in range(batch):
        for c in range(channels):
            _normed(found[b, c], stats[SCALE, b, c], stats[SHIFT, b, c], d[b, c])
            through(g[b, c], d[b, c], activation)
            of_d, of_both = plane_sums(d[b, c], found[b, c], stats[MEAN, b, c], stats[INVERSE, b, c])
            sums[0, b, c], sums[1, b, c] = of_d, of_both


@kernel
def _spread(d, place, first, y, scale, mean, offset, slope, to):
    """`affine_norm.input_gradient` of a row (W,) whose gradient d (w,) reached only those that were the largest."""
    zero = d.dtype.type(0)
    for j in range(d.size):
        at, v = place[j], scale * d[j]
        to[2 * j] = (v if at == first else zero) - offset - slope * (y[2 * j] - mean)
        to[2 * j + 1] = (v if at == first + 1 else zero) - offset - slope * (y[2 * j + 1] - mean)


@kernel
def _unreached(y, mean, offset, slope, to):
    for p in range(y.size):
        to[p] = -offset - slope * (y[p] - mean)


@kernel
def unpool(d, place, y, stats, lines, dy):
    """dy (B, C, H, W) from the gradient d (B, C, h, w) on the pooled norm and the norm's `lines`."""
    batch, channels, height, width = y.shape
    for b in range(batch):
        for c in range(channels):
            scale, mean, offset, slope = stats[SCALE, b, c], stats[MEAN, b, c], lines[0, b, c], lines[1, b, c]
            for i in range(height // 2 * 2):
                at = i // 2
                first = 2 * (i % 2)
                _spread(d[b, c, at], place[b, c, at], first, y[b, c, i], scale, mean, offset, slope, dy[b, c, i])
                even = width // 2 * 2
                if even < width:
                    _unreached(y[b, c, i, even:], mean, offset, slope, dy[b, c, i, even:])
            if height % 2:
                _unreached(y[b, c, height - 1], mean, offset, slope, dy[b, c, height - 1])
