"""MK-UNet (T, S and base): three kernel sizes side by side in every inverted residual. ICCV 2025 workshop CVAMD.

Paper: M. M. Rahman, R. Marculescu, "MK-UNet: Multi-kernel Lightweight CNN for Medical Image Segmentation",
arXiv 2509.18493. Upstream: https://github.com/SLDGroup/MK-UNet, commit 126eb4a, classes `MK_UNet_T`, `MK_UNet_S` and
`MK_UNet`, which differ in their widths alone.

Shapes: B batch, C channels in, O channels out, E = 2 C expanded channels, H x W pixels.

Deviations from the authors' code:
1. Returns a tensor of logits; the authors return it as the only element of a list.
2. Sizes that the five poolings do not divide are refused; so are images of one channel, which theirs repeats.

Kept as it is there:
* The paper describes deep supervision, the released network does not return it: the three side heads (31, 59 and 115
  parameters, here `unused`) are evaluated and thrown away. They are in the parameter counts and, with 0.11, 0.23 and
  0.46 M multiply-adds, in the operations.
* The channel attentions of T have one hidden unit (the deepest two). Under the authors' initial weights a ReLU clips it
  for every image in half of all draws: the gate is 0.5 then, and no gradient reaches it.
* One spatial attention is shared by all five decoder steps.
* The shortcut of a block whose width changes is a bare 1x1 convolution, without batch norm.
* The convolutions of the attention gates have biases in front of batch norms, which cancel them.
* The published 0.314 G of the base network are what ptflops counts of modules alone; thop says 0.328 G.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import gcd

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.blocks import spatial_gate

T, S, BASE = (4, 8, 16, 24, 32), (8, 16, 32, 48, 80), (16, 32, 64, 96, 160)
"""Widths of the five encoder stages."""


def shuffled(x: Tensor, groups: int) -> Tensor:
    """Channels (B, G K, H, W) in the order of their place in a group, not of their group."""
    return x.unflatten(1, (groups, -1)).transpose(1, 2).flatten(1, 2)  # (B, G, K, H, W) -> (B, K G, H, W)


class MultiKernelBlock(nn.Module):
    """An inverted residual, (B, C, H, W) to (B, O, H, W): expand, the sum of depthwise 1x1, 3x3 and 5x5, project."""

    def __init__(self, channels: int, out_channels: int, *, kernels: Sequence[int] = (1, 3, 5)) -> None:
        super().__init__()
        expanded = 2 * channels
        self.groups = gcd(expanded, out_channels)
        self.expand = nn.Sequential(nn.Conv2d(channels, expanded, 1, bias=False), nn.BatchNorm2d(expanded), nn.ReLU6())
        self.branches = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(expanded, expanded, kernel, padding=kernel // 2, groups=expanded, bias=False),
                nn.BatchNorm2d(expanded),
                nn.ReLU6(),
            )
            for kernel in kernels
        )
        self.project = nn.Sequential(nn.Conv2d(expanded, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels))
        same = channels == out_channels
        self.shortcut = nn.Identity() if same else nn.Conv2d(channels, out_channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        expanded = self.expand(x)  # (B, E, H, W)
        mixed = sum(branch(expanded) for branch in self.branches)
        return self.shortcut(x) + self.project(shuffled(mixed, self.groups))


class ChannelAttention(nn.Module):
    """A gate (B, C, 1, 1) from the global average and the global maximum of (B, C, H, W), by one shared MLP."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        hidden = channels // min(reduction, channels)
        self.average, self.maximum = nn.AdaptiveAvgPool2d(1), nn.AdaptiveMaxPool2d(1)
        self.mlp = nn.Sequential(
            nn.Conv2d(channels, hidden, 1, bias=False), nn.ReLU(), nn.Conv2d(hidden, channels, 1, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        return (self.mlp(self.average(x)) + self.mlp(self.maximum(x))).sigmoid()


class AttentionGate(nn.Module):
    """Weighs a skip (B, C, H, W) by a map (B, 1, H, W) that it and the decoder's features (B, C, H, W) decide on."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2

        def pairs_of_channels() -> nn.Sequential:
            return nn.Sequential(nn.Conv2d(channels, half, 3, padding=1, groups=half), nn.BatchNorm2d(half))

        self.features, self.skip = pairs_of_channels(), pairs_of_channels()
        self.map = nn.Sequential(nn.ReLU(), nn.Conv2d(half, 1, 1), nn.BatchNorm2d(1), nn.Sigmoid())

    def forward(self, features: Tensor, skip: Tensor) -> Tensor:
        return skip * self.map(self.features(features) + self.skip(skip))


class MKUNet(nn.Module):
    """Images (B, 3, H, W), H and W multiples of 32, to logits (B, 1, H, W), in training mode too.

    widths: channels of the five encoder stages (T, S or BASE). Raises ValueError for another height or width.
    Source: the module's header.
    """

    def __init__(self, *, widths: Sequence[int] = BASE) -> None:
        super().__init__()
        c1, c2, c3, c4, c5 = widths
        targets = (c4, c3, c2, c1, c1)
        self.encoder = nn.ModuleList(MultiKernelBlock(i, o) for i, o in pairwise((3, *widths)))
        self.channel_attention = nn.ModuleList(
            ChannelAttention(c, reduction)
            for c, reduction in zip((c5, c4, c3, c2, c1), (16, 16, 16, 8, 4), strict=True)
        )
        self.spatial_attention = nn.Conv2d(2, 1, 7, padding=3, bias=False)
        self.decoder = nn.ModuleList(MultiKernelBlock(i, o) for i, o in pairwise((c5, *targets)))
        self.gates = nn.ModuleList(AttentionGate(c) for c in targets[:4])
        self.apply(_initialise)
        self.unused = nn.ModuleList(nn.Conv2d(c, 1, 1) for c in targets[1:4])
        self.head = nn.Conv2d(c1, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        if height % 32 or width % 32:
            raise ValueError(f"MK-UNet needs a height and width that are multiples of 32, not {height} x {width}.")
        x, skips = images, []
        for block in self.encoder:  # 1/2 to 1/32 of the input
            x = F.max_pool2d(block(x), 2)
            skips.append(x)
        skips.pop()  # the bottleneck itself
        for level, (attention, block) in enumerate(zip(self.channel_attention, self.decoder, strict=True)):
            x = attention(x) * x
            x = spatial_gate(self.spatial_attention, x) * x
            x = F.relu(F.interpolate(block(x), scale_factor=2, mode="bilinear"))  # 1/16 to 1
            if skips:
                x = x + self.gates[level](x, skips.pop())
            if 1 <= level <= 3:
                self.unused[level - 1](x)
        return self.head(x)


@torch.no_grad()
def _initialise(module: nn.Module) -> None:
    """Every convolution from a normal of deviation 0.02, biases 0; the heads keep PyTorch's default."""
    if isinstance(module, nn.Conv2d):
        nn.init.normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
