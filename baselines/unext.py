"""UNeXt-S: convolutions outside, tokenized shifted MLPs inside. MICCAI 2022.

Paper: J. M. J. Valanarasu, V. M. Patel, "UNeXt: MLP-based Rapid Medical Image Segmentation Network", arXiv 2203.04967.
Upstream: https://github.com/jeya-maria-jose/UNeXt-pytorch, commit 6ad0855, class `UNext_S`.

Shapes: B batch, C channels, H height, W width; token maps are kept as (B, H, W, C).

Deviations from the authors' code: none known. Their softmax layer that is never called and their dropout and
stochastic depth at rate 0 are left out; none of the three has a parameter or changes an output.

Kept as it is there:
* 253,561 parameters, where AULUNet's Table 1 has 0.302 M; no version of the authors' small network has that many.
* A block is x + MLP(norm(x)) alone: the paper's "tokenized MLP", with no attention and no second branch.
* Skips are added behind the ReLU, so a decoder stage never starts from a value below its skip.
* The last 3x3 convolution has no batch norm.
"""

import torch.nn.functional as F
from torch import Tensor, cat, nn

from baselines.blocks import draw_by_fan_out


def shift(x: Tensor, axis: int, groups: int = 5) -> Tensor:
    """Moves channel group k of (B, H, W, C) by k - 2 pixels along `axis` (1: down, 2: right), zeros moving in."""
    reach, length = groups // 2, x.shape[axis]
    margins = [0, 0] * (3 - axis) + [reach, reach]  # F.pad counts axes from the last
    padded = F.pad(x, margins).chunk(groups, dim=-1)
    return cat([part.narrow(axis, 2 * reach - k, length) for k, part in enumerate(padded)], dim=-1)


class ShiftedMLP(nn.Module):
    """Two linear layers around a depthwise convolution; channels shift along the height, then along the width."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, channels)
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.fc2 = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.fc1(shift(x, axis=1))
        x = self.depthwise(x.permute(0, 3, 1, 2))  # (B, H, W, C) -> (B, C, H, W)
        x = F.gelu(x).permute(0, 2, 3, 1)  # (B, C, H, W) -> (B, H, W, C)
        return self.fc2(shift(x, axis=2))


class TokenizedMLPBlock(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.mlp = ShiftedMLP(channels)
        self.apply(draw_by_fan_out)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.mlp(self.norm(x))


class TokenStage(nn.Module):
    """Blocks and a closing layer norm: (B, H, W, C) to (B, C, H, W)."""

    def __init__(self, channels: int, depth: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*[TokenizedMLPBlock(channels) for _ in range(depth)])
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.blocks(x)).permute(0, 3, 1, 2)


class PatchEmbedding(nn.Module):
    """Overlapping 3x3 patches at stride 2: (B, C, H, W) to (B, H / 2, W / 2, C')."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.projection = nn.Conv2d(in_channels, out_channels, 3, stride=2, padding=1)
        self.norm = nn.LayerNorm(out_channels)
        self.apply(draw_by_fan_out)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.projection(x).permute(0, 2, 3, 1))  # (B, C, H, W) -> (B, H, W, C)


class ConvNorm(nn.Module):
    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))


class UNeXtS(nn.Module):
    """Images (B, 3, H, W), H and W multiples of 32, to logits (B, 1, H, W), in training mode too.

    widths: channels of the three convolutional and the two tokenized stages. depth: blocks in each token stage.
    Raises ValueError for another height or width. Source: the module's header.
    """

    def __init__(self, *, widths: tuple[int, int, int, int, int] = (8, 16, 32, 64, 128), depth: int = 1) -> None:
        super().__init__()
        c1, c2, c3, c4, c5 = widths
        self.encoders = nn.ModuleList([ConvNorm(3, c1), ConvNorm(c1, c2), ConvNorm(c2, c3)])
        self.patch_embeddings = nn.ModuleList([PatchEmbedding(c3, c4), PatchEmbedding(c4, c5)])
        self.token_encoders = nn.ModuleList([TokenStage(c4, depth), TokenStage(c5, depth)])
        self.token_decoders = nn.ModuleList([TokenStage(c4, depth), TokenStage(c3, depth)])
        self.decoders = nn.ModuleList([ConvNorm(c5, c4), ConvNorm(c4, c3), ConvNorm(c3, c2), ConvNorm(c2, c1)])
        self.last_decoder = nn.Conv2d(c1, c1, 3, padding=1)
        self.final = nn.Conv2d(c1, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        if height % 32 or width % 32:
            raise ValueError(f"UNeXtS needs a height and width that are multiples of 32, not {height} x {width}.")
        skips = []
        x = images
        for encoder in self.encoders:  # (B, C, H, W) at 1/2, 1/4, 1/8 of the input
            x = F.relu(F.max_pool2d(encoder(x), 2))
            skips.append(x)
        for embed, token_encoder in zip(self.patch_embeddings, self.token_encoders, strict=True):  # 1/16, 1/32
            x = token_encoder(embed(x))
            skips.append(x)
        x = skips.pop()
        for level, decoder in enumerate(self.decoders):  # 1/16, 1/8, 1/4, 1/2
            x = F.relu(_upsample(decoder(x))) + skips.pop()
            if level < len(self.token_decoders):
                x = self.token_decoders[level](x.permute(0, 2, 3, 1))  # (B, C, H, W) -> (B, H, W, C)
        return self.final(F.relu(_upsample(self.last_decoder(x))))


def _upsample(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear")
