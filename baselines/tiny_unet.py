"""TinyU-Net: cascaded receptive fields in every block. MICCAI 2024.

Paper: J. Chen, R. Chen, W. Wang, J. Cheng, L. Zhang, L. Chen, "TinyU-Net: Lighter Yet Better U-Net with Cascaded
Multi-Receptive Fields". Upstream: https://github.com/ChenJunren-Lab/TinyU-Net, commit 7314772.

Shapes: B batch, C channels in, O channels out, Q = O / 16 channels of a part, H height, W width.

Deviations from the authors' code:
1. With two classes, their default, returns one logit, lesion minus background: softmax over two classes is the sigmoid
   of their difference, so nothing is lost. Channel 1 is the lesion.
2. Sizes that the four poolings do not divide are refused.

Kept as it is there:
* There is no block below the fourth stage: what the decoder starts from is only pooled.
* The residual of a block, for as many channels out as in, is never active in this network and is left out.
* Batch norms have eps 1e-3 and momentum 0.03: their statistics need about a hundred steps.
* Maps are doubled bicubically, which can overshoot.
* The published 3.33 GFLOPs are twice thop's multiply-adds; the other papers of this suite print those themselves.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PARTS = 8
"""Maps that a block concatenates: one sum, and the seven steps of the cascade."""


class ConvNorm(nn.Sequential):
    """A convolution without bias and batch norm: (B, C, H, W) to (B, O, H, W)."""

    def __init__(self, channels: int, out_channels: int, kernel: int = 1, *, groups: int = 1) -> None:
        super().__init__(
            nn.Conv2d(channels, out_channels, kernel, padding=kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(out_channels, eps=1e-3, momentum=0.03),
        )


class CascadeMultiReceptiveFields(nn.Module):
    """CMRF, (B, C, H, W) to (B, O, H, W): a chain of depthwise 3x3 convolutions, every step of which is an output."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        part = out_channels // (2 * PARTS)
        self.squeeze = ConvNorm(channels, 2 * part)
        self.cascade = nn.ModuleList(ConvNorm(part, part, 3, groups=part) for _ in range(PARTS - 1))
        self.merge = ConvNorm(PARTS * part, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        even, odd = F.gelu(self.squeeze(x)).unflatten(1, (-1, 2)).unbind(dim=2)  # (B, 2 Q, H, W) -> 2 x (B, Q, H, W)
        fields, step = [even + odd], odd
        for convolution in self.cascade:
            step = convolution(step)
            fields.append(step)
        return F.gelu(self.merge(torch.cat(fields, dim=1)))  # (B, O / 2, H, W) -> (B, O, H, W)


class TinyUNet(nn.Module):
    """Images (B, 3, H, W), H and W multiples of 16, to logits (B, 1, H, W), in training mode too.

    widths: channels of the four stages, multiples of 16. classes: 2 as the authors', or 1.
    Raises ValueError for another height or width, or number of classes. Source: the module's header.
    """

    def __init__(self, *, widths: Sequence[int] = (64, 128, 256, 512), classes: int = 2) -> None:
        super().__init__()
        if classes not in (1, 2):
            raise ValueError(f"TinyU-Net has one logit per pixel from 1 or 2 classes, not from {classes}.")
        skips = tuple(reversed(widths))
        self.encoder = nn.ModuleList(CascadeMultiReceptiveFields(i, o) for i, o in pairwise((3, *widths)))
        self.decoder = nn.ModuleList(
            CascadeMultiReceptiveFields(deep + skip, skip) for deep, skip in pairwise((widths[-1], *skips))
        )
        self.head = nn.Conv2d(widths[0], classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        if height % 16 or width % 16:
            raise ValueError(f"TinyU-Net needs a height and width that are multiples of 16, not {height} x {width}.")
        x, skips = images, []
        for block in self.encoder:  # 1 to 1/8 of the input
            skips.append(block(x))
            x = F.max_pool2d(skips[-1], 2)
        for block in self.decoder:  # 1/8 to 1
            up = F.interpolate(x, scale_factor=2, mode="bicubic")
            x = block(torch.cat([up, skips.pop()], dim=1))
        scores = self.head(x)  # (B, classes, H, W)
        return scores if scores.shape[1] == 1 else scores[:, 1:] - scores[:, :1]
