"""A norm and a 2x2 convolution at stride 2 as one function: LB-UNet's way down.

The four taps of a window become four channels, and the convolution a product of matrices, tile by tile, so that the
normalised and regrouped map is never in memory; the way back makes it again. torch's `pixel_unshuffle` alone takes a
third as long as the network's whole evaluation.

Letters: B images, C channels in, O out, H x W pixels, h x w = H / 2 x W / 2, n = h * w.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from benchmarks.training.kernels.affine_norm import SCALE, SHIFT, input_gradient
from benchmarks.training.kernels.arrays import array, new, planes
from benchmarks.training.kernels.jit import kernel
from benchmarks.training.kernels.products import outer, plane_sum, product, transposed
from benchmarks.training.kernels.resampling import norm_sums
from benchmarks.training.kernels.stages import Norm

TILE = 256  # pixels of h x w at a time


@kernel
def _apart(row, scale, shift, even, odd):
    """A row, scaled and shifted, to its even and its odd places."""
    for j in range(even.size):
        even[j] = row[2 * j] * scale + shift
        odd[j] = row[2 * j + 1] * scale + shift


@kernel
def _together(even, odd, row):
    """The transpose of `_apart`, without its scale."""
    for j in range(even.size):
        row[2 * j] = even[j]
        row[2 * j + 1] = odd[j]


@kernel
def _windows(x, stats, b, first, count, to):
    """Rows `first` to first + count of h of image b, normalised, to to (4 C, count * w), its windows by taps."""
    side = x.shape[3] // 2
    for c in range(x.shape[1]):
        for i in range(count):
            at = slice(i * side, (i + 1) * side)
            for r in range(2):
                line, taps = x[b, c, 2 * (first + i) + r], 4 * c + 2 * r
                _apart(line, stats[SCALE, b, c], stats[SHIFT, b, c], to[taps, at], to[taps + 1, at])


@kernel
def _forward(x, stats, w, bias, out):
    """out (B, O, n) from x (B, C, H, W), the norm's `stats`, w (O, 4 C) and bias (O,)."""
    height, side = x.shape[2] // 2, x.shape[3] // 2
    rows = max(1, TILE // side)
    windows = np.empty((4 * x.shape[1], rows * side), x.dtype)
    for b in range(len(x)):
        for o in range(len(w)):
            out[b, o] = bias[o]
        for first in range(0, height, rows):
            count = min(rows, height - first)
            _windows(x, stats, b, first, count, windows)
            product(w, windows, 0, out[b], first * side, count * side, True)


@kernel
def _backward(g, x, stats, w, d, dw, dbias):
    """g (B, O, n) to d (B, C, H, W), the gradient of what the norm made, and to dw (O, 4 C) and dbias (O,)."""
    height, side = x.shape[2] // 2, x.shape[3] // 2
    rows = max(1, TILE // side)
    windows = np.empty((4 * x.shape[1], rows * side), x.dtype)
    back, across, total, plain = np.empty_like(windows), transposed(w), np.zeros(w.shape), np.zeros(len(w))
    for b in range(len(x)):
        for o in range(len(w)):
            plain[o] += plane_sum(g[b, o])
        for first in range(0, height, rows):
            count = min(rows, height - first)
            _windows(x, stats, b, first, count, windows)
            outer(g[b], first * side, windows, 0, count * side, total)
            product(across, g[b], first * side, back, 0, count * side, False)
            for q in range(len(back) // 2):
                for i in range(count):
                    at = slice(i * side, (i + 1) * side)
                    _together(back[2 * q, at], back[2 * q + 1, at], d[b, q // 2, 2 * (first + i) + q % 2])
    dw[:], dbias[:] = total, plain


class _Downsample(torch.autograd.Function):
    """The parameters are those of the norm and of the convolution, which modules hold."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, modules: tuple, *parameters: Tensor) -> Tensor:
        (norm_module, conv), x = modules, x.contiguous()
        norm, out = Norm(norm_module, x), x.new_empty(len(x), conv.out_channels, x.shape[2] // 2, x.shape[3] // 2)
        _forward(array(x), norm.stats, _matrix(conv.weight), array(conv.bias), planes(out))
        ctx.save_for_backward(x)
        ctx.rest = norm, conv.weight
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (x,), (norm, weight) = ctx.saved_tensors, ctx.rest
        to_x, to_weight, to_bias, sums = new(x), new(weight), weight.new_empty(len(weight)), np.empty((2, *x.shape[:2]))
        values = planes(gradient), array(x), norm.stats, _matrix(weight)
        _backward(*values, array(to_x), _matrix(to_weight), array(to_bias))
        norm_sums(planes(to_x), planes(x), norm.stats, sums)
        lines, to_gamma, to_beta = norm.gradient(sums)
        input_gradient(planes(to_x), planes(x), norm.stats, lines, planes(to_x))
        return to_x, None, to_gamma, to_beta, to_weight, to_bias


def _matrix(weight: Tensor) -> np.ndarray:
    """(O, C, 2, 2) as (O, 4 C)."""
    return array(weight).reshape(len(weight), -1)


def downsample(x: Tensor, norm: nn.BatchNorm2d, conv: nn.Conv2d) -> Tensor:
    """conv(norm(x)) of x (B, C, H, W) with even sides to (B, O, h, w). conv: 2x2 at stride 2, with bias."""
    assert conv.bias is not None
    return _Downsample.apply(x, (norm, conv), norm.weight, norm.bias, conv.weight, conv.bias)
