"""MambaLiteUNet: cross-gated adaptive feature fusion for robust skin lesion segmentation (arXiv 2026).

Paper: Rahman, Jung, Hammond, "MambaLiteUNet: Cross-Gated Adaptive Feature Fusion for Robust Skin Lesion Segmentation",
arXiv 2604.20286. Upstream: https://github.com/maklachur/MambaLiteUNet at 09d6f25.

Shapes: B batch, C channels, H and W pixels, L = H W tokens in row-major order, P = 4 parts of the channels, A = 8 heads
of the attention with E = C / A channels each.

Deviations from the authors' code:
1. Returns logits; the authors end in a sigmoid.
2. The scan is plain PyTorch in the dtype of the input; theirs is a fused CUDA kernel in float32.
3. The attention is written out, in place of `nn.MultiheadAttention` and its special paths in evaluation.
4. Sides that the five poolings do not divide are refused by name; the authors' file refuses what is not square.

Kept as it is there:
* The paper's 0.494 M and 0.33 G are what thop sees: nothing of the 56 Mambas, the six attentions, GroupNorm and bare
  tensors. The true sum is 910,627, that of the released checkpoints too.
* Convolutions over tokens run along the rows, so that the end of a row is a neighbour of the start of the next.
* A scale and a shift behind the normalisation of each fusion block are built and never read (992 numbers in all).
* The closing norm of a fusion block is its first norm again.
* All 72 convolutions of the gates have a bias that the batch norm behind it cancels: its gradient is rounding.
* Its initialisation pass reaches inside Mamba: the biases of the step sizes become 0, so that they start at
  softplus(0) = 0.693 and not log-uniform in 0.001 to 0.1. The attention's first projection is left out of that pass.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.blocks import conv3x3, doubled, draw_linear
from baselines.mamba import Mamba

PARTS = 4
HEADS = 8


class SelfAttention(nn.Module):
    """Multi-head attention over all tokens: (B, L, C) to (B, L, C)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.in_proj_weight = nn.Parameter(nn.init.xavier_uniform_(torch.empty(3 * channels, channels)))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * channels))
        self.out_proj = nn.Linear(channels, channels)

    def forward(self, tokens: Tensor) -> Tensor:
        projected = F.linear(tokens, self.in_proj_weight, self.in_proj_bias)  # (B, L, 3 C)
        query, key, value = projected.unflatten(2, (3, HEADS, -1)).permute(2, 0, 3, 1, 4).unbind()  # (B, A, L, E) each
        scores = query * query.shape[-1] ** -0.5 @ key.transpose(-2, -1)  # (B, A, L, L)
        return self.out_proj((scores.softmax(dim=-1) @ value).transpose(1, 2).flatten(2))


class LocalGlobalMixing(nn.Module):
    """A convolution over neighbouring tokens beside attention over all: (B, L, C) to (B, L, C)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.local = _neighbours(channels, channels, groups=channels)
        self.attention = SelfAttention(channels)
        self.merge = nn.Linear(2 * channels, channels)
        self.norm = nn.LayerNorm(channels)
        self.unused_scale = nn.Parameter(torch.ones(channels))
        self.unused_shift = nn.Parameter(torch.zeros(channels))
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)

    def forward(self, tokens: Tensor, size: tuple[int, int]) -> Tensor:
        local = self.local(tokens.transpose(1, 2)).transpose(1, 2)
        merged = self.merge(torch.cat([local, self.attention(tokens)], dim=2))  # (B, L, C)
        pixels = F.gelu(self.norm(merged)).transpose(1, 2).unflatten(2, size)  # (B, C, H, W)
        return self.conv(standardised(pixels)).flatten(2).transpose(1, 2)


class MambaFusion(nn.Module):
    """Adaptive multi-branch Mamba fusion (AMF): (B, C, H, W) to (B, C', H, W).

    Every part of the channels has a Mamba of its own, and every token a gate for each part.
    """

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.mambas = nn.ModuleList(Mamba(channels=channels // PARTS) for _ in range(PARTS))
        self.skip_scale = nn.Parameter(torch.ones(1))
        self.gate = nn.Sequential(_neighbours(channels, PARTS, groups=PARTS), nn.Conv1d(PARTS, PARTS, 1))
        self.refine = nn.Sequential(_neighbours(channels, channels, groups=channels), nn.Conv1d(channels, channels, 1))
        wide = 2 * channels
        self.merge = nn.Sequential(_neighbours(wide, wide, groups=wide), nn.Conv1d(wide, channels, 1))
        self.mixing = LocalGlobalMixing(channels)
        self.proj = nn.Linear(channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        size, x = (x.shape[2], x.shape[3]), x.flatten(2)  # (B, C, L)
        tokens = self.norm(x.transpose(1, 2))  # (B, L, C)
        parts = zip(self.mambas, tokens.chunk(PARTS, dim=2), strict=True)
        scanned = torch.cat([mamba(part) for mamba, part in parts], dim=2) + self.skip_scale * tokens
        branches = scanned.transpose(1, 2)  # (B, C, L)
        gates = self.gate(branches).sigmoid().unsqueeze(2)  # (B, P, 1, L)
        gated = (branches.unflatten(1, (PARTS, -1)) * gates).flatten(1, 2)
        refined = gated + self.refine(gated)
        fused = x + self.merge(torch.cat([x, refined], dim=1))  # (B, C, L)
        mixed = self.mixing(fused.transpose(1, 2), size)  # (B, L, C)
        return self.proj(self.norm(mixed)).transpose(1, 2).unflatten(2, size)  # (B, C', H, W)


class CrossGate(nn.Module):
    """One part of the channels of decoder and skip, (B, C / P, H, W) each: each is gated by the other; (B, F, H, W)."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.mamba_decoder, self.mamba_skip = Mamba(channels=channels), Mamba(channels=channels)
        self.gate_decoder, self.gate_skip = _depthwise(channels), _depthwise(channels)
        self.project = nn.Sequential(*_depthwise(channels), *_activated(nn.Conv2d(channels, out_channels, 1)))

    def forward(self, decoder: Tensor, skip: Tensor) -> Tensor:
        decoder, skip = scanned(decoder, self.mamba_decoder), scanned(skip, self.mamba_skip)
        gated_skip = skip * self.gate_decoder(decoder).sigmoid()
        gated_decoder = decoder * self.gate_skip(skip).sigmoid()
        return self.project(gated_skip + gated_decoder)


class CrossGatedAttention(nn.Module):
    """Cross-gated attention (CGA): the skip (B, C, H, W) under a map in (0, 1) from it and the decoder's features."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        part, inner = channels // PARTS, channels // 2
        self.branches = nn.ModuleList(CrossGate(part, inner) for _ in range(PARTS))
        self.combine = nn.Sequential(
            *_activated(nn.Conv2d(PARTS * inner, inner, 3, padding=1)), nn.Conv2d(inner, 1, 1), nn.BatchNorm2d(1)
        )

    def forward(self, decoder: Tensor, skip: Tensor) -> Tensor:
        parts = zip(self.branches, decoder.chunk(PARTS, dim=1), skip.chunk(PARTS, dim=1), strict=True)
        merged = torch.cat([branch(*each) for branch, *each in parts], dim=1)  # (B, P F, H, W)
        return skip * self.combine(merged).sigmoid()


class MambaLiteUNet(nn.Module):
    """MambaLiteUNet: square images (B, 3, H, H) to logits (B, 1, H, H); H is a multiple of 32.

    channels: widths of the six encoder stages. groups: of every GroupNorm. Raises ValueError for other sizes.
    """

    def __init__(
        self, *, in_channels: int = 3, channels: Sequence[int] = (16, 32, 48, 64, 96, 128), groups: int = 4
    ) -> None:
        super().__init__()
        c1, c2, c3, c4, c5, c6 = channels
        skips = (c1, c2, c3, c4, c5)
        convolutions = [conv3x3(in_channels, c1), conv3x3(c1, c2), conv3x3(c2, c3)]
        self.encoder = nn.ModuleList([*convolutions, MambaFusion(c3, c4), MambaFusion(c4, c5)])
        self.encoder_norms = nn.ModuleList(nn.GroupNorm(groups, width) for width in skips)
        self.bottleneck = MambaFusion(c5, c6)
        fusions = [MambaFusion(c6, c5), MambaFusion(c5, c4), MambaFusion(c4, c3)]
        self.decoder = nn.ModuleList([*fusions, conv3x3(c3, c2), conv3x3(c2, c1)])
        self.decoder_norms = nn.ModuleList(nn.GroupNorm(groups, width) for width in reversed(skips))
        self.gates = nn.ModuleList(CrossGatedAttention(width) for width in (c5, c4, c3, c2))  # the last skip has none
        self.head = nn.Conv2d(c1, 1, 1)
        self.apply(_draw)

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        if height != width or height % 32:
            raise ValueError(f"MambaLiteUNet needs square images, sides multiples of 32, not {(height, width)}.")
        x, skips = images, []
        for stage, norm in zip(self.encoder, self.encoder_norms, strict=True):
            x = F.gelu(F.max_pool2d(norm(stage(x)), 2))  # (B, C_i, H / 2^i, W / 2^i)
            skips.append(x)
        x = F.gelu(self.bottleneck(x))
        for depth, (stage, norm) in enumerate(zip(self.decoder, self.decoder_norms, strict=True)):
            x, skip = F.gelu(norm(stage(x))), skips.pop()
            x = doubled(x) if depth else x
            x = x + (self.gates[depth](x, skip) if skips else skip)
        return doubled(self.head(x))


def scanned(x: Tensor, mamba: nn.Module) -> Tensor:
    """(B, C, H, W) through Mamba, as tokens in row-major order."""
    return mamba(x.flatten(2).transpose(1, 2)).transpose(1, 2).unflatten(2, x.shape[2:])


def standardised(x: Tensor, eps: float = 1e-5) -> Tensor:
    """Mean 0 and variance 1 over the pixels of every channel and image, (B, C, H, W)."""
    variance, mean = torch.var_mean(x, dim=(2, 3), keepdim=True, correction=0)
    return (x - mean) / (variance + eps).sqrt()


def _neighbours(channels: int, out_channels: int, *, groups: int) -> nn.Conv1d:
    """Over each token, the one before and the one after: (B, C, L) to (B, C', L)."""
    return nn.Conv1d(channels, out_channels, 3, padding=1, groups=groups)


def _activated(convolution: nn.Conv2d) -> nn.Sequential:
    return nn.Sequential(convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU())


def _depthwise(channels: int) -> nn.Sequential:
    return _activated(nn.Conv2d(channels, channels, 3, padding=1, groups=channels))


def _draw(module: nn.Module) -> None:
    """The authors' pass over all modules. The fan-out of a convolution ignores its groups; biases start at 0."""
    draw_linear(module)
    if isinstance(module, nn.Conv1d | nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
