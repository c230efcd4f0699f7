"""AULUNet: Adaptive Ultra-Lightweight U-Net for skin-lesion segmentation (BMVC 2025).

Source: the paper's formulas and the authors' released code, maklachur/AULUNet at b82dc9a, which is variant v3.

Shapes: B images, C channels, H x W pixels of the current level; level k of the encoder is k times halved. Pooling is a
module or a function as in the authors' code, because the paper's operation counter sees modules only.

Which variant is which. v3, M4 and M5 are established (the released code, and that code minus a module). v1, v2 and the
three-branch AKF are **our interpretation**: the released code has no switch for them, and counts alone do not decide.

    v3            AULUNet()                                                               28,636 parameters
    v1            AULUNet(widths=(4, 8, 16, 24, 36, 60))                                  28,557   our interpretation
    v2            AULUNet(widths=(4, 8, 16, 24, 40, 60))                                  31,245   our interpretation
    v1, second    AULUNet(skip="pooled")                                                  28,636   our interpretation
    v2, second    AULUNet(skip="pooled_deep")                                             30,836   our interpretation
    M4            AULUNet(skip="add")            no LSG                                   24,056
    M5            AULUNet(rgf=False)             no RGF                                   25,036
    dilations     AULUNet(dilations=(1, 3))      two branches                             28,636
                  AULUNet(dilations=(1, 2, 3))   three branches, softmax                  26,279   our interpretation
    single module AULUNet(rgf=False, skip="add") AKF only; AULUNet(akf=False, ...)        no published number

Deviations from the authors' code:
1. The head returns logits; the sigmoid that ends the authors' network is left to the loss and the threshold.
2. LSG has no 1x1 projection of the encoder's features: the authors' is built only where widths differ, and none do.
3. Without AKF (a row that the paper does not have) a depthwise 3x3 and a PointConv stand in its place.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PointConv(nn.Sequential):
    """1x1 convolution without bias, batch norm, ReLU: (B, C, H, W) to (B, O, H, W)."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out_channels, 1, bias=False)
        self.bn = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU()


def depthwise(channels: int, dilation: int) -> nn.Conv2d:
    """Depthwise 3x3 without bias that keeps H x W."""
    return nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation, groups=channels, bias=False)


class AKF(nn.Module):
    """Adaptive kernel fusion: depthwise branches of several dilations, mixed by weights that the image itself chooses.

    Two branches: a F_1 + (1 - a) F_2 with one sigmoid gate a per channel. More: a softmax with one weight per branch.
    (B, C, H, W) to (B, C, H, W).
    """

    def __init__(self, channels: int, dilations: Sequence[int] = (1, 2)) -> None:
        super().__init__()
        self.branches = nn.ModuleList(depthwise(channels, dilation) for dilation in dilations)
        self.gate = nn.Conv2d(channels, channels if len(dilations) == 2 else len(dilations), 1)
        self.fuse = PointConv(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.gate(F.adaptive_avg_pool2d(x, 1))  # (B, C, 1, 1), or (B, branches, 1, 1)
        features = [branch(x) for branch in self.branches]
        if len(features) == 2:
            gate = gate.sigmoid()
            return self.fuse(gate * features[0] + (1 - gate) * features[1])
        weights = gate.softmax(dim=1).unbind(dim=1)  # each (B, 1, 1)
        return self.fuse(sum(weight.unsqueeze(1) * feature for weight, feature in zip(weights, features, strict=True)))


class SeparableConv(nn.Sequential):
    """What stands in for AKF where it is ablated: depthwise 3x3, then PointConv."""

    def __init__(self, channels: int) -> None:
        super().__init__(depthwise(channels, 1), PointConv(channels, channels))


class RGF(nn.Module):
    """Residual global feedback at the bottleneck: B + B * tanh(W gap(B)). (B, C, H, W) to (B, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.conv = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return x + x * self.conv(self.pool(x)).tanh()


class LSG(nn.Module):
    """Light skip gate: D + g E with g = sigmoid(BN(1x1([D, E]))), one number per channel and pixel.

    Decoder D and encoder E features, both (B, C, H, W), to (B, C, H, W).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2 * channels, channels, 1, bias=False)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, decoder: Tensor, encoder: Tensor) -> Tensor:
        gate = self.bn(self.conv(torch.cat([decoder, encoder], dim=1))).sigmoid()  # (B, C, H, W)
        return decoder + gate * encoder


class PooledLSG(nn.Module):
    """Our second interpretation of the skip gate: the same gate of the pooled [D, E], one number per channel.

    `deep` adds a second 1x1 convolution. The batch norm sees 1x1 maps, so training needs more than one image per batch.
    """

    def __init__(self, channels: int, *, deep: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2 * channels, channels, 1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 1, bias=False) if deep else nn.Identity()
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, decoder: Tensor, encoder: Tensor) -> Tensor:
        pooled = F.adaptive_avg_pool2d(torch.cat([decoder, encoder], dim=1), 1)  # (B, 2C, 1, 1)
        return decoder + self.bn(self.conv2(self.conv(pooled))).sigmoid() * encoder


class AddSkip(nn.Module):
    """No gate at all: D + E."""

    def forward(self, decoder: Tensor, encoder: Tensor) -> Tensor:
        return decoder + encoder


def skip_gate(kind: str, channels: int) -> nn.Module:
    """kind: "spatial" (LSG), "pooled" or "pooled_deep" (second interpretations), "add" (ablated)."""
    if kind == "spatial":
        return LSG(channels)
    if kind in ("pooled", "pooled_deep"):
        return PooledLSG(channels, deep=kind == "pooled_deep")
    if kind == "add":
        return AddSkip()
    raise ValueError(f'skip is "spatial", "pooled", "pooled_deep" or "add", not {kind!r}')


class AULUNet(nn.Module):
    """(B, 3, H, W) in [0, 255] to logits (B, 1, H, W); H and W divisible by 2 ** (len(widths) - 1), 32 by default.

    widths: channels of the levels, finest first. dilations: of AKF's branches. akf, rgf: False ablates the module.
    skip: see `skip_gate`. Initial weights are PyTorch's defaults, as in the authors' code.
    """

    def __init__(
        self,
        *,
        widths: Sequence[int] = (5, 10, 15, 25, 35, 60),
        dilations: Sequence[int] = (1, 2),
        akf: bool = True,
        rgf: bool = True,
        skip: str = "spatial",
        in_channels: int = 3,
    ) -> None:
        super().__init__()

        def mix(channels: int) -> nn.Module:
            return AKF(channels, dilations) if akf else SeparableConv(channels)

        levels = range(1, len(widths))
        stem = nn.Conv2d(in_channels, widths[0], 3, padding=1, bias=False)
        self.stem = nn.Sequential(stem, nn.BatchNorm2d(widths[0]), nn.ReLU())
        self.stem_akf = mix(widths[0])
        self.encoder_akf = nn.ModuleList(mix(widths[k - 1]) for k in levels)
        self.encoder_proj = nn.ModuleList(PointConv(widths[k - 1], widths[k]) for k in levels)
        self.halve = nn.AvgPool2d(2)
        self.bottleneck = RGF(widths[-1]) if rgf else nn.Identity()
        self.decoder_proj = nn.ModuleList(PointConv(widths[k], widths[k - 1]) for k in reversed(levels))
        self.decoder_skip = nn.ModuleList(skip_gate(skip, widths[k - 1]) for k in reversed(levels))
        self.decoder_akf = nn.ModuleList(mix(widths[k - 1]) for k in reversed(levels))
        self.head = nn.Conv2d(widths[0], 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        features = [self.stem_akf(self.stem(images))]  # level k: (B, widths[k], H / 2^k, W / 2^k)
        for akf, proj in zip(self.encoder_akf, self.encoder_proj, strict=True):
            features.append(proj(akf(self.halve(features[-1]))))
        x = self.bottleneck(features.pop())
        for proj, skip, akf in zip(self.decoder_proj, self.decoder_skip, self.decoder_akf, strict=True):
            x = proj(F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True))
            x = akf(skip(x, features.pop()))
        return self.head(x)
