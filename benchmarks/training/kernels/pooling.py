"""Average pooling by two.

Letters: B images, C channels, h x w pixels after pooling.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from benchmarks.training.kernels.arrays import array
from benchmarks.training.kernels.jit import kernel, row


@kernel
def _forward(x, width, out):
    """x (planes, H W) to out (planes, h w); an odd last row or column of x is left out."""
    w = width // 2
    for q in range(len(x)):
        for i in range(out.shape[1] // w):
            a = x[q, 2 * i * width : (2 * i + 1) * width]
            b = x[q, (2 * i + 1) * width : (2 * i + 2) * width]
            _halve_row(a, b, out[q, i * w : (i + 1) * w])


@row
def _halve_row(a, b, to):
    quarter = a.dtype.type(0.25)
    for j in range(to.size):
        to[j] = (a[2 * j] + a[2 * j + 1] + b[2 * j] + b[2 * j + 1]) * quarter


@kernel
def _backward(g, width, dx):
    """g (planes, h w) to dx (planes, H W)."""
    w = width // 2
    for q in range(len(g)):
        for i in range(g.shape[1] // w):
            a = dx[q, 2 * i * width : (2 * i + 1) * width]
            b = dx[q, (2 * i + 1) * width : (2 * i + 2) * width]
            _double_row(g[q, i * w : (i + 1) * w], a, b)


@row
def _double_row(g, a, b):
    quarter = g.dtype.type(0.25)
    for j in range(g.size):
        v = g[j] * quarter
        a[2 * j] = a[2 * j + 1] = b[2 * j] = b[2 * j + 1] = v


def halve(x: Tensor) -> Tensor:
    """F.avg_pool2d(x, 2) of x (B, C, H, W)."""
    return _Halve.apply(x) if torch.is_grad_enabled() else _values(x)


def _rows(x: Tensor) -> np.ndarray:
    return array(x).reshape(x.shape[0] * x.shape[1], -1)


def _values(x: Tensor) -> Tensor:
    batch, channels, height, width = x.shape
    out = x.new_empty(batch, channels, height // 2, width // 2)
    _forward(_rows(x), width, _rows(out))
    return out


class _Halve(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.shape = x.shape
        return _values(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> Tensor:
        odd = ctx.shape[2] % 2 or ctx.shape[3] % 2
        dx = g.new_zeros(ctx.shape) if odd else g.new_empty(ctx.shape)
        _backward(_rows(g), ctx.shape[3], _rows(dx))
        return dx
