"""What blocks over small maps are put together from, each piece with its way back; all tensors (H, W, B, C).

Letters: B images, C channels in, O out, H x W pixels, n = H * W, L = B * C lanes.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks.training.kernels import activations, lanes
from benchmarks.training.kernels.arrays import array

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


def activated(x: Tensor, activation: int) -> Tensor:
    """activation(x)."""
    out = torch.empty_like(x)
    activations.activated(array(x).reshape(-1), activation, array(out).reshape(-1))
    return out


def activated_back(gradient: Tensor, x: Tensor, activation: int) -> Tensor:
    """gradient times the slope of the activation at x."""
    out = torch.empty_like(x)
    activations.slope_times(array(gradient).reshape(-1), array(x).reshape(-1), activation, array(out).reshape(-1))
    return out


class Normed(NamedTuple):
    """The result of a group norm and what its way back needs."""

    y: Tensor
    module: Any
    stats: np.ndarray
    """(4, B, C), see `affine_norm`."""
    out: Tensor


def normed(y: Tensor, module: Any) -> Normed:
    """Group norm of y."""
    gamma, out = array(module.weight), torch.empty_like(y)
    stats = np.empty((4, *y.shape[2:]), gamma.dtype)
    lanes.norm(array(y), gamma, array(module.bias), module.eps, module.num_groups, stats, array(out))
    return Normed(y, module, stats, out)


def normed_back(gradient: Tensor, saved: Normed) -> tuple[Tensor, Gradients]:
    """Gradients of y, and of weight and bias."""
    y, module, stats, _ = saved
    gamma, to_y, both = array(module.weight), torch.empty_like(y), y.new_empty(2, y.shape[3])
    lanes.norm_back(array(gradient), array(y), gamma, module.num_groups, stats, array(to_y), *array(both))
    return to_y, both.unbind()


class NormedDepthwise(NamedTuple):
    """The result of depthwise convolutions with a border of zeros and a group norm, and what its way back needs."""

    x: Tensor
    kernels: np.ndarray
    """(C, K, K)."""
    dilations: np.ndarray
    norm: Normed


def normed_depthwise(x: Tensor, convolutions: Sequence[Any], module: Any) -> NormedDepthwise:
    """The convolutions have equal parts of the channels each."""
    kernels = np.concatenate([array(conv.weight)[:, 0] for conv in convolutions])
    bias = np.concatenate([array(conv.bias) for conv in convolutions])
    dilations = np.array([conv.dilation[0] for conv in convolutions])
    y, out, stats = torch.empty_like(x), torch.empty_like(x), np.empty((4, *x.shape[2:]), bias.dtype)
    options = array(module.weight), array(module.bias), module.eps, module.num_groups
    lanes.normed_depthwise(array(x), kernels, dilations, bias, *options, array(y), stats, array(out))
    return NormedDepthwise(x, kernels, dilations, Normed(y, module, stats, out))


def normed_depthwise_back(gradient: Tensor, saved: NormedDepthwise) -> tuple[Tensor, Gradients]:
    """Gradients of x, and of weight and bias of all convolutions and of the norm. Overwrites its argument."""
    x, kernels, dilations, (y, module, stats, _) = saved
    to_x, channels, taps = torch.empty_like(x), x.shape[3], kernels[0].size
    flat = x.new_empty((taps + 3) * channels)
    to_kernels, *to_rest = flat.split([taps * channels, channels, channels, channels])
    to_kernels = to_kernels.view(channels, 1, *kernels.shape[1:])
    of_all = array(to_kernels)[:, 0], *(array(each) for each in to_rest)
    gamma, groups = array(module.weight), module.num_groups
    lanes.normed_depthwise_back(
        array(gradient), array(x), kernels, dilations, gamma, groups, array(y), stats, array(to_x), *of_all
    )
    to_bias, *of_norm = to_rest
    count = len(dilations)
    pairs = zip(to_kernels.chunk(count), to_bias.chunk(count), strict=True)
    return to_x, (*(each for pair in pairs for each in pair), *of_norm)
