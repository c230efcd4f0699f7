"""LightM-UNet: Mamba assists in lightweight UNet for medical image segmentation (ICIC 2024).

Paper: Liao, Zhu, Wang, Pan, Wang, Ma, "LightM-UNet: Mamba Assists in Lightweight UNet for Medical Image Segmentation",
arXiv 2403.05246. Upstream: https://github.com/MrBlankness/LightM-UNet, network file of 36411aa (version "first") and of
d2bed4a (version "revised"), HEAD 6b72e27.

Shapes: B batch, C channels, H and W pixels, L = H W tokens in row-major order; inside Mamba D inner channels (2 C),
N = 16 states, R = ceil(C / 16) rank of the step sizes.

Deviations from the authors' code:
1. The scan is plain PyTorch in the dtype of the input; theirs is a fused CUDA kernel in float32.
2. Sizes that the three poolings do not divide are refused.
3. Eight filters, the constructor's default and the count of Table 1; the authors' trainer uses 32.

Kept as it is there:
* The first file, which the authors call erroneous and replaced twelve days later, is the one that Table 1 counts
  (403,302 parameters); the revised file has 380,812.
* The paper's 0.391 GFLOPs counts nothing inside Mamba.
* It amplifies rounding. With the weights of the reference vectors, relative noise of 1e-15 in the image moves a logit
  by 3e-5, and the float64 reference lies 6e-7 from an 80-bit evaluation: parity holds to 1e-5, not to 1e-9.
* With eight filters the first GroupNorm has one channel per group and cancels the bias before it
  (levels.0.1.layer1.proj.bias): its gradient is rounding.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.mamba import Mamba, draw_step_biases

GROUPS = 8  # of every GroupNorm


class RVMLayer(nn.Module):
    """Residual Vision Mamba layer: (B, C, H, W) to (B, C', H, W); one LayerNorm serves before and after Mamba."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.mamba = Mamba(channels=channels)
        draw_step_biases(self.mamba.dt_proj.bias)
        self.skip_scale = nn.Parameter(torch.ones(1))
        self.proj = nn.Linear(channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)  # (B, L, C)
        mixed = self.mamba(self.norm(tokens)) + self.skip_scale * tokens
        return self.proj(self.norm(mixed)).transpose(1, 2).unflatten(2, x.shape[2:])  # (B, C', H, W)


class ResidualMambaBlock(nn.Module):
    """Two pre-activated RVM layers around an identity, (B, C, H, W) to the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(GROUPS, channels), nn.GroupNorm(GROUPS, channels)
        self.layer1, self.layer2 = RVMLayer(channels, channels), RVMLayer(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.layer1(F.relu(self.norm1(x)))
        return x + self.layer2(F.relu(self.norm2(inner)))


class ResidualUpBlock(nn.Module):
    """Decoder block of the first file: two pre-activated 3x3 convolutions around an identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(GROUPS, channels), nn.GroupNorm(GROUPS, channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.conv1(F.relu(self.norm1(x)))
        return x + self.conv2(F.relu(self.norm2(inner)))


class SeparableUpBlock(nn.Module):
    """Decoder block of the revised file: one depthwise separable convolution and a scaled identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(GROUPS, channels), nn.GroupNorm(GROUPS, channels)
        self.conv = _separable(channels, channels, kernel_size=3, bias=False)
        self.skip_scale = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        inner = self.conv(F.relu(self.norm1(x))) + self.skip_scale * x
        return F.relu(self.norm2(inner))


class LightMUNet(nn.Module):
    """LightM-UNet: images (B, 3, H, W) to logits (B, 1, H, W); H and W are multiples of 8.

    version: "first" (the file that Table 1 counts) or "revised". filters: channels at full resolution, a multiple of 8,
    doubled at each of the other levels. depths: residual Mamba blocks per level. up_depths: decoder blocks per level,
    from the coarsest up. Raises ValueError for another version or size.
    """

    def __init__(
        self,
        *,
        version: str = "first",
        in_channels: int = 3,
        filters: int = 8,
        depths: Sequence[int] = (1, 2, 2, 4),
        up_depths: Sequence[int] = (1, 1, 1),
    ) -> None:
        super().__init__()
        if version not in ("first", "revised"):
            raise ValueError(f'LightM-UNet has the versions "first" and "revised", not {version!r}.')
        widths = [filters * 2**level for level in range(len(depths))]
        up_widths = widths[-2::-1]
        up_block = {"first": ResidualUpBlock, "revised": SeparableUpBlock}[version]
        convolution = {"first": _full, "revised": _separable}[version]
        self.stem = convolution(in_channels, filters, kernel_size=3, bias=False)
        self.levels = nn.ModuleList(
            nn.Sequential(
                nn.Identity() if width == filters else _down(width // 2, width),
                *(ResidualMambaBlock(width) for _ in range(depth)),
            )
            for width, depth in zip(widths, depths, strict=True)
        )
        self.up_samples = nn.ModuleList(map(_up, up_widths))
        self.up_levels = nn.ModuleList(
            nn.Sequential(*(up_block(width) for _ in range(depth)))
            for width, depth in zip(up_widths, up_depths, strict=True)
        )
        self.head_norm = nn.GroupNorm(GROUPS, filters)
        self.head = convolution(filters, 1, kernel_size=1, bias=True)

    def forward(self, images: Tensor) -> Tensor:
        divisor = 2 ** len(self.up_levels)
        if images.shape[-2] % divisor or images.shape[-1] % divisor:
            raise ValueError(
                f"LightM-UNet needs sides that are multiples of {divisor}, not {tuple(images.shape[-2:])}."
            )
        x, skips = self.stem(images), []
        for level in self.levels:
            x = level(x)  # (B, f 2^i, H / 2^i, W / 2^i)
            skips.append(x)
        for up_sample, up_level, skip in zip(self.up_samples, self.up_levels, skips[-2::-1], strict=True):
            x = up_level(up_sample(x) + skip)
        return self.head(F.relu(self.head_norm(x)))


def _down(channels: int, out_channels: int) -> nn.Sequential:
    """An RVM layer that widens at the finer resolution, then pooling."""
    return nn.Sequential(RVMLayer(channels, out_channels), nn.MaxPool2d(2))


def _up(channels: int) -> nn.Sequential:
    """Half the channels at twice the resolution."""
    return nn.Sequential(
        nn.Conv2d(2 * channels, channels, 1, bias=False),
        nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
    )


def _full(channels: int, out_channels: int, *, kernel_size: int, bias: bool) -> nn.Conv2d:
    """Convolution at the same size."""
    return nn.Conv2d(channels, out_channels, kernel_size, padding=kernel_size // 2, bias=bias)


def _separable(channels: int, out_channels: int, *, kernel_size: int, bias: bool) -> nn.Sequential:
    """Depthwise, then pointwise convolution at the same size."""
    return nn.Sequential(
        nn.Conv2d(channels, channels, kernel_size, padding=kernel_size // 2, groups=channels, bias=bias),
        nn.Conv2d(channels, out_channels, 1, bias=bias),
    )
