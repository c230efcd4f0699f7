"""MambaLiteUNet by kernels: the ends of its stages. Its convolutions and Mambas are swapped by their own types."""

from typing import Any

import torch.nn.functional as F
from torch import Tensor

from baselines import mambalite_unet
from benchmarks.training.kernels.activations import GELU
from benchmarks.training.kernels.stages import norm_pool, norm_resize, resize


class KernelMambaLiteUNet(mambalite_unet.MambaLiteUNet):
    """The norms with pooling and GELU; resizing behind the GELU."""

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        if height != width or height % 32:
            raise ValueError(f"MambaLiteUNet needs square images, sides multiples of 32, not {(height, width)}.")
        x, skips = images, []
        pairs: Any = zip(self.encoder, self.encoder_norms, strict=True)
        for stage, norm in pairs:
            x = norm_pool(stage(x), norm, GELU)
            skips.append(x)
        x = F.gelu(self.bottleneck(x))
        gates: Any = [*self.gates, lambda _, skip: skip]
        pairs = zip(self.decoder, self.decoder_norms, gates, reversed(skips), strict=True)
        for stage, norm, gate, skip in pairs:
            y = stage(x)
            x = norm_resize(y, norm, (y.shape[2], y.shape[3]), GELU, align_corners=True)  # as large as it is
            x = x if x.shape == skip.shape else resize(x, (skip.shape[2], skip.shape[3]), align_corners=True)
            x = x + gate(x, skip)
        return resize(self.head(x), (height, width), align_corners=True)


KERNELS: dict[type, type] = {mambalite_unet.MambaLiteUNet: KernelMambaLiteUNet}
