"""Single layers run by kernels, to stand in for torch's by type.

Letters: B images, C channels in, O out, H x W pixels.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.grad import conv2d_input

from benchmarks.training.kernels import dense, separable
from benchmarks.training.kernels.arrays import array, new


class _FirstConv(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        images = images.contiguous()
        outs, channels = weight.shape[:2]
        filled = outs + outs % 2
        kernels, biases = np.zeros((filled, channels, 9), array(weight).dtype), np.zeros(filled, array(weight).dtype)
        kernels[:outs], biases[:outs] = array(weight).reshape(outs, channels, 9), array(bias)
        y = images.new_empty(len(images), outs, *images.shape[2:])
        dense.convolve(array(images), kernels, biases, array(y))
        ctx.save_for_backward(images, weight)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        images, weight = ctx.saved_tensors
        outs, channels = weight.shape[:2]
        to_kernels, to_bias = np.zeros((outs + outs % 2, channels, 9)), np.zeros(outs + outs % 2)
        g = gradient.contiguous()
        dense.kernel_gradients(array(g), array(images), to_kernels, to_bias)
        to_weight = torch.from_numpy(to_kernels[:outs]).to(weight.dtype).view_as(weight)
        to_images = None
        if ctx.needs_input_grad[0]:
            to_images = conv2d_input(images.shape, weight, g, padding=1)
        return to_images, to_weight, torch.from_numpy(to_bias[:outs]).to(weight.dtype)


def first_conv(images: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """conv2d(images, weight, bias, padding=1) for 3x3 kernels: (B, C, H, W) to (B, O, H, W)."""
    return _FirstConv.apply(images, weight, bias)


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
        return *separable.point_back(gradient, x, ctx.conv), None


def point(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """A convolution whose taps lie within the channels of x (B, C, H, W): 1x1, or of side s after `pixel_unshuffle`."""
    out = _Point.apply(x.contiguous().flatten(2), conv.weight, conv.bias, conv)
    return out.view(len(x), -1, *x.shape[2:])
