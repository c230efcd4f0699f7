"""EGE-UNet: an efficient group enhanced U-Net for skin lesions. MICCAI 2023.

Paper: J. Ruan, M. Xie, J. Gao, T. Liu, Y. Fu, "EGE-UNet: an Efficient Group Enhanced UNet for skin lesion
segmentation", arXiv 2307.08473.
Upstream: https://github.com/JCruan519/EGE-UNet, commit f52ba30.

Shapes: B batch, C channels, Q = C / 4, H height, W width.

Deviations from the authors' code:
1. Logits are returned; the sigmoids that end theirs, behind the upsampling, are left out.
2. The auxiliary maps are returned in training mode only. Their heads always run: the maps guide the skips.

Kept as it is there:
* The mask given to a group aggregation bridge is a raw logit, not a probability.
* The gates of a Hadamard product attention depend on the size of the input, not on its content.
* Biases of one-dimensional convolutions keep PyTorch's default start while every other bias starts at zero.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.blocks import draw_by_fan_out
from baselines.channel_norm import ChannelNorm

GROUPS = 4  # of every group norm, and of the channel splits in GHPA and GAB


def _depthwise(channels: int, dilation: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation, groups=channels)


def _axis_gate(channels: int) -> nn.Sequential:
    depthwise = nn.Conv1d(channels, channels, 3, padding=1, groups=channels)
    return nn.Sequential(depthwise, nn.GELU(), nn.Conv1d(channels, channels, 1))


class GroupHadamardProductAttention(nn.Module):
    """GHPA: (B, C, H, W) to (B, C', H, W). Three quarters of the channels are multiplied by learned maps over the
    plane, the rows and the columns; the fourth passes a depthwise separable convolution.

    side: resolution of the learned maps before they are resized to the input.
    """

    def __init__(self, in_channels: int, out_channels: int, side: int = 8) -> None:
        super().__init__()
        quarter = in_channels // GROUPS
        self.plane = nn.Parameter(torch.ones(1, quarter, side, side))
        self.rows = nn.Parameter(torch.ones(1, 1, quarter, side))
        self.columns = nn.Parameter(torch.ones(1, 1, quarter, side))
        self.plane_gate = nn.Sequential(_depthwise(quarter), nn.GELU(), nn.Conv2d(quarter, quarter, 1))
        self.row_gate = _axis_gate(quarter)
        self.column_gate = _axis_gate(quarter)
        self.local = nn.Sequential(nn.Conv2d(quarter, quarter, 1), nn.GELU(), _depthwise(quarter))
        self.norm1 = ChannelNorm(in_channels)
        self.norm2 = ChannelNorm(in_channels)
        self.mix = nn.Sequential(_depthwise(in_channels), nn.GELU(), nn.Conv2d(in_channels, out_channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        x1, x2, x3, x4 = self.norm1(x).chunk(GROUPS, dim=1)  # (B, C, H, W) -> 4 x (B, Q, H, W)
        by_plane = self.plane_gate(_resize(self.plane, (height, width)))  # (1, Q, side, side) -> (1, Q, H, W)
        by_row = self.row_gate(_stretch(self.rows[0], height))[..., None]  # (1, Q, side) -> (1, Q, H, 1)
        by_column = self.column_gate(_stretch(self.columns[0], width))[..., None, :]  # (1, Q, side) -> (1, Q, 1, W)
        x = torch.cat([x1 * by_plane, x2 * by_row, x3 * by_column, self.local(x4)], dim=1)
        return self.mix(self.norm2(x))


class GroupAggregationBridge(nn.Module):
    """GAB: the skip for a decoder stage, (B, C, H, W), from the deeper features, the encoder's features and a mask.

    deep (B, C', H', W'), shallow (B, C, H, W), mask (B, 1, H, W).
    """

    def __init__(self, deep_channels: int, channels: int, dilations: Sequence[int] = (1, 2, 5, 7)) -> None:
        super().__init__()
        self.project = nn.Conv2d(deep_channels, channels, 1)
        group = channels // 2 + 1  # a quarter of each of the two inputs, and the mask
        self.groups = nn.ModuleList(
            nn.Sequential(ChannelNorm(group), _depthwise(group, dilation)) for dilation in dilations
        )
        joined = GROUPS * group
        self.mix = nn.Sequential(ChannelNorm(joined), nn.Conv2d(joined, channels, 1))

    def forward(self, deep: Tensor, shallow: Tensor, mask: Tensor) -> Tensor:
        deep = _resize(self.project(deep), shallow.shape[-2:])
        pairs = zip(self.groups, deep.chunk(GROUPS, dim=1), shallow.chunk(GROUPS, dim=1), strict=True)
        joined = [group(torch.cat([high, low, mask], dim=1)) for group, high, low in pairs]
        return self.mix(torch.cat(joined, dim=1))  # 4 x (B, C / 2 + 1, H, W) -> (B, 2 C + 4, H, W) -> (B, C, H, W)


class EGEUNet(nn.Module):
    """Images (B, 3, H, W), H and W multiples of 32, to logits (B, 1, H, W).

    In training mode (logits, auxiliary): five more logits (B, 1, H, W) for deep supervision, upsampled from 1/32, 1/16,
    1/8, 1/4 and 1/2 of the input, in this order.
    widths: channels of the six stages, multiples of 4. Raises ValueError for another height or width.
    Source: the module's header.
    """

    def __init__(self, *, widths: tuple[int, int, int, int, int, int] = (8, 16, 24, 32, 48, 64)) -> None:
        super().__init__()
        c1, c2, c3, c4, c5, c6 = widths
        deepest_first = tuple(reversed(widths))
        self.encoders = nn.ModuleList(nn.Conv2d(i, o, 3, padding=1) for i, o in pairwise((3, c1, c2, c3)))
        self.encoders.extend(GroupHadamardProductAttention(i, o) for i, o in pairwise((c3, c4, c5)))
        self.encoder_norms = nn.ModuleList(nn.GroupNorm(GROUPS, c) for c in widths[:5])
        self.bottleneck = GroupHadamardProductAttention(c5, c6)
        self.decoders = nn.ModuleList(GroupHadamardProductAttention(i, o) for i, o in pairwise((c6, c5, c4, c3)))
        self.decoders.extend(nn.Conv2d(i, o, 3, padding=1) for i, o in pairwise((c3, c2, c1)))
        self.decoder_norms = nn.ModuleList(nn.GroupNorm(GROUPS, c) for c in deepest_first[1:])
        self.heads = nn.ModuleList(nn.Conv2d(c, 1, 1) for c in deepest_first[1:])
        self.bridges = nn.ModuleList(GroupAggregationBridge(i, o) for i, o in pairwise(deepest_first))
        self.final = nn.Conv2d(c1, 1, 1)
        self.apply(draw_by_fan_out)

    def logit_maps(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The main logits at half size, and the auxiliary ones at 1/32, 1/16, 1/8, 1/4 and 1/2 of the input."""
        height, width = images.shape[-2:]
        if height % 32 or width % 32:
            raise ValueError(f"EGEUNet needs a height and width that are multiples of 32, not {height} x {width}.")
        x, features = images, []
        for encoder, norm in zip(self.encoders, self.encoder_norms, strict=True):  # 1/2 to 1/32 of the input
            x = F.gelu(F.max_pool2d(norm(encoder(x)), 2))
            features.append(x)
        x = skip = F.gelu(self.bottleneck(x))
        auxiliary = []
        stages = zip(self.decoders, self.decoder_norms, self.heads, self.bridges, reversed(features), strict=True)
        for level, (decoder, norm, head, bridge, shallow) in enumerate(stages):  # 1/32, then 1/16 to 1/2
            x = norm(decoder(x))
            if level > 0:
                x = _resize(x, shallow.shape[-2:])
            x = F.gelu(x)
            auxiliary.append(head(x))
            skip = bridge(skip, shallow, auxiliary[-1])
            x = x + skip
        return self.final(x), auxiliary

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, tuple[Tensor, ...]]:
        logits, auxiliary = self.logit_maps(images)
        logits = _resize(logits, images.shape[-2:])
        if not self.training:
            return logits
        return logits, tuple(_resize(low, images.shape[-2:]) for low in auxiliary)


def _resize(x: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=True)


def _stretch(x: Tensor, length: int) -> Tensor:
    """(1, Q, side) to (1, Q, length)."""
    return F.interpolate(x, size=length, mode="linear", align_corners=True)
