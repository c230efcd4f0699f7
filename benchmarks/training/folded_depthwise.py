"""What makes a CPU train light networks fast: a thread for each cell, and depthwise convolutions folded.

oneDNN computes convolutions in blocks of 8 or 16 channels. A depthwise convolution of 5 channels fills a third of a
block, and with dilation it has no fast gradient at all; half of AULUNet's training step goes there. Folding the batch
into the channels, (B, C, H, W) as (1, B * C, H, W) with the kernels repeated, is the same sum and fills the blocks.
The limits below are where it began to pay on two cores with AVX-512; docs/performance.md has the figures.

Letters: B images, C channels, H x W pixels, K the side of a kernel.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Grads = tuple[Tensor | None, Tensor | None, Tensor | None, None]

FEW = 10  # channels; with more, folding gains nothing, and only the gradients of dilated kernels do
LARGE = 64 * 64  # pixels; without dilation, smaller maps lose more to the call than they gain
DILATED = 2048  # values of an image; as LARGE, with dilation


def fold_depthwise(network: nn.Module) -> None:
    """Have the depthwise convolutions of a network run folded: same names, same weights, same mathematics.

    Only those of stride 1 that keep H x W with zero padding. Not for use under vmap or autocast.
    """
    for module in network.modules():
        if type(module) is nn.Conv2d and _foldable(module):
            module.__class__ = FoldedDepthwise


def _foldable(conv: nn.Conv2d) -> bool:
    kernel, dilation = conv.kernel_size[0], conv.dilation[0]
    return (
        conv.groups == conv.in_channels == conv.out_channels
        and conv.kernel_size == (kernel, kernel)
        and conv.dilation == (dilation, dilation)
        and conv.stride == (1, 1)
        and kernel in (3, 5, 7)
        and conv.padding == (dilation * (kernel // 2),) * 2
        and conv.padding_mode == "zeros"
    )


class FoldedDepthwise(nn.Conv2d):
    """A depthwise convolution that keeps H x W, (B, C, H, W) to (B, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        channels, pixels, dilated = self.in_channels, x.shape[2] * x.shape[3], self.dilation[0] > 1
        if not (channels * pixels >= DILATED if dilated else channels <= FEW and pixels >= LARGE):
            return super().forward(x)
        return _Folded.apply(x, self.weight, self.bias, self.dilation[0])


def _depthwise(x: Tensor, weight: Tensor, bias: Tensor | None, dilation: int) -> Tensor:
    """x (B, C, H, W) with kernels (C, 1, K, K), run as (1, B * C, H, W) where channels are few."""
    (batch, channels), padding = x.shape[:2], dilation * (weight.shape[-1] // 2)
    if channels > FEW:
        return F.conv2d(x, weight, bias, padding=padding, dilation=dilation, groups=channels)
    kernels = weight.repeat(batch, 1, 1, 1)
    biases = None if bias is None else bias.repeat(batch)
    return F.conv2d(_folded(x), kernels, biases, padding=padding, dilation=dilation, groups=len(kernels)).view_as(x)


def _folded(x: Tensor) -> Tensor:
    return x.reshape(1, -1, *x.shape[2:])


class _Folded(torch.autograd.Function):
    """The gradient to the image is a depthwise convolution too, with the kernels turned by half a turn."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, dilation: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.dilation = dilation
        return _depthwise(x, weight, bias, dilation)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Grads:
        (x, weight), dilation = ctx.saved_tensors, ctx.dilation
        to_x, to_weight, to_bias, _ = ctx.needs_input_grad
        return (
            _depthwise(gradient, weight.flip(2, 3), None, dilation) if to_x else None,
            _kernel_gradient(x, weight, gradient, dilation) if to_weight else None,
            gradient.sum(dim=(0, 2, 3)) if to_bias else None,
            None,
        )


def _kernel_gradient(x: Tensor, weight: Tensor, gradient: Tensor, dilation: int) -> Tensor:
    """(C, 1, K, K): at each tap the sum over images and pixels of the gradient times the pixel under the tap.

    With dilation tap by tap, because oneDNN's own is several times slower there.
    """
    (batch, channels, height, width), kernel = x.shape, weight.shape[-1]
    padding = dilation * (kernel // 2)
    if dilation == 1:
        kernels, options = weight.repeat(batch, 1, 1, 1), ([1, 1], [padding] * 2, [1, 1], False, [0, 0])
        arguments = (_folded(gradient), _folded(x), kernels, None, *options, len(kernels), [False, True, False])
        return torch.ops.aten.convolution_backward(*arguments)[1].view(batch, *weight.shape).sum(dim=0)
    padded = F.pad(x, (padding,) * 4)
    offsets = [(i * dilation, j * dilation) for i in range(kernel) for j in range(kernel)]
    taps = [(padded[:, :, i : i + height, j : j + width] * gradient).sum(dim=(0, 2, 3)) for i, j in offsets]
    return torch.stack(taps, dim=1).view(channels, 1, kernel, kernel)
