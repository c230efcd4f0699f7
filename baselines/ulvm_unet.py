"""UltraLight VM-UNet (ULVM-UNet): Parallel Vision Mamba for skin lesion segmentation (arXiv 2024).

Paper: Wu, Liu, Liang, Chang, "UltraLight VM-UNet: Parallel Vision Mamba Significantly Reduces Parameters for Skin
Lesion Segmentation", arXiv 2403.20035. Upstream: https://github.com/wurenkai/UltraLight-VM-UNet at d7648e4.

Shapes: B batch, C channels, H and W pixels, L = H W tokens in row-major order, P = 4 chunks of the channels; inside
Mamba D inner channels (2 C), N = 16 states, R = ceil(C / 16) rank of the step sizes.

Deviations from the authors' code:
1. Returns logits; the authors end in a sigmoid.
2. The scan is plain PyTorch in the dtype of the input; theirs is a fused CUDA kernel in float32.
3. The four chunks of a PVM layer go through the shared Mamba in one call, as a batch four times as large.
4. Sizes that the five poolings do not divide are refused.

Kept as it is there:
* Its initialisation pass reaches inside Mamba: the biases of the step sizes become 0, so that they start at
  softplus(0) = 0.693 and not log-uniform in 0.001 to 0.1.
* A third of the parameters (16,614 of 49,457) is the bridge. The bottleneck reads the stage 5 output before the bridge.
* The paper's 0.060 GFLOPs counts nothing inside Mamba.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.blocks import bridged, conv3x3, doubled, draw_by_fan_out, spatial_gate
from baselines.mamba import Mamba


class PVMLayer(nn.Module):
    """Parallel Vision Mamba: one Mamba shared by four chunks of the channels, (B, C, H, W) to (B, C', H, W)."""

    def __init__(self, channels: int, out_channels: int, *, chunks: int = 4) -> None:
        super().__init__()
        self.chunks = chunks
        self.norm = nn.LayerNorm(channels)
        self.mamba = Mamba(channels=channels // chunks)
        self.skip_scale = nn.Parameter(torch.ones(1))
        self.proj = nn.Linear(channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        tokens = self.norm(x.flatten(2).transpose(1, 2))  # (B, L, C)
        parts = tokens.unflatten(2, (self.chunks, -1)).transpose(1, 2)  # (B, P, L, C / P)
        mixed = self.mamba(parts.flatten(0, 1)).unflatten(0, parts.shape[:2])  # (B, P, L, C / P)
        merged = (mixed + self.skip_scale * parts).transpose(1, 2).flatten(2)  # (B, L, C)
        projected = self.proj(self.norm(merged)).transpose(1, 2)  # (B, C', L)
        # The bridge's pooling has no batching rule (vmap) for channels-last memory.
        return projected.contiguous().unflatten(2, (height, width))  # (B, C', H, W)


class SpatialAttentionBridge(nn.Module):
    """One 7x7 convolution with dilation 3, shared by all levels: (B, C, H, W) to gates (B, 1, H, W)."""

    def __init__(self) -> None:
        super().__init__()
        self.shared_conv = nn.Conv2d(2, 1, 7, padding=9, dilation=3)

    def forward(self, x: Tensor) -> Tensor:
        return spatial_gate(self.shared_conv, x)


class ChannelAttentionBridge(nn.Module):
    """Gates (B, C_i, 1, 1) for every level from the global averages of all levels."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.mix = nn.Conv1d(1, 1, 3, padding=1, bias=False)
        self.gates = nn.ModuleList(nn.Linear(sum(channels), width) for width in channels)

    def forward(self, levels: Sequence[Tensor]) -> list[Tensor]:
        averages = torch.cat([self.pool(level) for level in levels], dim=1).flatten(2).transpose(1, 2)  # (B, 1, sum C)
        mixed = self.mix(averages)
        return [torch.sigmoid(gate(mixed)).transpose(1, 2).unsqueeze(-1) for gate in self.gates]


class SCAttentionBridge(nn.Module):
    """Spatial, then channel attention over all skips at once; each (B, C_i, H_i, W_i) keeps its shape."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.spatial = SpatialAttentionBridge()
        self.channel = ChannelAttentionBridge(channels)

    def forward(self, levels: Sequence[Tensor]) -> list[Tensor]:
        return bridged(levels, self.spatial, self.channel)


class ULVMUNet(nn.Module):
    """UltraLight VM-UNet: images (B, 3, H, W) to logits (B, 1, H, W); H and W are multiples of 32.

    channels: widths of the six encoder stages. groups: of every GroupNorm. Raises ValueError for other sizes.
    """

    def __init__(
        self, *, in_channels: int = 3, channels: Sequence[int] = (8, 16, 24, 32, 48, 64), groups: int = 4
    ) -> None:
        super().__init__()
        c1, c2, c3, c4, c5, c6 = channels
        skips = (c1, c2, c3, c4, c5)
        self.encoder = nn.ModuleList(
            [conv3x3(in_channels, c1), conv3x3(c1, c2), conv3x3(c2, c3), PVMLayer(c3, c4), PVMLayer(c4, c5)]
        )
        self.encoder_norms = nn.ModuleList(nn.GroupNorm(groups, width) for width in skips)
        self.bottleneck = PVMLayer(c5, c6)
        self.bridge = SCAttentionBridge(skips)
        self.decoder = nn.ModuleList(
            [PVMLayer(c6, c5), PVMLayer(c5, c4), PVMLayer(c4, c3), conv3x3(c3, c2), conv3x3(c2, c1)]
        )
        self.decoder_norms = nn.ModuleList(nn.GroupNorm(groups, width) for width in reversed(skips))
        self.head = nn.Conv2d(c1, 1, 1)
        self.apply(draw_by_fan_out)  # as the authors', over the modules inside Mamba too

    def forward(self, images: Tensor) -> Tensor:
        if images.shape[-2] % 32 or images.shape[-1] % 32:
            raise ValueError(f"ULVM-UNet needs sides that are multiples of 32, not {tuple(images.shape[-2:])}.")
        x, levels = images, []
        for stage, norm in zip(self.encoder, self.encoder_norms, strict=True):
            x = F.gelu(F.max_pool2d(norm(stage(x)), 2))  # (B, C_i, H / 2^i, W / 2^i)
            levels.append(x)
        skips = reversed(self.bridge(levels))
        x = F.gelu(self.bottleneck(x))
        for depth, (stage, norm, skip) in enumerate(zip(self.decoder, self.decoder_norms, skips, strict=True)):
            x = norm(stage(x))
            x = F.gelu(doubled(x) if depth else x) + skip
        return doubled(self.head(x))
