"""VM-UNet: Vision Mamba UNet for medical image segmentation (arXiv 2024).

Paper: Ruan, Li, Xiang, "VM-UNet: Vision Mamba UNet for Medical Image Segmentation", arXiv 2402.02491.
Upstream: https://github.com/JCruan519/VM-UNet at 43c495b, in its configuration for ISIC.

Shapes: B batch, C channels, H and W pixels or tokens per side (channels last inside the network), L = H W tokens;
inside SS2D G = 4 scan directions, D inner channels (2 C), N = 16 states, R = ceil(C / 16) rank of the step sizes.

Deviations from the authors' code:
1. Returns logits; the authors end in a sigmoid when there is one output channel.
2. The scan is plain PyTorch in the dtype of the input; theirs is a CUDA kernel in float32.
3. Sizes that are not multiples of 32 are refused.
4. Stochastic depth draws from a stream of its own (see drop_path.py).
5. Trained from scratch under the suite's recipe; the authors start from ImageNet weights of VMamba-Small in the encoder
   and, mirrored, in the decoder.
6. A one-channel image is not repeated to three channels.

Kept as it is there:
* The output of the patch embedding is never used as a skip, so that the finest decoder stage has none.
* The paper's 4.112 GFLOPs sees neither the projections inside the scan, which are bare parameters, nor the scan.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.blocks import draw_linear
from baselines.drop_path import DropPath
from baselines.mamba import draw_step_biases
from baselines.selective_scan import selective_scan


class SS2D(nn.Module):
    """2D selective scan: (B, H, W, C) to the same, along rows, columns and both reversed."""

    def __init__(self, *, channels: int, states: int = 16, kernel_size: int = 3, expand: int = 2) -> None:
        super().__init__()
        inner, rank, directions = expand * channels, math.ceil(channels / 16), 4
        self.split = (rank, states, states)
        self.in_proj = nn.Linear(channels, 2 * inner, bias=False)
        self.conv2d = nn.Conv2d(inner, inner, kernel_size, padding=kernel_size // 2, groups=inner)
        self.x_proj_weight = nn.Parameter(torch.empty(directions, rank + 2 * states, inner))
        self.dt_projs_weight = nn.Parameter(torch.empty(directions, inner, rank))
        self.dt_projs_bias = nn.Parameter(torch.empty(directions, inner))
        self.A_logs = nn.Parameter(torch.arange(1.0, states + 1).log().repeat(directions * inner, 1))  # (G D, N)
        self.Ds = nn.Parameter(torch.ones(directions * inner))
        self.out_norm = nn.LayerNorm(inner)
        self.out_proj = nn.Linear(inner, channels, bias=False)
        nn.init.uniform_(self.x_proj_weight, -(inner**-0.5), inner**-0.5)
        nn.init.uniform_(self.dt_projs_weight, -(rank**-0.5), rank**-0.5)
        draw_step_biases(self.dt_projs_bias)

    def forward(self, x: Tensor) -> Tensor:
        x, gate = self.in_proj(x).chunk(2, dim=-1)  # (B, H, W, D) each
        x = F.silu(self.conv2d(x.permute(0, 3, 1, 2))).permute(0, 2, 3, 1)  # (B, H, W, D)
        y = self.out_norm(self.scan(x))
        return self.out_proj(y * F.silu(gate))

    def scan(self, x: Tensor) -> Tensor:
        """(B, H, W, D) to the sum over the four directions, (B, H, W, D)."""
        height, width = x.shape[1:3]
        both = torch.stack([x.flatten(1, 2), x.transpose(1, 2).flatten(1, 2)], dim=1)  # (B, 2, L, D): rows, columns
        u = torch.cat([both, both.flip(2)], dim=1)  # (B, G, L, D)
        projected = torch.einsum("bgld,gkd->bglk", u, self.x_proj_weight)  # (B, G, L, R + 2 N)
        rates, b, c = projected.split(self.split, dim=-1)  # (B, G, L, R), twice (B, G, L, N)
        steps = torch.einsum("bglr,gdr->bgld", rates, self.dt_projs_weight) + self.dt_projs_bias.unsqueeze(1)
        a = -self.A_logs.exp().unflatten(0, self.dt_projs_bias.shape)  # (G, D, N)
        d = self.Ds.unflatten(0, self.dt_projs_bias.shape)  # (G, D)
        y = selective_scan(u, F.softplus(steps), a, b, c, d)  # (B, G, L, D)
        rows, columns = (y[:, :2] + y[:, 2:].flip(2)).unbind(1)  # (B, L, D) each
        return rows.unflatten(1, (height, width)) + columns.unflatten(1, (width, height)).transpose(1, 2)


class VSSBlock(nn.Module):
    """Visual state space block: a residual SS2D without an MLP, (B, H, W, C) to the same."""

    def __init__(self, channels: int, *, drop_path: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.ss2d = SS2D(channels=channels)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.drop_path(self.ss2d(self.norm(x)))


class PatchEmbed(nn.Module):
    """Patches of 4 x 4 pixels as tokens: (B, 3, 4 H, 4 W) to (B, H, W, C)."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(in_channels, channels, 4, stride=4)
        self.norm = nn.LayerNorm(channels)

    def forward(self, images: Tensor) -> Tensor:
        return self.norm(self.proj(images).permute(0, 2, 3, 1))


class PatchMerging(nn.Module):
    """Four neighbours become one token: (B, H, W, C) to (B, H / 2, W / 2, 2 C)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * channels)
        self.reduction = nn.Linear(4 * channels, 2 * channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        # Order (row, column): (0, 0), (1, 0), (0, 1), (1, 1).
        neighbours = [x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        return self.reduction(self.norm(torch.cat(neighbours, dim=-1)))  # from (B, H / 2, W / 2, 4 C)


class PatchExpand(nn.Module):
    """One token becomes S x S: (B, H, W, C) to (B, S H, S W, C')."""

    def __init__(self, channels: int, out_channels: int, *, scale: int = 2) -> None:
        super().__init__()
        self.scale = scale
        self.expand = nn.Linear(channels, scale**2 * out_channels, bias=False)
        self.norm = nn.LayerNorm(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.expand(x).unflatten(-1, (self.scale, self.scale, -1))  # (B, H, W, S, S, C')
        x = x.transpose(2, 3).flatten(3, 4).flatten(1, 2)  # (B, H, S, W S, C'), then (B, H S, W S, C')
        return self.norm(x)


class VMUNet(nn.Module):
    """VM-UNet: images (B, 3, H, W) to logits (B, 1, H, W); H and W are multiples of 32.

    dims: widths of the encoder stages, each twice the one before; the decoder mirrors them. depths, decoder_depths:
    blocks per stage, in order of computation. drop_path: largest rate of the stochastic depth, at the network's centre.
    Raises ValueError for other sizes.
    """

    def __init__(
        self,
        *,
        in_channels: int = 3,
        dims: Sequence[int] = (96, 192, 384, 768),
        depths: Sequence[int] = (2, 2, 2, 2),
        decoder_depths: Sequence[int] = (2, 2, 2, 1),
        drop_path: float = 0.2,
    ) -> None:
        super().__init__()
        self.divisor = 4 * 2 ** (len(dims) - 1)
        widths = list(reversed(dims))
        self.downsample = nn.ModuleList([PatchEmbed(in_channels, dims[0]), *map(PatchMerging, dims[:-1])])
        self.encoder = _stages(dims, depths, _rates(drop_path, sum(depths)))
        self.decoder = _stages(widths, decoder_depths, _rates(drop_path, sum(decoder_depths))[::-1])
        self.upsample = nn.ModuleList(PatchExpand(2 * width, width) for width in widths[1:])
        self.final_expand = PatchExpand(dims[0], dims[0] // 4, scale=4)
        self.head = nn.Conv2d(dims[0] // 4, 1, 1)
        self.apply(draw_linear)  # convolutions keep PyTorch's default

    def forward(self, images: Tensor) -> Tensor:
        if images.shape[-2] % self.divisor or images.shape[-1] % self.divisor:
            sides = tuple(images.shape[-2:])
            raise ValueError(f"VM-UNet needs sides that are multiples of {self.divisor}, not {sides}.")
        x, stage_inputs = images, []
        for downsample, stage in zip(self.downsample, self.encoder, strict=True):
            x = downsample(x)  # (B, H / (4 2^i), W / (4 2^i), C 2^i)
            stage_inputs.append(x)
            x = stage(x)
        skips = stage_inputs[:0:-1]  # from the coarsest; the patch embedding is left out
        first, *stages = self.decoder
        x = first(x)
        for upsample, stage, skip in zip(self.upsample, stages, skips, strict=True):
            x = stage(upsample(x + skip))
        return self.head(self.final_expand(x).permute(0, 3, 1, 2))


def _rates(largest: float, blocks: int) -> list[float]:
    return [largest * block / (blocks - 1) for block in range(blocks)]


def _stages(dims: Sequence[int], depths: Sequence[int], rates: Sequence[float]) -> nn.ModuleList:
    remaining = iter(rates)
    return nn.ModuleList(
        nn.Sequential(*(VSSBlock(width, drop_path=next(remaining)) for _ in range(depth)))
        for width, depth in zip(dims, depths, strict=True)
    )
