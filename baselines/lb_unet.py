"""LB-UNet: a light-weight boundary-assisted U-Net for skin lesions. MICCAI 2024.

Paper: J. Xu, L. Tong, "LB-UNet: A Lightweight Boundary-assisted UNet for Skin Lesion Segmentation", MICCAI 2024.
Upstream: https://github.com/xuxuxuxuxuxjh/LB-UNet, commit 936508e.

Shapes: B batch, C channels, Q = C / 4, H height, W width.

Deviations from the authors' code:
1. Region maps are returned as logits; the sigmoids that end theirs, behind the upsampling, are left out.
   Boundary maps are probabilities here too, because theirs are upsampled behind the sigmoid.
2. Auxiliary and boundary maps are returned in training mode only. Their heads always run: the maps weigh the skips.

Kept as it is there:
* 55,865 parameters; the published 0.038 M leaves out 17,376 in shared spaces, channel norms and group norms.
* The gates of a group shuffle attention depend on the size of the input, not on its content.
* The two deepest decoder stages predict no boundary.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.blocks import draw_by_fan_out
from baselines.channel_norm import ChannelNorm

GROUPS = 4  # of every group norm, and of the channel split in GSA


class Downsample(nn.Module):
    """(B, C, H, W) to (B, C, H / 2, W / 2) by a 2x2 convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.conv = nn.Conv2d(channels, channels, 2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.norm(x))


class LargeKernelConv(nn.Module):
    """A 7x7 depthwise convolution and a fourfold inverted bottleneck, without residual. Keeps (B, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 7, padding=3, groups=channels, padding_mode="reflect")
        self.norm1 = nn.BatchNorm2d(channels)
        self.expand = nn.Conv2d(channels, 4 * channels, 1)
        self.contract = nn.Conv2d(4 * channels, channels, 1)
        self.norm2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        x = F.gelu(self.expand(self.norm1(self.depthwise(x))))
        return F.gelu(self.norm2(self.contract(x)))


def _depthwise(channels: int) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, 3, padding=1, groups=channels)


class GroupShuffleAttention(nn.Module):
    """GSA: (B, C, H, W) to (B, C', H, W). Each quarter of the channels is multiplied by a learned map over the plane;
    the quarters are joined in another order.

    side: resolution of the learned maps before they are resized to the input.
    """

    ORDER = (1, 3, 0, 2)

    def __init__(self, in_channels: int, out_channels: int, side: int = 8) -> None:
        super().__init__()
        quarter = in_channels // GROUPS
        self.spaces = nn.ParameterList(torch.ones(1, quarter, side, side) for _ in range(GROUPS))
        self.gates = nn.ModuleList(
            nn.Sequential(_depthwise(quarter), nn.GELU(), nn.Conv2d(quarter, quarter, 1)) for _ in range(GROUPS)
        )
        self.norm1 = ChannelNorm(in_channels)
        self.norm2 = ChannelNorm(in_channels)
        self.mix = nn.Sequential(_depthwise(in_channels), nn.GELU(), nn.Conv2d(in_channels, out_channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        quarters = self.norm1(x).chunk(GROUPS, dim=1)  # (B, C, H, W) -> 4 x (B, Q, H, W)
        gated = [
            part * gate(_resize(space, x.shape[-2:]))  # (1, Q, side, side) -> (1, Q, H, W)
            for part, gate, space in zip(quarters, self.gates, self.spaces, strict=True)
        ]
        return self.mix(self.norm2(torch.cat([gated[k] for k in self.ORDER], dim=1)))


class RegionPrediction(nn.Module):
    """Predicts the region from decoder features (B, C, H, W) and lets it amplify them.

    Returns the features, region logits (B, 1, H, W) and no boundary.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.region = nn.Conv2d(channels, 1, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, None]:
        region = self.region(x)
        return x + x * region.sigmoid(), region, None


class RegionBoundaryPrediction(nn.Module):
    """RBP: as `RegionPrediction`, with boundary probabilities (B, 1, H, W) that amplify the features too."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.boundary = nn.Conv2d(channels, 1, 1)
        self.region = nn.Conv2d(channels, 1, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        boundary = self.boundary(x).sigmoid()
        region = self.region(x)
        return x + x * boundary + x * region.sigmoid(), region, boundary


class PredictionInformationFusion(nn.Module):
    """PIF: adds the skip (B, C, H, W) to the features, weighed up where region or boundary is predicted."""

    def __init__(self, region_weight: float, boundary_weight: float) -> None:
        super().__init__()
        self.region_weight = region_weight
        self.boundary_weight = boundary_weight

    def forward(self, x: Tensor, skip: Tensor, region: Tensor, boundary: Tensor | None) -> Tensor:
        gain = 1 + self.region_weight * region.sigmoid()
        if boundary is not None:
            gain = gain + self.boundary_weight * boundary
        return x + gain * skip


class LBUNet(nn.Module):
    """Images (B, 3, H, W), H and W multiples of 32, to logits (B, 1, H, W).

    In training mode (logits, regions, boundaries): five more region logits (B, 1, H, W) for deep supervision, upsampled
    from 1/32, 1/16, 1/8, 1/4 and 1/2 of the input, and three boundary probabilities (B, 1, H, W), upsampled from 1/8,
    1/4 and 1/2, in this order.
    widths: channels of the six stages, multiples of 4. region_weights, boundary_weights: share of the skip, 0 to 1,
    that a prediction of 1 adds to it, deepest of the five and of the three stages first.
    Raises ValueError for another height or width. Source: the module's header.
    """

    def __init__(
        self,
        *,
        widths: tuple[int, int, int, int, int, int] = (8, 16, 24, 32, 48, 64),
        region_weights: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4, 0.5),
        boundary_weights: tuple[float, ...] = (0.1, 0.2, 0.3),
    ) -> None:
        super().__init__()
        c1, c2, c3, c4, c5, c6 = widths
        third = nn.Sequential(nn.Conv2d(c2, c3, 3, padding=1), LargeKernelConv(c3))
        self.encoders = nn.ModuleList([nn.Conv2d(3, c1, 3, padding=1), nn.Conv2d(c1, c2, 3, padding=1), third])
        self.encoders.extend(GroupShuffleAttention(i, o) for i, o in pairwise((c3, c4, c5)))
        self.encoder_norms = nn.ModuleList(nn.GroupNorm(GROUPS, c) for c in widths[:5])
        self.downs = nn.ModuleList([Downsample(c1), Downsample(c2), Downsample(c3), nn.MaxPool2d(2), nn.MaxPool2d(2)])
        self.bottleneck = GroupShuffleAttention(c5, c6)
        self.decoders = nn.ModuleList(GroupShuffleAttention(i, o) for i, o in pairwise((c6, c5, c4, c3)))
        self.decoders.extend(nn.Conv2d(i, o, 3, padding=1) for i, o in pairwise((c3, c2, c1)))
        self.decoder_norms = nn.ModuleList(nn.GroupNorm(GROUPS, c) for c in reversed(widths[:5]))
        self.predictions = nn.ModuleList(RegionPrediction(c) for c in (c5, c4))
        self.predictions.extend(RegionBoundaryPrediction(c) for c in (c3, c2, c1))
        shares = zip(region_weights, (0.0, 0.0, *boundary_weights), strict=True)
        self.fusions = nn.ModuleList(PredictionInformationFusion(*share) for share in shares)
        self.final = nn.Conv2d(c1, 1, 1)
        self.apply(draw_by_fan_out)

    def prediction_maps(self, images: Tensor) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Main logits at half size, region logits at 1/32 to 1/2 and boundary probabilities at 1/8 to 1/2."""
        height, width = images.shape[-2:]
        if height % 32 or width % 32:
            raise ValueError(f"LBUNet needs a height and width that are multiples of 32, not {height} x {width}.")
        x, skips = images, []
        for encoder, norm, down in zip(self.encoders, self.encoder_norms, self.downs, strict=True):
            x = F.gelu(down(norm(encoder(x))))  # 1/2 to 1/32 of the input
            skips.append(x)
        x = F.gelu(self.bottleneck(x))
        regions, boundaries = [], []
        stages = zip(self.decoders, self.decoder_norms, self.predictions, self.fusions, reversed(skips), strict=True)
        for level, (decoder, norm, predict, fuse, skip) in enumerate(stages):  # 1/32, then 1/16 to 1/2
            x = norm(decoder(x))
            if level > 0:
                x = _resize(x, skip.shape[-2:])
            x, region, boundary = predict(F.gelu(x))
            x = fuse(x, skip, region, boundary)
            regions.append(region)
            if boundary is not None:
                boundaries.append(boundary)
        return self.final(x), regions, boundaries

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, tuple[Tensor, ...], tuple[Tensor, ...]]:
        size = images.shape[-2:]
        logits, regions, boundaries = self.prediction_maps(images)
        logits = _resize(logits, size)
        if not self.training:
            return logits
        return logits, tuple(_resize(low, size) for low in regions), tuple(_resize(low, size) for low in boundaries)


def _resize(x: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=True)
