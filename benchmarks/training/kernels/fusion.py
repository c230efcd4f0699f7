"""LB-UNet's decoder stage after its predictions: they amplify the features and weigh the skip, in one pass.

Letters: B images, C channels, H x W pixels, n = H * W.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from benchmarks.training.kernels.arrays import new, planes
from benchmarks.training.kernels.jit import kernel


@kernel
def _row(x, skip, region, boundary, region_weight, boundary_weight, out):
    one = x.dtype.type(1)
    for p in range(out.size):
        gain = one + region_weight * region[p] + boundary_weight * boundary[p]
        out[p] = x[p] * (one + region[p] + boundary[p]) + gain * skip[p]


@kernel
def _forward(x, skip, region, boundary, region_weight, boundary_weight, out):
    """x, skip, out: (B, C, n). region, boundary: (B, n)."""
    kind = x.dtype.type
    for b in range(len(x)):
        for c in range(x.shape[1]):
            weights = kind(region_weight), kind(boundary_weight)
            _row(x[b, c], skip[b, c], region[b], boundary[b], weights[0], weights[1], out[b, c])


@kernel
def _row_to_features(g, region, boundary, region_weight, boundary_weight, dx, dskip):
    one = g.dtype.type(1)
    for p in range(g.size):
        dx[p] = g[p] * (one + region[p] + boundary[p])
        dskip[p] = g[p] * (one + region_weight * region[p] + boundary_weight * boundary[p])


@kernel
def _row_to_map(g, x, skip, weight, to):
    for p in range(g.size):
        to[p] += g[p] * (x[p] + weight * skip[p])


@kernel
def _backward(g, x, skip, region, boundary, region_weight, boundary_weight, dx, dskip, dregion, dboundary):
    kind = x.dtype.type
    weights = kind(region_weight), kind(boundary_weight)
    for b in range(len(x)):
        for c in range(x.shape[1]):
            _row_to_features(g[b, c], region[b], boundary[b], weights[0], weights[1], dx[b, c], dskip[b, c])
            _row_to_map(g[b, c], x[b, c], skip[b, c], weights[0], dregion[b])
            _row_to_map(g[b, c], x[b, c], skip[b, c], weights[1], dboundary[b])


class _Fuse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, skip: Tensor, region: Tensor, boundary: Tensor, *weights: float) -> Tensor:
        out = new(x)
        _forward(planes(x), planes(skip), planes(region)[:, 0], planes(boundary)[:, 0], *weights, planes(out))
        ctx.save_for_backward(x, skip, region, boundary)
        ctx.weights = weights
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, skip, region, boundary = ctx.saved_tensors
        to = new(x), new(skip), torch.zeros_like(region), torch.zeros_like(boundary)
        values = planes(x), planes(skip), planes(region)[:, 0], planes(boundary)[:, 0]
        into = planes(to[0]), planes(to[1]), planes(to[2])[:, 0], planes(to[3])[:, 0]
        _backward(planes(gradient), *values, *ctx.weights, *into)
        return *to, None, None


def fuse(
    x: Tensor, skip: Tensor, region: Tensor, boundary: Tensor | None, region_weight: float, boundary_weight: float
) -> Tensor:
    """x (1 + region + boundary) + (1 + region_weight region + boundary_weight boundary) skip.

    x, skip: (B, C, H, W). region, boundary: probabilities (B, 1, H, W); no boundary is a boundary of 0.
    """
    there = torch.zeros_like(region) if boundary is None else boundary
    return _Fuse.apply(x, skip, region, there, region_weight, boundary_weight)
