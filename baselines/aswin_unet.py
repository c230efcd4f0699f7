"""Attention Swin U-Net (ASwin U-Net): cross-contextual attention for skin lesion segmentation (ISBI 2023).

Paper: Aghdam, Azad, Zarvani, Merhof, "Attention Swin U-Net: Cross-Contextual Attention Mechanism for Skin Lesion
Segmentation", arXiv 2210.16898. Upstream: https://github.com/NITR098/AttSwinUNet at 4b14f37, in its cross-contextual
mode.

Shapes: B batch, C channels, H and W rows and columns of the token grid, L = H W tokens in row-major order, M window
side, T = M M tokens of a window, N windows of an image, A heads, E head width.

Deviations from the authors' code:
1. One output; theirs always builds nine, because the number of classes never reaches its decoder.
2. Their decoder cannot be constructed in the cross-contextual mode, and its last expansion asserts 224 px; here it
   runs.
3. Their "spatial attention" adds the encoder's attention maps to the decoder's after the output is computed, then
   throws them away: switching it off changes their output by exactly 0. There is none here.
4. Grids smaller than the window are attended as one window, with the offsets that occur read from the middle of the
   bias table, so that one set of weights serves every legal size; theirs is built for one size.

Kept as it is there:
* The cross-contextual module replaces one token of each branch, the top left one, by the branch's attended mean: 5.5 M
  parameters act on the picture through that token.
* Dead parameters, here `unused_*`: an outer patch embedding, built by mistake for 4 channels (6,432), and a norm in the
  decoder (1,536). With them the count is 46,913,892 (paper 46.910 M), without them 46,905,924.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from baselines.blocks import draw_linear
from baselines.drop_path import DropPath


def cut(tokens: Tensor, grid: tuple[int, int], side: int) -> Tensor:
    """Tokens (B, L, C) of a grid (H, W) to its windows (B * N, T, C)."""
    batch, _, channels = tokens.shape
    rows, columns = grid[0] // side, grid[1] // side
    x = tokens.reshape(batch, rows, side, columns, side, channels).transpose(2, 3)
    return x.reshape(batch * rows * columns, side**2, channels)


def join(windows: Tensor, grid: tuple[int, int], side: int) -> Tensor:
    """Windows (B * N, T, C) back to the tokens (B, L, C) of their grid (H, W)."""
    channels = windows.shape[-1]
    x = windows.reshape(-1, grid[0] // side, grid[1] // side, side, side, channels).transpose(2, 3)
    return x.reshape(-1, grid[0] * grid[1], channels)


def rolled(tokens: Tensor, grid: tuple[int, int], step: int) -> Tensor:
    """Tokens (B, L, C) with their grid (H, W) rolled by `step` along both axes."""
    return tokens.unflatten(1, grid).roll((step, step), dims=(1, 2)).flatten(1, 2)


class Windows(NamedTuple):
    """How a grid of H x W tokens is cut into windows of M x M, plainly or shifted: the constants of a stage."""

    grid: tuple[int, int]
    side: int
    shift: int
    offsets: Tensor  # (T, T): row of the bias table for each pair of tokens of a window
    regions: Tensor  # (N, 1, T, T): -100 for pairs that only the cyclic shift made neighbours, else 0


def windows_of(grid: tuple[int, int], window: int, like: Tensor) -> Windows:
    """The windows of a grid (H, W) for bias tables of side `window`; constants of the device and type of `like`."""
    side = min(window, *grid)
    shift = window // 2 if min(grid) > window else 0
    steps = torch.arange(side, device=like.device)
    steps = steps.unsqueeze(1) - steps + window - 1  # (M, M): window - 1 stands for no offset
    offsets = steps[:, None, :, None] * (2 * window - 1) + steps[None, :, None, :]  # (M, M, M, M)

    def bands(length: int) -> Tensor:
        places = torch.arange(length, device=like.device)
        return (places >= length - side).int() + (places >= length - shift).int()

    labels = 3 * bands(grid[0]).unsqueeze(1) + bands(grid[1])  # (H, W)
    labels = cut(labels.reshape(1, -1, 1), grid, side).squeeze(-1)  # (N, T)
    regions = -100 * (labels.unsqueeze(1) != labels.unsqueeze(2)).to(like.dtype)
    return Windows(grid, side, shift, offsets.reshape(side**2, side**2), regions.unsqueeze(1))


class WindowAttention(nn.Module):
    """Self-attention inside windows with relative position bias: (B, L, C) to (B, L, C)."""

    def __init__(self, channels: int, heads: int, window: int, shifted: bool) -> None:
        super().__init__()
        self.heads, self.shifted = heads, shifted
        self.bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        self.qkv = nn.Linear(channels, 3 * channels)
        self.softmax = nn.Softmax(dim=-1)  # a module, because the paper's counter sees it
        self.proj = nn.Linear(channels, channels)
        nn.init.trunc_normal_(self.bias_table, std=0.02)

    def forward(self, tokens: Tensor, windows: Windows) -> Tensor:
        shift = windows.shift if self.shifted else 0
        tokens = rolled(tokens, windows.grid, -shift) if shift else tokens
        x = cut(tokens, windows.grid, windows.side)  # (B * N, T, C)
        qkv = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # (3, B * N, A, T, E)
        query, key, value = qkv.unbind(0)
        scores = query * query.shape[-1] ** -0.5 @ key.transpose(-2, -1)  # (B * N, A, T, T)
        scores = scores + self.bias_table[windows.offsets].permute(2, 0, 1)
        if shift:
            count = windows.regions.shape[0]
            scores = (scores.unflatten(0, (-1, count)) + windows.regions).flatten(0, 1)
        x = (self.softmax(scores) @ value).transpose(1, 2).flatten(2)  # (B * N, T, C)
        tokens = join(self.proj(x), windows.grid, windows.side)
        return rolled(tokens, windows.grid, shift) if shift else tokens


class SwinBlock(nn.Module):
    """Window attention and MLP, each behind a norm and a residual: (B, L, C) to (B, L, C)."""

    def __init__(self, channels: int, heads: int, window: int, shifted: bool, drop_path: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels)
        self.attention = WindowAttention(channels, heads, window, shifted)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = nn.Sequential(nn.Linear(channels, 4 * channels), nn.GELU(), nn.Linear(4 * channels, channels))
        self.drop_path = DropPath(drop_path)

    def forward(self, tokens: Tensor, windows: Windows) -> Tensor:
        tokens = tokens + self.drop_path(self.attention(self.norm1(tokens), windows))
        return tokens + self.drop_path(self.mlp(self.norm2(tokens)))


class SwinStage(nn.Module):
    """Swin blocks, every second one shifted, at one grid: (B, L, C) to (B, L, C)."""

    def __init__(self, channels: int, heads: int, window: int, drop_paths: Sequence[float]) -> None:
        super().__init__()
        self.window = window
        self.blocks = nn.ModuleList(
            SwinBlock(channels, heads, window, index % 2 == 1, rate) for index, rate in enumerate(drop_paths)
        )

    def forward(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        windows = windows_of(grid, self.window, tokens)
        for block in self.blocks:
            tokens = block(tokens, windows)
        return tokens


class PatchEmbedding(nn.Module):
    """4 x 4 pixels to one token: (B, I, 4 H, 4 W) to (B, L, C)."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(in_channels, channels, 4, stride=4)
        self.norm = nn.LayerNorm(channels)

    def forward(self, images: Tensor) -> Tensor:
        return self.norm(self.proj(images).flatten(2).transpose(1, 2))


class PatchMerging(nn.Module):
    """Four neighbours to one token: (B, H W, C) to (B, H W / 4, 2 C)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * channels)
        self.reduction = nn.Linear(4 * channels, 2 * channels, bias=False)

    def forward(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        x = tokens.unflatten(1, (grid[0] // 2, 2, grid[1] // 2, 2))  # (B, H / 2, 2, W / 2, 2, C)
        x = x.permute(0, 1, 3, 4, 2, 5)  # (B, H / 2, W / 2, column parity, row parity, C): rows vary first
        return self.reduction(self.norm(x.flatten(3).flatten(1, 2)))


class PatchExpanding(nn.Module):
    """One token to `scale` x `scale` tokens of C' channels: (B, H W, C) to (B, scale^2 H W, C')."""

    def __init__(self, channels: int, out_channels: int, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.expand = nn.Linear(channels, scale**2 * out_channels, bias=False)
        self.norm = nn.LayerNorm(out_channels)

    def forward(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        x = self.expand(tokens).unflatten(2, (self.scale, self.scale, -1))  # (B, H W, scale, scale, C')
        x = x.unflatten(1, grid).transpose(2, 3)  # (B, H, scale, W, scale, C')
        return self.norm(x.flatten(1, 4))


class CrossAttention(nn.Module):
    """One branch's class token looks at itself and at the other branch: (B, 1, C) and (B, L - 1, C) to (B, 1, C)."""

    def __init__(self, channels: int, heads: int, head_width: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(channels)
        self.to_q = nn.Linear(channels, heads * head_width, bias=False)
        self.to_kv = nn.Linear(channels, 2 * heads * head_width, bias=False)
        self.softmax = nn.Softmax(dim=-1)
        self.to_out = nn.Linear(heads * head_width, channels)

    def forward(self, summary: Tensor, others: Tensor) -> Tensor:
        summary = self.norm(summary)
        query = self.to_q(summary).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, A, 1, E)
        both = self.to_kv(torch.cat([summary, others], dim=1))  # (B, L, 2 A E)
        key, value = both.unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)  # (B, A, L, E) each
        scores = query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5  # (B, A, 1, L)
        return self.to_out((self.softmax(scores) @ value).transpose(1, 2).flatten(2))


class CrossContextual(nn.Module):
    """Cross-contextual attention between decoder and skip: (B, L, C) twice to (B, L, C) twice.

    The mean token of each branch attends to the other branch and takes the place of its own branch's first token.
    """

    def __init__(self, channels: int, depth: int, heads: int, head_width: int) -> None:
        super().__init__()
        self.decoder = nn.ModuleList(CrossAttention(channels, heads, head_width) for _ in range(depth))
        self.skip = nn.ModuleList(CrossAttention(channels, heads, head_width) for _ in range(depth))

    def forward(self, decoded: Tensor, skip: Tensor) -> tuple[Tensor, Tensor]:
        of_decoder, of_skip = decoded.mean(dim=1, keepdim=True), skip.mean(dim=1, keepdim=True)  # (B, 1, C) each
        decoded, skip = decoded[:, 1:], skip[:, 1:]
        for attend_skip, attend_decoder in zip(self.decoder, self.skip, strict=True):
            of_decoder = of_decoder + attend_skip(of_decoder, skip)
            of_skip = of_skip + attend_decoder(of_skip, decoded)
        return torch.cat([of_decoder, decoded], dim=1), torch.cat([of_skip, skip], dim=1)


class Encoder(nn.Module):
    """Swin Transformer: images to the tokens entering each stage (the skips) and those leaving the last one."""

    def __init__(
        self, in_channels: int, widths: Sequence[int], heads: Sequence[int], window: int, rates: list[list[float]]
    ) -> None:
        super().__init__()
        self.patch_embed = PatchEmbedding(in_channels, widths[0])
        self.stages = nn.ModuleList(
            SwinStage(width, head, window, rate) for width, head, rate in zip(widths, heads, rates, strict=True)
        )
        self.merging = nn.ModuleList(PatchMerging(width) for width in widths[:-1])
        self.norm = nn.LayerNorm(widths[-1])

    def forward(self, images: Tensor, grids: Sequence[tuple[int, int]]) -> tuple[list[Tensor], Tensor]:
        tokens = self.patch_embed(images)
        skips = []
        for level, stage in enumerate(self.stages):
            if level:
                tokens = self.merging[level - 1](tokens, grids[level - 1])
            skips.append(tokens)  # level k: (B, H W / 4^k, 2^k C)
            tokens = stage(tokens, grids[level])
        return skips[:-1], self.norm(tokens)


class DecoderStep(nn.Module):
    """Cross-contextual attention with the skip, fusion and Swin blocks: (B, L, C) and (B, L, C) to (B, L, C)."""

    def __init__(self, cross: CrossContextual, channels: int, stage: SwinStage) -> None:
        super().__init__()
        self.cross = cross
        self.fuse = nn.Linear(2 * channels, channels)
        self.stage = stage

    def forward(self, tokens: Tensor, skip: Tensor, grid: tuple[int, int]) -> Tensor:
        tokens = self.fuse(torch.cat(self.cross(tokens, skip), dim=-1))
        return self.stage(tokens, grid)


class ASwinUNet(nn.Module):
    """(B, 3, H, W) to logits (B, 1, H, W).

    H and W: every grid at 1/4, 1/8, 1/16, 1/32 must be no larger than the window or a multiple of it, else ValueError;
    with window 8 that is 32, 64, 128 or a multiple of 256.
    """

    def __init__(
        self,
        *,
        width: int = 96,
        depths: Sequence[int] = (2, 2, 6, 2),
        heads: Sequence[int] = (3, 6, 12, 24),
        window: int = 8,
        cross_depth: int = 2,
        cross_heads: int = 8,
        cross_head_width: int = 64,
        drop_path: float = 0.1,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        self.window = window
        widths = [width * 2**level for level in range(len(depths))]
        rates = torch.linspace(0, drop_path, sum(depths), device="cpu").tolist()
        slices = [rates[sum(depths[:level]) : sum(depths[: level + 1])] for level in range(len(depths))]
        self.encoder = Encoder(in_channels, widths, heads, window, slices)
        levels = list(reversed(range(len(depths) - 1)))
        self.expand = nn.ModuleList(PatchExpanding(2 * widths[k], widths[k], 2) for k in levels)
        self.decoder = nn.ModuleList(
            DecoderStep(
                CrossContextual(widths[k], cross_depth, cross_heads, cross_head_width),
                widths[k],
                SwinStage(widths[k], heads[k], window, slices[k]),
            )
            for k in levels
        )
        self.norm = nn.LayerNorm(width)
        self.final_expand = PatchExpanding(width, width, 4)
        self.head = nn.Conv2d(width, 1, 1, bias=False)
        self.unused_patch_embed = PatchEmbedding(4, width)
        self.unused_norm = nn.LayerNorm(widths[-1])
        self.apply(draw_linear)

    def _fits(self, side: int) -> bool:
        grids = [side // 4 // 2**level for level in range(len(self.encoder.stages))]
        return side % (4 * 2 ** (len(grids) - 1)) == 0 and all(g <= self.window or g % self.window == 0 for g in grids)

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        if not (self._fits(height) and self._fits(width)):
            legal = ", ".join(str(side) for side in range(32, 1025, 32) if self._fits(side))
            raise ValueError(f"ASwinUNet's windows allow sides of {legal} px and so on, not {height} x {width}.")
        grids = [(height // 4 // 2**level, width // 4 // 2**level) for level in range(len(self.encoder.stages))]
        skips, tokens = self.encoder(images, grids)
        deeper = grids.pop()
        for expand, step in zip(self.expand, self.decoder, strict=True):
            tokens = expand(tokens, deeper)
            deeper = grids.pop()
            tokens = step(tokens, skips.pop(), deeper)
        tokens = self.final_expand(self.norm(tokens), deeper)  # (B, 16 L, C): one per pixel
        return self.head(tokens.transpose(1, 2).unflatten(2, (height, width)))
