"""MALUNet by kernels: the ends of its stages, its bridge, and its gated attention.

Letters: B images, C channels, H x W pixels.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from baselines import malunet
from benchmarks.training.kernels.activations import GELU, IDENTITY
from benchmarks.training.kernels.attention_bridge import combine, pixel_gate, pool
from benchmarks.training.kernels.gated_attention import KernelDilatedGatedAttention, KernelExternalAttention
from benchmarks.training.kernels.stages import norm_pool, norm_resize, resize


class KernelBridge(malunet.Bridge):
    def forward(self, skips: Sequence[Tensor]) -> list[Tensor]:
        gates = [pixel_gate(skip, self.spatial.conv) for skip in skips]
        pooled = torch.cat([pool(skip, gate) for skip, gate in zip(skips, gates, strict=True)], dim=1)  # (B, S)
        pooled = self.channel.local(pooled.unsqueeze(1)).squeeze(1)
        channel = [gate(pooled).sigmoid() for gate in self.channel.gates]
        return [combine(*each) for each in zip(skips, gates, channel, strict=True)]


class KernelMALUNet(malunet.MALUNet):
    """The norms with what follows them: pooling or resizing, GELU, and the skip."""

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        if height % 32 or width % 32:
            raise ValueError(f"MALUNet needs a height and width that are multiples of 32, not {height} x {width}.")
        x, skips = images, []
        pairs: Any = zip(self.encoders, self.encoder_norms, strict=True)
        for encoder, norm in pairs:
            x = norm_pool(encoder(x), norm, GELU)
            skips.append(x)
        x = F.gelu(self.bottleneck(x))
        skips = self.bridge(skips)
        decoders: Any = zip(self.decoders, self.decoder_norms, strict=True)
        for decoder, norm in decoders:
            skip = skips.pop()
            x = norm_resize(decoder(x), norm, (skip.shape[2], skip.shape[3]), GELU, align_corners=True, added=skip)
        return resize(self.final(x), (height, width), IDENTITY, align_corners=True)


KERNELS: dict[type, type] = {
    malunet.Bridge: KernelBridge,
    malunet.DilatedGatedAttention: KernelDilatedGatedAttention,
    malunet.InvertedExternalAttention: KernelExternalAttention,
    malunet.MALUNet: KernelMALUNet,
}
