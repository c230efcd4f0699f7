"""ULVM-UNet by kernels: the ends of its stages, and its bridge.

Letters: B images, C channels, H x W pixels.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from baselines import ulvm_unet
from benchmarks.training.kernels.activations import GELU
from benchmarks.training.kernels.attention_bridge import combine, pixel_gate, pool
from benchmarks.training.kernels.stages import norm_pool, norm_resize, resize


class KernelBridge(ulvm_unet.SCAttentionBridge):
    def forward(self, levels: Sequence[Tensor]) -> list[Tensor]:
        gates = [pixel_gate(level, self.spatial.shared_conv) for level in levels]
        averages = torch.cat([pool(level, gate) for level, gate in zip(levels, gates, strict=True)], dim=1)
        mixed = self.channel.mix(averages.unsqueeze(1)).squeeze(1)  # (B, sum C)
        channel = [gate(mixed).sigmoid() for gate in self.channel.gates]
        return [combine(*each) for each in zip(levels, gates, channel, strict=True)]


class KernelULVMUNet(ulvm_unet.ULVMUNet):
    """The norms with what follows them: pooling or resizing, GELU, and the skip."""

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        if height % 32 or width % 32:
            raise ValueError(f"ULVM-UNet needs sides that are multiples of 32, not {(height, width)}.")
        x, levels = images, []
        pairs: Any = zip(self.encoder, self.encoder_norms, strict=True)
        for stage, norm in pairs:
            x = norm_pool(stage(x), norm, GELU)
            levels.append(x)
        skips = reversed(self.bridge(levels))
        x = F.gelu(self.bottleneck(x))
        decoders: Any = zip(self.decoder, self.decoder_norms, skips, strict=True)
        for stage, norm, skip in decoders:
            size = skip.shape[2], skip.shape[3]
            x = norm_resize(stage(x), norm, size, GELU, align_corners=True, added=skip)
        return resize(self.head(x), (height, width), align_corners=True)


KERNELS: dict[type, type] = {ulvm_unet.SCAttentionBridge: KernelBridge, ulvm_unet.ULVMUNet: KernelULVMUNet}
