"""MALUNet: a multi-attention light-weight U-Net for skin lesions. BIBM 2022.

Paper: J. Ruan, S. Xiang, M. Xie, T. Liu, Y. Fu, "MALUNet: A Multi-Attention and Light-weight UNet for Skin Lesion
Segmentation", arXiv 2211.01784.
Upstream: https://github.com/JCruan519/MALUNet, commit e184b47.

Shapes: B batch, C channels, H height, W width, N = H * W positions, S sum of the five skips' channels.

Deviations from the authors' code:
1. Logits are returned; the sigmoid that ends theirs is left out.
2. The two memories of an inverted external attention are separate parameters from the start. Theirs share one storage
   until the network is first copied to another device, which on a GPU happens before training. The start is the same:
   linear_0 is linear_1 transposed, both with standard deviation sqrt(2 / C).

Kept as it is there:
* 177,943 parameters; the published 0.175 M leaves out the 2,912 of group norm.
* The last residual of the bridge is the spatially attended skip, not the skip itself.
* The deepest stage reads the fifth skip before the bridge.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.blocks import bridged, doubled, draw_by_fan_out, spatial_gate

GROUPS = 4  # of every group norm, and of the channel split in DGA


class DepthwiseSeparable(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(in_channels, in_channels, kernel_size, padding=kernel_size // 2, groups=in_channels)
        self.norm = nn.GroupNorm(GROUPS, in_channels)
        self.pointwise = nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.pointwise(self.norm(self.depthwise(x)))


class GatedAttentionUnit(nn.Module):
    """(B, C, H, W) to (B, C', H, W): a 3x3 branch gates a 5x5 branch, beside a 1x1 residual."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.gate = DepthwiseSeparable(in_channels, in_channels, 3)
        self.value = DepthwiseSeparable(in_channels, in_channels, 5)
        self.output = DepthwiseSeparable(in_channels, out_channels, 3)
        self.residual = nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        attended = self.gate(x).sigmoid() * F.gelu(self.value(x))
        return F.gelu(self.output(attended)) + self.residual(x)


class DilatedGatedAttention(nn.Module):
    """DGA: one dilation for each quarter of the channels, then gated attention. (B, C, H, W) to (B, C', H, W)."""

    def __init__(self, in_channels: int, out_channels: int, dilations: Sequence[int] = (7, 5, 2, 1)) -> None:
        super().__init__()
        quarter = in_channels // GROUPS
        self.dilated = nn.ModuleList(
            nn.Conv2d(quarter, quarter, 3, padding=dilation, dilation=dilation, groups=quarter)
            for dilation in dilations
        )
        self.norm = nn.GroupNorm(GROUPS, in_channels)
        self.mix = nn.Conv2d(in_channels, in_channels, 1)
        self.gau = GatedAttentionUnit(in_channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        quarters = x.chunk(GROUPS, dim=1)
        x = torch.cat([conv(part) for conv, part in zip(self.dilated, quarters, strict=True)], dim=1)
        return self.gau(F.gelu(self.mix(self.norm(x))))


class InvertedExternalAttention(nn.Module):
    """IEA: attention to a learned memory of `expansion` x C slots shared by all images. Keeps (B, C, H, W)."""

    def __init__(self, channels: int, expansion: int = 4) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 1)
        self.linear_0 = nn.Conv1d(channels, expansion * channels, 1, bias=False)
        self.linear_1 = nn.Conv1d(expansion * channels, channels, 1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 1, bias=False)
        self.norm = nn.GroupNorm(GROUPS, channels)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(x)
        attention = self.linear_0(h.flatten(2)).softmax(dim=-1)  # (B, C, H, W) -> (B, C, N) -> (B, 4C, N)
        attention = attention / (1e-9 + attention.sum(dim=1, keepdim=True))
        h = self.linear_1(attention).reshape(h.shape)  # (B, C, N) -> (B, C, H, W)
        return F.gelu(self.norm(self.conv2(h)) + x)


class SpatialAttentionBridge(nn.Module):
    """SAB: a map (B, 1, H, W) of each skip, from its mean and maximum over channels; one convolution for all skips."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, padding=9, dilation=3)

    def forward(self, skip: Tensor) -> Tensor:
        return spatial_gate(self.conv, skip)


class ChannelAttentionBridge(nn.Module):
    """CAB: a gate (B, C, 1, 1) for each skip, from the pooled channels of all skips together."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.local = nn.Conv1d(1, 1, 3, padding=1, bias=False)
        self.gates = nn.ModuleList(nn.Linear(sum(widths), width) for width in widths)

    def forward(self, skips: Sequence[Tensor]) -> list[Tensor]:
        pooled = torch.cat([self.pool(skip).flatten(1) for skip in skips], dim=1)  # 5 x (B, C, 1, 1) -> (B, S)
        pooled = self.local(pooled.unsqueeze(1)).squeeze(1)  # (B, S) -> (B, 1, S) -> (B, S)
        return [gate(pooled).sigmoid()[:, :, None, None] for gate in self.gates]


class Bridge(nn.Module):
    """SAB, then CAB, over the five skips; shapes are kept."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.spatial = SpatialAttentionBridge()
        self.channel = ChannelAttentionBridge(widths)

    def forward(self, skips: Sequence[Tensor]) -> list[Tensor]:
        return bridged(skips, self.spatial, self.channel)


class MALUNet(nn.Module):
    """Images (B, 3, H, W), H and W multiples of 32, to logits (B, 1, H, W), in training mode too.

    widths: channels of the six stages, multiples of 4. Raises ValueError for another height or width.
    Source: the module's header.
    """

    def __init__(self, *, widths: tuple[int, int, int, int, int, int] = (8, 16, 24, 32, 48, 64)) -> None:
        super().__init__()
        c1, c2, c3, c4, c5, c6 = widths
        self.encoders = nn.ModuleList(nn.Conv2d(i, o, 3, padding=1) for i, o in pairwise((3, c1, c2, c3)))
        self.encoders.extend(
            nn.Sequential(InvertedExternalAttention(i), DilatedGatedAttention(i, o)) for i, o in pairwise((c3, c4, c5))
        )
        self.encoder_norms = nn.ModuleList(nn.GroupNorm(GROUPS, c) for c in widths[:5])
        self.bottleneck = nn.Sequential(InvertedExternalAttention(c5), DilatedGatedAttention(c5, c6))
        self.bridge = Bridge(widths[:5])
        self.decoders = nn.ModuleList(
            nn.Sequential(DilatedGatedAttention(i, o), InvertedExternalAttention(o))
            for i, o in pairwise((c6, c5, c4, c3))
        )
        self.decoders.extend(nn.Conv2d(i, o, 3, padding=1) for i, o in pairwise((c3, c2, c1)))
        self.decoder_norms = nn.ModuleList(nn.GroupNorm(GROUPS, c) for c in reversed(widths[:5]))
        self.final = nn.Conv2d(c1, 1, 1)
        self.apply(_initialise)

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        if height % 32 or width % 32:
            raise ValueError(f"MALUNet needs a height and width that are multiples of 32, not {height} x {width}.")
        x, skips = images, []
        for encoder, norm in zip(self.encoders, self.encoder_norms, strict=True):  # 1/2 to 1/32 of the input
            x = F.gelu(F.max_pool2d(norm(encoder(x)), 2))
            skips.append(x)
        x = F.gelu(self.bottleneck(x))
        skips = self.bridge(skips)
        for level, (decoder, norm) in enumerate(zip(self.decoders, self.decoder_norms, strict=True)):
            x = norm(decoder(x))
            if level > 0:  # 1/32, then 1/16 to 1/2
                x = doubled(x)
            x = F.gelu(x) + skips.pop()
        return doubled(self.final(x))


@torch.no_grad()
def _initialise(module: nn.Module) -> None:
    """`nn.Module.apply` visits children first, so the memories of an IEA are drawn before they are tied."""
    draw_by_fan_out(module)
    if isinstance(module, InvertedExternalAttention):
        module.linear_0.weight.copy_(module.linear_1.weight.transpose(0, 1))
