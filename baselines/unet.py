"""U-Net (Ronneberger, Fischer, Brox; MICCAI 2015, arXiv 1505.04597), in the build nearest to the published counts.

Upstream: none. The comparison names no implementation, and no natural configuration gives its 7.773 M parameters and
13.758 G; this one (base width 32, four levels, transposed convolutions, convolutions with bias, batch norm) misses both
by 0.09 % with 7,765,985 and 13.746 G, and is not tuned to hide that.

Shapes: B images, C channels, H x W pixels of the current level.

Deviations from the paper: 1. base width 32 instead of 64; 2. batch norm; 3. padded convolutions, so that the output is
as large as the input; 4. one logit per pixel. Initial weights are PyTorch's defaults.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class DoubleConv(nn.Sequential):
    """Twice a 3x3 convolution, batch norm, ReLU: (B, C, H, W) to (B, O, H, W)."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__(
            nn.Conv2d(channels, out_channels, 3, padding=1),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
            nn.Conv2d(out_channels, out_channels, 3, padding=1),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
        )


class UNet(nn.Module):
    """(B, 3, H, W) to logits (B, 1, H, W); H and W divisible by 2 ** (len(widths) - 1), 16 by default."""

    def __init__(self, *, widths: Sequence[int] = (32, 64, 128, 256, 512), in_channels: int = 3) -> None:
        super().__init__()
        pairs = list(pairwise(widths))
        self.stem = DoubleConv(in_channels, widths[0])
        self.encoder = nn.ModuleList(DoubleConv(low, high) for low, high in pairs)
        self.up = nn.ModuleList(nn.ConvTranspose2d(high, low, 2, stride=2) for low, high in reversed(pairs))
        self.decoder = nn.ModuleList(DoubleConv(2 * low, low) for low, _ in reversed(pairs))
        self.head = nn.Conv2d(widths[0], 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        features = [self.stem(images)]  # level k: (B, widths[k], H / 2^k, W / 2^k)
        for encode in self.encoder:
            features.append(encode(F.max_pool2d(features[-1], 2)))
        x = features.pop()
        for up, decode in zip(self.up, self.decoder, strict=True):
            x = decode(torch.cat([features.pop(), up(x)], dim=1))
        return self.head(x)
