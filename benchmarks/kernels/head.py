"""A 1x1 convolution with bias, as networks end.

Letters: B images, C channels in, O out, n pixels.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from benchmarks.kernels.arrays import array, matrix, new, planes
from benchmarks.kernels.jit import kernel
from benchmarks.kernels.products import TILE, outer, plane_sum, product, transposed


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


def head(x: Tensor, w: Tensor, bias: Tensor) -> Tensor:
    """x (B, C, H, W) to (B, O, H, W) with w (O, C, 1, 1) and bias (O,)."""
    return _Head.apply(x, w, bias) if torch.is_grad_enabled() else _values(x, w, bias)


def _values(x: Tensor, w: Tensor, bias: Tensor) -> Tensor:
    out = x.new_empty(len(x), len(w), *x.shape[2:])
    _forward(planes(x), matrix(w), array(bias), planes(out))
    return out


class _Head(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, w)
        return _values(x, w, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, ...]:
        x, w = ctx.saved_tensors
        dx, dw, dbias = new(x), new(w), w.new_empty(len(w))
        _backward(planes(g), planes(x), matrix(w), planes(dx), matrix(dw), array(dbias))
        return dx, dw, dbias
