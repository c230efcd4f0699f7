"""What blocks of several layers are put together from: each piece with its way back, called from their functions.

A block is one autograd function: autograd and Python cost 20 to 40 microseconds per operation, and a block of EGE-UNet
has sixty. 1x1 convolutions are torch's own batched products, which no kernel here beats.

Letters: B images, C channels in, O out, H x W pixels, n = H * W, K taps a side.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.training.kernels import activations, channel_norm, depthwise_conv
from benchmarks.training.kernels.activations import GELU
from benchmarks.training.kernels.arrays import array

Pair = tuple[Tensor, Tensor | None]


def point(x: Tensor, conv: Any) -> Tensor:
    """A 1x1 convolution of (B, C, n) to (B, O, n)."""
    weight = conv.weight.detach().flatten(1).expand(len(x), -1, -1)
    if conv.bias is None:
        return torch.bmm(weight, x)
    return torch.baddbmm(conv.bias.detach()[:, None], weight, x)


def point_back(gradient: Tensor, x: Tensor, conv: Any) -> tuple[Tensor, Tensor, Tensor]:
    """From the gradient (B, O, n) to those of x, (B, C, n), the weight and the bias."""
    weight = conv.weight.detach()
    to_x = torch.bmm(weight.flatten(1).t().expand(len(x), -1, -1), gradient)
    to_weight = torch.bmm(gradient, x.transpose(1, 2)).sum(dim=0)
    return to_x, to_weight.view_as(weight), gradient.sum(dim=(0, 2))


def gelu(x: Tensor) -> Tensor:
    """GELU of contiguous values."""
    out = torch.empty_like(x)
    activations.activated(array(x).reshape(-1), GELU, array(out).reshape(-1))
    return out


def gelu_back(gradient: Tensor, x: Tensor) -> Tensor:
    """gradient times the slope of GELU at x, both contiguous."""
    out = torch.empty_like(x)
    activations.slope_times(array(gradient).reshape(-1), array(x).reshape(-1), GELU, array(out).reshape(-1))
    return out


def _kernels(conv: nn.Conv2d) -> np.ndarray:
    """(C, K, K)."""
    return array(conv.weight)[:, 0]


def depthwise(x: Tensor, conv: nn.Conv2d, out: Tensor, *, first: int = 0, to: int = 0) -> None:
    """Channels of x (B, ..., H, W) from `first` on, through a depthwise convolution, into those of out from `to`."""
    dilation, reflect = conv.dilation[0], conv.padding_mode == "reflect"
    bias = conv.bias
    assert bias is not None
    depthwise_conv.forward(array(x), first, _kernels(conv), array(bias), dilation, reflect, array(out), to)


def depthwise_back(
    gradient: Tensor, x: Tensor, conv: nn.Conv2d, to_x: Tensor, *, first: int = 0, to: int = 0
) -> tuple[Tensor, Tensor]:
    """Gradients of weight and bias, and that of x into to_x, for channels as in `depthwise`."""
    kernels = _kernels(conv)
    to_kernels, to_bias = np.zeros(kernels.shape), np.zeros(len(kernels))
    if conv.padding_mode == "reflect":
        depthwise_conv.backward_reflected(array(gradient), array(x), kernels, array(to_x), to_kernels, to_bias)
        return _like(to_kernels, conv.weight), _like(to_bias, conv.weight)
    arrays = array(gradient), to, array(x), first, kernels
    depthwise_conv.backward(*arrays, conv.dilation[0], array(to_x), first, to_kernels, to_bias)
    return _like(to_kernels, conv.weight), _like(to_bias, conv.weight)


def _like(values: np.ndarray, tensor: Tensor) -> Tensor:
    """Float64 values in the dtype of a tensor, with its shape where they have as many."""
    result = torch.from_numpy(values).to(tensor.dtype)
    return result.view_as(tensor) if values.size == tensor.numel() else result


class Normed(NamedTuple):
    """The result of a layer norm over channels and what its way back needs."""

    x: Tensor
    gamma: np.ndarray
    mean: np.ndarray
    inverse: np.ndarray
    out: Tensor


def channel_normed(x: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor], eps: float) -> Normed:
    """Layer norm of x (B, C, H, W) over its channels, in as many groups as there are weights."""
    gamma, beta = (np.concatenate([array(each) for each in several]) for several in (weights, biases))
    flat = array(x).reshape(*x.shape[:2], -1)
    mean, inverse = (np.empty((len(x), len(weights), flat.shape[2]), gamma.dtype) for _ in range(2))
    out = torch.empty_like(x)
    channel_norm.forward(flat, gamma, beta, eps, mean, inverse, array(out).reshape(flat.shape))
    return Normed(x, gamma, mean, inverse, out)


def channel_normed_back(gradient: Tensor, normed: Normed) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x (B, C, H, W) and of all weights and biases, (C,) each."""
    x, gamma, mean, inverse, _ = normed
    to_x, to_gamma, to_beta = torch.empty_like(x), np.zeros(gamma.size), np.zeros(gamma.size)
    flat = (*x.shape[:2], -1)
    arrays = array(gradient).reshape(flat), array(x).reshape(flat), gamma, mean, inverse, array(to_x).reshape(flat)
    channel_norm.backward(*arrays, to_gamma, to_beta)
    return to_x, _like(to_gamma, x), _like(to_beta, x)


class Mixed(NamedTuple):
    """The result of `mixed` and what its way back needs."""

    x: Tensor
    before: Tensor
    after: Tensor
    out: Tensor


def mixed(x: Tensor, layers: Any) -> Mixed:
    """x (B, C, H, W) through a depthwise convolution, GELU and a 1x1 convolution, to (B, O, H, W)."""
    before = torch.empty_like(x)
    depthwise(x, layers[0], before)
    after = gelu(before)
    return Mixed(x, before, after, point(after.flatten(2), layers[2]).view(len(x), -1, *x.shape[2:]))


def mixed_back(gradient: Tensor, saved: Mixed, layers: Any) -> tuple[Tensor, ...]:
    """Gradients of x, and of weight and bias of both convolutions."""
    to_after, *to_point = point_back(gradient.flatten(2), saved.after.flatten(2), layers[2])
    to_before = gelu_back(to_after, saved.before.flatten(2)).view_as(saved.before)
    to_x = torch.empty_like(saved.x)
    to_taps = depthwise_back(to_before, saved.x, layers[0], to_x)
    return to_x, *to_taps, *to_point
