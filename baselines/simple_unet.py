"""SimpleUNet: one width at every scale, half of it in skips and decoder. arXiv 2025.

Paper: X. Yu et al., "Simple is what you need for efficient and accurate medical image segmentation", arXiv 2506.13415.
Upstream: https://github.com/Frankyu5666666/SimpleUNet, commit 43e3eb6, as the script at the foot of its file builds it:
five stages of width 16, one block each, half of the width in the skips, learned scales on.

Shapes: B batch, C channels, H height, W width, K classes of the head.

Deviations from the authors' code:
1. With two classes, returns one logit, lesion minus background: softmax over two classes is the sigmoid of their
   difference, so nothing is lost. Which channel is the lesion is not in the repository; channel 1 is our choice.
2. Sizes that the four poolings do not divide are refused.

Kept as it is there:
* The head ends in batch norm and ReLU, so no score is below 0. A pixel that both channels clip has a logit of exactly
  0, which counts as lesion, and gets no gradient.
* With one class (`classes=1`) that same ReLU stands before the sigmoid: no probability falls below 0.5, so at the usual
  threshold **every pixel is lesion**, whatever the weights. It is kept for parity and counts (16,298 parameters), and
  not to be trained: its IoU is the share of lesion pixels.
* The published size, "16 KB", is the parameter count (16,308) in thousands; in float32 it takes 65 kB.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ConvNormReLU(nn.Sequential):
    """A convolution without bias, batch norm, ReLU: (B, C, H, W) to (B, O, H, W)."""

    def __init__(self, channels: int, out_channels: int, kernel: int = 3) -> None:
        super().__init__(
            nn.Conv2d(channels, out_channels, kernel, padding=kernel // 2, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
        )


class Fusion(nn.Module):
    """A decoder step: skip (B, C, H, W) and deeper map (B, C, H / 2, W / 2), each channel scaled, to (B, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.skip_scale = nn.Parameter(torch.ones(channels, 1, 1))
        self.deep_scale = nn.Parameter(torch.ones(channels, 1, 1))
        self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        self.fuse = ConvNormReLU(2 * channels, channels)

    def forward(self, skip: Tensor, deep: Tensor) -> Tensor:
        maps = torch.cat([skip * self.skip_scale, self.up(deep * self.deep_scale)], dim=1)  # (B, 2 C, H, W)
        return self.fuse(maps)


class SimpleUNet(nn.Module):
    """Images (B, 3, H, W), H and W multiples of 16, to logits (B, 1, H, W), in training mode too.

    width: channels at every scale, an even number. classes: 2 as released, or 1, whose logits are never below 0.
    Raises ValueError for another height or width, or number of classes. Source: the module's header.
    """

    def __init__(self, *, width: int = 16, classes: int = 2) -> None:
        super().__init__()
        if classes not in (1, 2):
            raise ValueError(f"SimpleUNet has one logit per pixel from 1 or 2 classes, not from {classes}.")
        half = width // 2
        self.encoder = nn.ModuleList(ConvNormReLU(i, width) for i in (3, *[width] * 4))
        self.skips = nn.ModuleList(ConvNormReLU(width, half, kernel=1) for _ in range(4))
        self.bottleneck = ConvNormReLU(width, half)
        self.decoder = nn.ModuleList(Fusion(half) for _ in range(4))
        self.head = ConvNormReLU(half, classes, kernel=1)

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        if height % 16 or width % 16:
            raise ValueError(f"SimpleUNet needs a height and width that are multiples of 16, not {height} x {width}.")
        levels = [self.encoder[0](images)]
        for encode in self.encoder[1:]:  # 1/2 to 1/16 of the input
            levels.append(encode(F.max_pool2d(levels[-1], 2)))
        x = self.bottleneck(levels.pop())
        for fusion, skip in zip(self.decoder, reversed(self.skips), strict=True):  # 1/8 to 1
            x = fusion(skip(levels.pop()), x)
        scores = self.head(x)  # (B, K, H, W), none below 0
        return scores if scores.shape[1] == 1 else scores[:, 1:] - scores[:, :1]
