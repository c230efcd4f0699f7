"""Single layers run by kernels, to stand in for torch's by type.

Letters: B images, C channels in, O out, H x W pixels.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from benchmarks.training.kernels import dense, separable
from benchmarks.training.kernels.arrays import array, new


class _Conv(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        x, kernels = x.contiguous(), _nine(weight)
        y = x.new_empty(len(x), len(weight), *x.shape[2:])
        biases = np.zeros(len(weight), kernels.dtype) if bias is None else array(bias)
        dense.convolve(array(x), kernels, biases, array(y))
        ctx.save_for_backward(x, weight)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        g, kernels, to_weight, to_bias = array(gradient), _nine(weight), new(weight), weight.new_empty(len(weight))
        dense.kernel_gradients(g, array(x), _nine(to_weight), array(to_bias))
        to_x = None
        if ctx.needs_input_grad[0]:
            to_x, none = new(x), np.zeros(x.shape[1], kernels.dtype)
            dense.convolve(g, dense.turned(kernels), none, array(to_x))
        return to_x, to_weight, to_bias if ctx.needs_input_grad[2] else None


def _nine(weight: Tensor) -> np.ndarray:
    """(O, C, 3, 3) as (O, C, 9)."""
    return array(weight).reshape(*weight.shape[:2], 9)


class KernelConv(nn.Conv2d):
    """A 3x3 convolution that keeps H x W, (B, C, H, W) to (B, O, H, W), where it is faster than torch's."""

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[2] * x.shape[3] < SMALL:
            return super().forward(x)
        return _Conv.apply(x, self.weight, self.bias)


SMALL = 16 * 16
"""Pixels; below it a plane's border, or a call, costs more than its taps."""


class KernelPointConv(nn.Conv2d):
    """A 1x1 convolution, (B, C, H, W) to (B, O, H, W), where it is faster than torch's."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if x.shape[2] * x.shape[3] < SMALL else point(x, self)


def dense_of(conv: nn.Module) -> type[nn.Conv2d] | None:
    """`KernelConv` or `KernelPointConv`, where it may take a module's place.

    It does where channels leave oneDNN's blocks of 16 open, or fill one only. A last 1x1 convolution from 8 channels
    to 1 takes oneDNN twenty times as long as a product of matrices when it evaluates.
    """
    if type(conv) is not nn.Conv2d or (conv.groups, conv.padding_mode, conv.stride) != (1, "zeros", (1, 1)):
        return None
    if conv.in_channels % 16 == conv.out_channels % 16 == 0 and min(conv.in_channels, conv.out_channels) > 16:
        return None
    kinds: dict[tuple, type[nn.Conv2d]] = {
        ((3, 3), (1, 1), (1, 1)): KernelConv,
        ((1, 1), (0, 0), (1, 1)): KernelPointConv,
    }
    return kinds.get((conv.kernel_size, conv.padding, conv.dilation))


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, conv: nn.Conv2d) -> Tensor:
        x, out = x.contiguous(), new(x)
        separable.depthwise(x, conv, out)
        ctx.save_for_backward(x)
        ctx.conv = conv
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (x,) = ctx.saved_tensors
        to_x = new(x)
        return to_x, *separable.depthwise_back(gradient.contiguous(), x, ctx.conv, to_x), None


class KernelDepthwise(nn.Conv2d):
    """A depthwise convolution that keeps H x W, (B, C, H, W) to (B, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        assert self.bias is not None
        return _Depthwise.apply(x, self.weight, self.bias, self)


def depthwise_of(conv: nn.Module) -> bool:
    """Whether `KernelDepthwise` may take a module's place: odd kernels up to 7 with bias, padded to keep H x W."""
    if type(conv) is not nn.Conv2d or conv.bias is None or not conv.groups == conv.in_channels == conv.out_channels:
        return False
    side, dilation = conv.kernel_size[0], conv.dilation[0]
    reflected = conv.padding_mode == "reflect" and dilation == 1
    return (
        (conv.kernel_size, conv.dilation, conv.stride) == ((side, side), (dilation, dilation), (1, 1))
        and side in (3, 5, 7)
        and conv.padding == (dilation * (side // 2),) * 2
        and (conv.padding_mode == "zeros" or reflected)
    )


class _Gelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        x = x.contiguous()
        ctx.save_for_backward(x)
        return separable.gelu(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return separable.gelu_back(gradient.contiguous(), *ctx.saved_tensors)


def gelu(x: Tensor) -> Tensor:
    """The exact GELU, of any shape."""
    return _Gelu.apply(x)


class _Point(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, conv: Any) -> Tensor:
        ctx.save_for_backward(x)
        ctx.conv = conv
        return separable.point(x, conv)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (x,) = ctx.saved_tensors
        to_x, to_weight, to_bias = separable.point_back(gradient, x, ctx.conv)
        return to_x, to_weight, to_bias if ctx.needs_input_grad[2] else None, None


def point(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """A 1x1 convolution of x (B, C, H, W)."""
    out = _Point.apply(x.contiguous().flatten(2), conv.weight, conv.bias, conv)
    return out.view(len(x), -1, *x.shape[2:])
