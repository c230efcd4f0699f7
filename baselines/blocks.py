"""What several networks share that has no class of its own: initial weights, the arithmetic of attention bridges, and
layers that they write alike.

Functions alone: the classes of a network, with their modules, are part of its identity (see ChannelNorm, Mamba and
DropPath for those that are shared).
"""

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def draw_linear(module: nn.Module) -> None:
    """Of a linear layer: weights from a normal of deviation 0.02, cut at -2 and 2, and biases 0. Others are left."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def draw_by_fan_out(module: nn.Module) -> None:
    """The pass over all modules that EGE-UNet, LB-UNet, MALUNet, UltraLBM-UNet, ULVM-UNet and UNeXt share; C2SDG's of
    its encoder.

    Linear layers as `draw_linear`; convolutions from a normal of variance 2 / fan-out. The fan-out of a one-dimensional
    convolution ignores its groups, and its bias keeps PyTorch's start; that of a two-dimensional one starts at 0.
    """
    draw_linear(module)
    if isinstance(module, nn.Conv1d):
        nn.init.normal_(module.weight, std=math.sqrt(2 / (module.kernel_size[0] * module.out_channels)))
    elif isinstance(module, nn.Conv2d):
        fan_out = math.prod(module.kernel_size) * module.out_channels // module.groups
        nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def spatial_gate(convolution: nn.Conv2d, x: Tensor) -> Tensor:
    """A gate (B, 1, H, W) from mean and maximum over the channels of (B, C, H, W); the convolution takes the two."""
    summary = torch.cat([x.mean(dim=1, keepdim=True), x.max(dim=1, keepdim=True).values], dim=1)  # (B, 2, H, W)
    return convolution(summary).sigmoid()


def bridged(
    skips: Sequence[Tensor],
    spatial: Callable[[Tensor], Tensor],
    channel: Callable[[Sequence[Tensor]], Sequence[Tensor]],
) -> list[Tensor]:
    """Spatial, then channel attention over all skips at once; each (B, C, H, W) keeps its shape.

    spatial: a skip to its gate (B, 1, H, W). channel: all skips to their gates (B, C, 1, 1). The last residual is the
    spatially attended skip, not the skip itself.
    """
    attended = [spatial(skip) * skip for skip in skips]
    summed = [gated + skip for gated, skip in zip(attended, skips, strict=True)]
    gates = channel(summed)
    return [gate * total + gated for gate, total, gated in zip(gates, summed, attended, strict=True)]


def conv3x3(channels: int, out_channels: int) -> nn.Conv2d:
    """(B, C, H, W) to (B, C', H, W)."""
    return nn.Conv2d(channels, out_channels, 3, padding=1)


def doubled(x: Tensor) -> Tensor:
    """(B, C, H, W) to (B, C, 2 H, 2 W), bilinear, corner on corner."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
