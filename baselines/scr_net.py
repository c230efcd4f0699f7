"""SCR-Net: semantic calibration and refinement for polyp segmentation (AAAI 2021).

Paper: Wu, Zhong, Wang, Wen, Qin, "Precise Yet Efficient Semantic Calibration and Refinement in ConvNets for Real-time
Polyp Segmentation from Colonoscopy Videos". Upstream: https://github.com/jiafuz/SCR-Net at ba05699.

Shapes: B batch, C channels of the finer map, G channels of the coarser map, H and W pixels of the finer map, h and w
pixels of the coarser map.

Deviations from the authors' code:
1. Theirs does not run: SRM hands a tuple of four equally large tensors to a convolution. Here it returns element 0, the
   gated map. The counts cannot tell which element was meant; this one is the sensible repair.
2. Returns logits; theirs ends in a sigmoid.

Kept as it is there:
* Three 1x1 convolutions (10,864 parameters, here `unused`) are built and never run. The paper's 0.801 M parameters are
  the 800,924 without them; the true sum is 811,788.
* SCM draws its grid from -1 to 1 over the pixel centres, while `grid_sample` puts -1 and 1 on the outer edges, so zero
  flow is not the identity: a map of ones comes out as 0.5 on the edges and 0.25 in the corners.
* Flow is divided by W and H, not by half of them: one unit of flow moves half a pixel.
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


class SCM(nn.Module):
    """Semantic calibration: warps the coarser map onto the finer one along a learned flow.

    low (B, C, H, W) finer, high (B, C, h, w) coarser: to (B, C, H, W).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.project_high = nn.Conv2d(channels, channels, 1, bias=False)
        self.project_low = nn.Conv2d(channels, channels, 1, bias=False)
        self.flow = nn.Conv2d(2 * channels, 2, 3, padding=1, bias=False)

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        height, width = low.shape[-2:]
        coarse = F.interpolate(self.project_high(high), size=(height, width), mode="bilinear", align_corners=False)
        flow = self.flow(torch.cat([coarse, self.project_low(low)], dim=1))  # (B, 2, H, W): along x, along y
        # In float32 whatever the flow's type, as the authors do: the reference outputs contain that rounding.
        x = torch.linspace(-1, 1, width, dtype=torch.float32, device=flow.device).to(flow.dtype)
        y = torch.linspace(-1, 1, height, dtype=torch.float32, device=flow.device).to(flow.dtype).unsqueeze(1)
        grid = torch.stack([x + flow[:, 0] / width, y + flow[:, 1] / height], dim=-1)  # (B, H, W, 2)
        return F.grid_sample(high, grid, align_corners=False)


class SRM(nn.Module):
    """Semantic refinement: gates the finer map by itself plus the coarser map's global context.

    low (B, C, H, W) finer, high (B, G, h, w) coarser: to (B, C, H, W).
    """

    def __init__(self, channels: int, high_channels: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.project = nn.Conv2d(high_channels, channels, 1, bias=False)

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        context = self.project(self.pool(high))  # (B, C, 1, 1)
        return torch.sigmoid(low + context) * low


class SCRNet(nn.Module):
    """(B, 3, H, W) to logits (B, 1, H, W); H and W multiples of 8, at least 16, else ValueError."""

    def __init__(self, *, widths: Sequence[int] = (16, 32, 64, 128), last_width: int = 8, in_channels: int = 3) -> None:
        super().__init__()
        down = [in_channels, *widths, widths[-1]]
        up = [*reversed(widths), last_width]
        steps = list(pairwise(up))  # (128, 64), (64, 32), (32, 16), (16, 8)
        self.encoder = nn.ModuleList(DoubleConv(i, o) for i, o in pairwise(down))
        self.calibration = nn.ModuleList(SCM(i) for i, _ in steps)
        self.decoder = nn.ModuleList(DoubleConv(i, o) for i, o in steps)
        self.refinement = nn.ModuleList(SRM(o, i) for i, o in steps)
        self.side = nn.ModuleList(nn.Conv2d(o, 1, 1) for _, o in steps)
        # Modules, because the paper's counter sees them: 65,536 operations each at 256 px.
        self.up = nn.ModuleList(nn.Upsample(scale_factor=2**k, mode="nearest") for k in range(len(steps) - 1, 0, -1))
        self.unused = nn.ModuleList(nn.Conv2d(i, o, 1) for i, o in steps[:-1])

    def forward(self, images: Tensor) -> Tensor:
        if any(side % 8 or side < 16 for side in images.shape[-2:]):
            raise ValueError(
                f"SCRNet needs sides that are multiples of 8, at least 16, not {tuple(images.shape[-2:])}."
            )
        features = [self.encoder[0](images)]  # level k: (B, C_k, H / 2^k, W / 2^k)
        for encode in self.encoder[1:]:
            features.append(encode(F.max_pool2d(features[-1], 2)))
        high = features.pop()
        sides = []
        for calibrate, decode, refine, side in zip(
            self.calibration, self.decoder, self.refinement, self.side, strict=True
        ):
            low = features.pop()
            decoded = decode(calibrate(low, high) + low)
            sides.append(side(refine(decoded, high)))
            high = decoded
        logits = sides.pop()
        for up, coarse in zip(self.up, sides, strict=True):
            logits = logits + up(coarse)
        return logits
