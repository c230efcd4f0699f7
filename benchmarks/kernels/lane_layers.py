"""What blocks over small maps are put together from, each piece with its way back; all tensors (H, W, B, C).

Letters: B images, C channels in, O out, H x W pixels, n = H * W, L = B * C lanes.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.kernels import activations, affine_norm, lanes
from benchmarks.kernels.arrays import array, tensors

Gradients = tuple[Tensor, ...]


def as_lanes(x: Tensor) -> Tensor:
    """(B, C, H, W) as (H, W, B, C), contiguous: x's own memory where it comes from `as_planes`."""
    return x.permute(2, 3, 0, 1).contiguous()


def as_planes(x: Tensor) -> Tensor:
    """(H, W, B, C) seen as (B, C, H, W)."""
    return x.permute(2, 3, 0, 1)


def rows(x: Tensor) -> np.ndarray:
    """(H, W, B, C) as (n, L)."""
    return array(x).reshape(x.shape[0] * x.shape[1], -1)


def maps(x: Tensor) -> np.ndarray:
    """(H, W, B, C) as (H, W, L)."""
    return array(x).reshape(*x.shape[:2], -1)


def point(x: Tensor, conv: Any) -> Tensor:
    """A 1x1 convolution to (H, W, B, O)."""
    weight, flat = conv.weight.detach().flatten(1).t(), x.flatten(0, 2)
    out = torch.mm(flat, weight) if conv.bias is None else torch.addmm(conv.bias.detach(), flat, weight)
    return out.view(*x.shape[:3], -1)


def point_back(gradient: Tensor, x: Tensor, conv: Any) -> tuple[Tensor, Gradients]:
    """From the gradient (H, W, B, O) to that of x, and those of the weight and of the bias, if there is one."""
    weight, g, flat = conv.weight.detach(), gradient.flatten(0, 2), x.flatten(0, 2)
    to_weight = torch.mm(g.t(), flat).view_as(weight)
    to_bias = () if conv.bias is None else (g.sum(dim=0),)
    return torch.mm(g, weight.flatten(1)).view_as(x), (to_weight, *to_bias)


def depthwise(x: Tensor, conv: Any) -> Tensor:
    """A depthwise convolution with a border of zeros."""
    out = torch.empty_like(x)
    lanes.depthwise(maps(x), array(conv.weight)[:, 0], conv.dilation[0], array(conv.bias), maps(out))
    return out


def depthwise_back(gradient: Tensor, x: Tensor, conv: Any) -> tuple[Tensor, Gradients]:
    """Gradients of x, and of weight and bias."""
    kernels, to_x = array(conv.weight)[:, 0], torch.empty_like(x)
    to_kernels, to_bias = np.zeros(kernels.shape), np.zeros(len(kernels))
    lanes.depthwise_back(maps(gradient), maps(x), kernels, conv.dilation[0], maps(to_x), to_kernels, to_bias)
    return to_x, tuple(tensors((to_kernels[:, None], to_bias), gradient))


def activated(x: Tensor, activation: int) -> Tensor:
    """activation(x)."""
    out = torch.empty_like(x)
    activations.activated(array(x).reshape(-1), activation, array(out).reshape(-1))
    return out


def activated_back(gradient: Tensor, x: Tensor, activation: int) -> Tensor:
    """gradient times the slope of the activation at x."""
    out = torch.empty_like(x)
    activations.slope_times(
        array(gradient).reshape(-1), array(x).reshape(-1), activation, array(out).reshape(-1)
    )
    return out


class Normed(NamedTuple):
    """The result of a group norm and what its way back needs."""

    y: Tensor
    module: nn.GroupNorm
    stats: np.ndarray
    """(4, B, C), see `affine_norm`."""
    out: Tensor


def normed(y: Tensor, module: nn.GroupNorm) -> Normed:
    """Group norm of y."""
    values, gamma, out = rows(y), array(module.weight), torch.empty_like(y)
    stats, both = np.empty((4, *y.shape[2:]), gamma.dtype), np.empty((2, *y.shape[2:]))
    lanes.moments(values, both[0].reshape(-1), both[1].reshape(-1))
    none = gamma[:0], gamma[:0], 0.0, True
    affine_norm.of_moments(
        both[0], both[1], len(values), gamma, array(module.bias), module.eps, module.num_groups, *none, stats
    )
    flat = stats.reshape(4, -1)
    lanes.scaled(values, flat[affine_norm.SCALE], flat[affine_norm.SHIFT], rows(out))
    return Normed(y, module, stats, out)


def normed_back(gradient: Tensor, saved: Normed) -> tuple[Tensor, Gradients]:
    """Gradients of y, and of weight and bias."""
    y, module, stats, _ = saved
    flat, gamma, to_y = stats.reshape(4, -1), array(module.weight), torch.empty_like(y)
    scale, mean, inverse = flat[affine_norm.SCALE], flat[affine_norm.MEAN], flat[affine_norm.INVERSE]
    sums, lines = np.zeros((2, *y.shape[2:])), np.empty((2, *y.shape[2:]), gamma.dtype)
    lanes.norm_sums(rows(gradient), rows(y), mean, inverse, sums.reshape(2, -1))
    to_gamma, to_beta = np.empty_like(gamma), np.empty_like(gamma)
    n, groups = y.shape[0] * y.shape[1], module.num_groups
    affine_norm.coefficients(sums, stats, gamma, n, groups, True, lines, to_gamma, to_beta)
    offset, slope = lines.reshape(2, -1)
    lanes.norm_back(rows(gradient), rows(y), scale, mean, offset, slope, rows(to_y))
    return to_y, (torch.from_numpy(to_gamma), torch.from_numpy(to_beta))
