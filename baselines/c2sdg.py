"""C2SDG: contrastive single domain generalisation by channel prompts (MICCAI 2023).

Paper: Hu, Liao, Xia, "Devil is in Channels: Contrastive Single Domain Generalization for Medical Image Segmentation",
arXiv 2306.05254. Upstream: https://github.com/ShishuaiHu/CCSDG at a4fde09, with one output.

Shapes: B batch, C channels, D channels of the deeper map, S of the skip, E embedding, H and W pixels of the current
level.

Deviations from the authors' code:
1. The style features, which the authors compute and throw away at inference, are made only for the projector.
2. The projector belongs to the network (`projector_size`), not to the training script, and reads the stem's features
   detached: theirs lets the contrast reach the stem and zeroes that gradient before any step. The effect is the same.
3. The z-score per image and channel, part of the authors' loader, is the function `standardised`, which the registry
   applies to the suite's range in training and at inference alike; the network itself has none, like theirs.
The training objective and its deviations are in benchmarks/objectives/c2sdg.py.

Kept as it is there:
* The gate stands before the first batch norm, which scales what the gate left of a channel back up: only a gate so
  small that the channel's variance falls to the norm's epsilon (1e-5) takes it from segmentation. How many channels
  that are depends on the input's range, hence the z-score.
* The decoder's batch norm follows its ReLU.
* 22,009,793 parameters against the published 22.001 M, which no variant reaches; the MACs agree.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.blocks import draw_by_fan_out


def standardised(images: Tensor) -> Tensor:
    """Z-score per image and channel, (x - mean) / (std + 1e-5), of (B, C, H, W)."""
    deviation, mean = torch.std_mean(images, dim=(-2, -1), correction=0, keepdim=True)
    return (images - mean) / (deviation + 1e-5)


class BasicBlock(nn.Module):
    """ResNet's basic block (He et al., 2016): (B, C, H, W) to (B, O, H / stride, W / stride)."""

    def __init__(self, channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out_channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.shortcut = nn.Sequential()
        if stride != 1 or channels != out_channels:
            self.shortcut.append(nn.Conv2d(channels, out_channels, 1, stride=stride, bias=False))
            self.shortcut.append(nn.BatchNorm2d(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        residual = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(residual + self.shortcut(x))


class Encoder(nn.Module):
    """ResNet after its stem: gated features (B, C, H, W) to the maps at H, H / 2, H / 4, H / 8 and H / 16."""

    def __init__(self, widths: Sequence[int], depths: Sequence[int]) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(widths[0])
        self.stages = nn.ModuleList()
        channels = widths[0]
        for stage, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            blocks = nn.Sequential(BasicBlock(channels, width, stride=1 if stage == 0 else 2))
            blocks.extend(BasicBlock(width, width, stride=1) for _ in range(depth - 1))
            self.stages.append(blocks)
            channels = width

    def forward(self, content: Tensor) -> list[Tensor]:
        features = [F.relu(self.norm(content))]  # (B, 64, H, W)
        x = F.max_pool2d(features[0], 3, stride=2, padding=1)
        for stage in self.stages:
            x = stage(x)
            features.append(x)  # stage k: (B, widths[k], H / 2^(k + 1), W / 2^(k + 1))
        return features


class UpBlock(nn.Module):
    """Doubles the deeper map and joins the skip: (B, D, H, W) and (B, S, 2 H, 2 W) to (B, O, 2 H, 2 W)."""

    def __init__(self, deep_channels: int, skip_channels: int, out_channels: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(deep_channels, out_channels // 2, 2, stride=2)
        self.skip = nn.Conv2d(skip_channels, out_channels // 2, 1)
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, deep: Tensor, skip: Tensor) -> Tensor:
        return self.norm(F.relu(torch.cat([self.up(deep), self.skip(skip)], dim=1)))


class Projector(nn.Module):
    """Stem features (B, C, size / 2, size / 2) of `size` px images to unit vectors (B, E); used in training only."""

    def __init__(self, channels: int, size: int, embedding: int) -> None:
        super().__init__()
        self.size = size
        self.conv = nn.Conv2d(channels, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.linear = nn.Linear(8 * (size // 4) ** 2, embedding)

    def forward(self, features: Tensor) -> Tensor:
        height, width = (2 * side for side in features.shape[-2:])
        if (height, width) != (self.size, self.size):
            raise ValueError(
                f"C2SDG's projector was built for {self.size} px, not {height} x {width}; build C2SDG with another "
                "projector_size, or with None to train without the contrast."
            )
        x = F.max_pool2d(F.relu(self.norm(self.conv(features))), 2)  # (B, 8, size / 4, size / 4)
        return F.normalize(self.linear(x.flatten(1)), dim=1)


class C2SDG(nn.Module):
    """(B, 3, H, W) to logits (B, 1, H, W); H and W multiples of 32, else ValueError.

    projector_size: None for the inference network. With an image size in px it also owns the projector of the training
    objective, and in training mode returns (logits, content, style): content and style are unit vectors (B, embedding),
    whose gradient reaches the projector and the channel prompt only.
    """

    def __init__(
        self,
        *,
        widths: Sequence[int] = (64, 128, 256, 512),
        depths: Sequence[int] = (3, 4, 6, 3),
        decoder_width: int = 256,
        temperature: float = 0.1,
        projector_size: int | None = None,
        embedding: int = 1024,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        self.temperature = temperature
        self.channel_prompt = nn.Parameter(torch.randn(2, widths[0], 1, 1))
        self.stem = nn.Conv2d(in_channels, widths[0], 7, stride=2, padding=3, bias=False)
        self.encoder = Encoder(widths, depths)
        skips = [*reversed(widths[:-1]), widths[0]]  # 256, 128, 64, 64
        deeper = [widths[-1]] + [decoder_width] * (len(skips) - 1)
        self.decoder = nn.ModuleList(UpBlock(d, s, decoder_width) for d, s in zip(deeper, skips, strict=True))
        self.head = nn.ConvTranspose2d(decoder_width, 1, 2, stride=2)
        for convolution in self.stem, *(part for part in self.encoder.modules() if isinstance(part, nn.Conv2d)):
            draw_by_fan_out(convolution)
        self.projector = None if projector_size is None else Projector(widths[0], projector_size, embedding)

    def gates(self) -> tuple[Tensor, Tensor]:
        """The shares of content and of style in each stem channel, (64, 1, 1) each; they sum to 1."""
        content, style = torch.softmax(self.channel_prompt / self.temperature, dim=0)
        return content, style

    def segment(self, content: Tensor) -> Tensor:
        """Gated stem features (B, 64, H / 2, W / 2) to logits (B, 1, H, W)."""
        *skips, x = self.encoder(content)
        for up, skip in zip(self.decoder, reversed(skips), strict=True):
            x = up(x, skip)
        return self.head(x)

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor, Tensor]:
        if any(side % 32 or side == 0 for side in images.shape[-2:]):
            raise ValueError(f"C2SDG needs sides that are multiples of 32, not {tuple(images.shape[-2:])}.")
        features = self.stem(images)  # (B, 64, H / 2, W / 2)
        content_gate, style_gate = self.gates()
        logits = self.segment(features * content_gate)
        if self.projector is None or not self.training:
            return logits
        features = features.detach()
        return logits, self.projector(features * content_gate), self.projector(features * style_gate)
