"""UltraLBM-UNet: ultralight bidirectional Mamba for skin lesion segmentation (arXiv 2025).

Paper: Fan, Jiang, Liu, Xue, Lv, Zhang, Liu, "UltraLBM-UNet: Ultralight Bidirectional Mamba-based Model for Skin Lesion
Segmentation", arXiv 2512.21584. Upstream: https://github.com/LinLinLin-X/UltraLBM-UNet at 0a99c43.

Shapes: B batch, C channels, H and W pixels, L = H W tokens in row-major order, P = 4 parts of the channels.

Deviations from the authors' code:
1. Returns logits; the authors end in a sigmoid.
2. The scan is plain PyTorch in the dtype of the input; theirs is a CUDA kernel in float32.
3. Both directions of both scanned parts go through the shared Mamba in one call, as a batch four times as large.
4. Sizes that the five poolings do not divide are refused.

Kept as it is there:
* "Bidirectional" turns the channels round and not the tokens: both scans run over the pixels in the same order.
* The fourth part of a block is only scaled, by 1 + its skip scale. One LayerNorm serves before and after the mixing.
* One learned number scales all five skips.
* Its initialisation pass reaches inside Mamba: the biases of the step sizes become 0, so that they start at
  softplus(0) = 0.693 and not log-uniform in 0.001 to 0.1.
* The paper's 0.034 M is the true sum, 34,166. Its 0.060 G is thop's count where Mamba runs without fused kernels: the
  first projection and that of the step sizes are bare products there, and the scan is no module.
"""

from abc import abstractmethod
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.blocks import conv3x3, doubled, draw_by_fan_out
from baselines.mamba import Mamba

PARTS = 4


class Block(nn.Module):
    """Norm, mixing with a scaled skip, the same norm again, projection: (B, C, H, W) to (B, C', H, W)."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.skip_scale = nn.Parameter(torch.ones(1))
        self.proj = nn.Linear(channels, out_channels)

    @abstractmethod
    def mixed(self, tokens: Tensor, size: tuple[int, int]) -> Tensor:
        """Tokens (B, L, C) of an image of H x W pixels, mixed, in the same shape."""

    def forward(self, x: Tensor) -> Tensor:
        size = (x.shape[2], x.shape[3])
        tokens = self.norm(x.flatten(2).transpose(1, 2))  # (B, L, C)
        merged = self.mixed(tokens, size) + self.skip_scale * tokens
        return self.proj(self.norm(merged)).transpose(1, 2).unflatten(2, size)  # (B, C', H, W)


class LocalBlock(Block):
    """Three parts of the channels go through a separable convolution each."""

    def __init__(self, channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__(channels, out_channels)
        part = channels // PARTS
        self.convs = nn.ModuleList(_separable(part, kernel_size) for _ in range(PARTS - 1))

    def mixed(self, tokens: Tensor, size: tuple[int, int]) -> Tensor:
        *parts, last = tokens.transpose(1, 2).unflatten(2, size).chunk(PARTS, dim=1)  # (B, C / P, H, W) each
        local = [conv(part) for conv, part in zip(self.convs, parts, strict=True)]
        return torch.cat([*local, last], dim=1).flatten(2).transpose(1, 2)


class GlobalBlock(Block):
    """Two parts of the channels are scanned by one Mamba, a third goes through a separable convolution."""

    def __init__(self, channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__(channels, out_channels)
        part = channels // PARTS
        self.mamba = Mamba(channels=part)
        self.conv = _separable(part, kernel_size)

    def mixed(self, tokens: Tensor, size: tuple[int, int]) -> Tensor:
        first, second, third, last = tokens.chunk(PARTS, dim=2)  # (B, L, C / P) each
        local = self.conv(third.transpose(1, 2).unflatten(2, size)).flatten(2).transpose(1, 2)
        both = torch.stack([first, second])  # (2, B, L, C / P)
        ways = torch.stack([both, both.flip(-1)])  # (2, 2, B, L, C / P): the channels turned round
        there, back = self.mamba(ways.flatten(0, 2)).unflatten(0, ways.shape[:3])
        return torch.cat([*(there + back.flip(-1)), local, last], dim=2)


class UltraLBMUNet(nn.Module):
    """UltraLBM-UNet: images (B, 3, H, W) to logits (B, 1, H, W); H and W are multiples of 32.

    channels: widths of the six encoder stages; half of them make the authors' distilled student by its counts, 10,956
    parameters. groups: of every GroupNorm. Raises ValueError for other sizes.
    """

    def __init__(
        self, *, in_channels: int = 3, channels: Sequence[int] = (8, 16, 24, 32, 48, 64), groups: int = 4
    ) -> None:
        super().__init__()
        c1, c2, c3, c4, c5, c6 = channels
        skips = (c1, c2, c3, c4, c5)
        convolutions = [conv3x3(in_channels, c1), conv3x3(c1, c2), conv3x3(c2, c3)]
        self.encoder = nn.ModuleList([*convolutions, LocalBlock(c3, c4, 3), GlobalBlock(c4, c5, 5)])
        self.encoder_norms = nn.ModuleList(nn.GroupNorm(groups, width) for width in skips)
        self.bottleneck = GlobalBlock(c5, c6, 7)
        blocks = [GlobalBlock(c6, c5, 7), GlobalBlock(c5, c4, 5), LocalBlock(c4, c3, 3)]
        self.decoder = nn.ModuleList([*blocks, conv3x3(c3, c2), conv3x3(c2, c1)])
        self.decoder_norms = nn.ModuleList(nn.GroupNorm(groups, width) for width in reversed(skips))
        self.skip_scale = nn.Parameter(torch.tensor(1.0))
        self.head = nn.Conv2d(c1, 1, 1)
        self.apply(draw_by_fan_out)  # as the authors', over the modules inside Mamba too

    def forward(self, images: Tensor) -> Tensor:
        if images.shape[-2] % 32 or images.shape[-1] % 32:
            raise ValueError(f"UltraLBM-UNet needs sides that are multiples of 32, not {tuple(images.shape[-2:])}.")
        x, skips = images, []
        for stage, norm in zip(self.encoder, self.encoder_norms, strict=True):
            x = F.gelu(F.max_pool2d(norm(stage(x)), 2))  # (B, C_i, H / 2^i, W / 2^i)
            skips.append(x)
        x = F.gelu(self.bottleneck(x))
        for depth, (stage, norm) in enumerate(zip(self.decoder, self.decoder_norms, strict=True)):
            x = norm(stage(x))
            x = F.gelu(doubled(x) if depth else x) + self.skip_scale * skips.pop()
        return doubled(self.head(x))


def _separable(channels: int, kernel_size: int) -> nn.Sequential:
    """Depthwise, then pointwise convolution at the same size, each with batch norm and GELU and without bias."""
    depthwise = nn.Conv2d(channels, channels, kernel_size, padding=kernel_size // 2, groups=channels, bias=False)
    pointwise = nn.Conv2d(channels, channels, 1, bias=False)
    norms = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)
    return nn.Sequential(depthwise, norms[0], nn.GELU(), pointwise, norms[1], nn.GELU())
