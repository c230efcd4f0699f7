"""A 1x1 convolution with bias, as networks end.

Letters: B images, C channels in, O out, n pixels.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from benchmarks.training.kernels.arrays import planes
from benchmarks.training.kernels.held import Held
from benchmarks.training.kernels.jit import kernel
from benchmarks.training.kernels.products import TILE, outer, plane_sum, product, transposed


@kernel
def _forward(x, w, bias, out):
    for b in range(len(x)):
        for o in range(len(w)):
            out[b, o] = bias[o]
        for start in range(0, x.shape[2], TILE):
            product(w, x[b], start, out[b], start, min(TILE, x.shape[2] - start), True)


@kernel
def _backward(g, x, w, dx, dw, dbias):
    across, total, sums = transposed(w), np.zeros(w.shape), np.zeros(len(w))
    for b in range(len(x)):
        for start in range(0, x.shape[2], TILE):
            n = min(TILE, x.shape[2] - start)
            outer(g[b], start, x[b], start, n, total)
            product(across, g[b], start, dx[b], start, n, False)
        for o in range(len(w)):
            sums[o] += plane_sum(g[b, o])
    dw[:] = total
    dbias[:] = sums


def head(x: Tensor, held: Held) -> Tensor:
    """1x1 convolution of x (B, C, H, W) to (B, O, H, W). held: w (O, C, 1, 1) and bias (O,)."""
    return _Head.apply(x, held, *held.tensors) if torch.is_grad_enabled() else _values(planes(x), x, held)


def _values(a: np.ndarray, x: Tensor, held: Held) -> Tensor:
    out = x.new_empty(len(x), len(held.arrays[0]), *x.shape[2:])
    _forward(a, *held.arrays, planes(out))
    return out


class _Head(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, held: Held, w: Tensor, bias: Tensor) -> Tensor:
        ctx.x, ctx.held, ctx.w, ctx.shape = planes(x), held, held.arrays[0], x.shape
        return _values(ctx.x, x, held)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple:
        dx, (gradients, to) = g.new_empty(ctx.shape), ctx.held.gradients()
        _backward(planes(g), ctx.x, ctx.w, planes(dx), *to)
        return dx, None, *gradients
