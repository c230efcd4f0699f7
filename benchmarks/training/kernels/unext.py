"""UNeXt-S by kernels: the ends of its convolutional stages, and the shifts of its tokens.

Letters: B images, C channels, H x W pixels.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from baselines import unext
from benchmarks.training.kernels.activations import RELU
from benchmarks.training.kernels.arrays import array, new
from benchmarks.training.kernels.jit import kernel
from benchmarks.training.kernels.layers import gelu
from benchmarks.training.kernels.products import copy
from benchmarks.training.kernels.stages import norm_pool, norm_resize, resize

GROUPS = 5  # of channels that move by -2 to 2 pixels


@kernel
def _shift(x, down, right, to):
    """Group k of the channels of x (B, H, W, C) moved by (k - 2) * down and (k - 2) * right pixels; zeros move in."""
    batch, height, width, channels = x.shape
    size = (channels + GROUPS - 1) // GROUPS
    for b in range(batch):
        for i in range(height):
            for j in range(width):
                for k in range(GROUPS):
                    r, s = i - (k - GROUPS // 2) * down, j - (k - GROUPS // 2) * right
                    here = to[b, i, j, k * size : (k + 1) * size]
                    if 0 <= r < height and 0 <= s < width:
                        copy(x[b, r, s, k * size : (k + 1) * size], here)
                    else:
                        here[:] = 0


class _Shift(torch.autograd.Function):
    """The gradient is shifted back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, *step: int) -> Tensor:
        ctx.step = step
        return _shifted(x, *step)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return _shifted(gradient, *(-each for each in ctx.step)), None, None


def _shifted(x: Tensor, *step: int) -> Tensor:
    out = new(x)
    _shift(array(x), *step, array(out))
    return out


def shift(x: Tensor, *, down: int = 0, right: int = 0) -> Tensor:
    """`baselines.unext.shift` of (B, H, W, C), without its ten copies on the way back."""
    return _Shift.apply(x, down, right)


class KernelShiftedMLP(unext.ShiftedMLP):
    def forward(self, x: Tensor) -> Tensor:
        x = self.fc1(shift(x, down=1))
        x = gelu(self.depthwise(x.permute(0, 3, 1, 2))).permute(0, 2, 3, 1)  # (B, H, W, C), by (B, C, H, W)
        return self.fc2(shift(x, right=1))


class KernelUNeXtS(unext.UNeXtS):
    """The norms with what follows them: pooling or resizing, ReLU, and the skip."""

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        if height % 32 or width % 32:
            raise ValueError(f"UNeXtS needs a height and width that are multiples of 32, not {height} x {width}.")
        skips, x = [], images
        encoders: Any = self.encoders
        for encoder in encoders:
            x = norm_pool(encoder.conv(x), encoder.norm, RELU)
            skips.append(x)
        for embed, token_encoder in zip(self.patch_embeddings, self.token_encoders, strict=True):
            x = token_encoder(embed(x))
            skips.append(x)
        x = skips.pop()
        decoders: Any = self.decoders
        for level, decoder in enumerate(decoders):
            skip = skips.pop()
            size = skip.shape[2], skip.shape[3]
            x = norm_resize(decoder.conv(x), decoder.norm, size, RELU, align_corners=False, added=skip)
            if level < len(self.token_decoders):
                x = self.token_decoders[level](x.permute(0, 2, 3, 1))  # (B, C, H, W) -> (B, H, W, C)
        return self.final(resize(self.last_decoder(x), (height, width), RELU, align_corners=False))


KERNELS: dict[type, type] = {unext.ShiftedMLP: KernelShiftedMLP, unext.UNeXtS: KernelUNeXtS}
