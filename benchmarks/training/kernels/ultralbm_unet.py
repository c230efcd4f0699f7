"""UltraLBM-UNet by kernels: the ends of its stages. Its convolutions and its Mamba are swapped by their own types."""

from typing import Any

import torch.nn.functional as F
from torch import Tensor

from baselines import ultralbm_unet
from benchmarks.training.kernels.activations import GELU
from benchmarks.training.kernels.stages import norm_pool, norm_resize, resize


class KernelUltraLBMUNet(ultralbm_unet.UltraLBMUNet):
    """The norms with what follows them: pooling or resizing, GELU, and the scaled skip."""

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        if height % 32 or width % 32:
            raise ValueError(f"UltraLBM-UNet needs sides that are multiples of 32, not {(height, width)}.")
        x, skips = images, []
        pairs: Any = zip(self.encoder, self.encoder_norms, strict=True)
        for stage, norm in pairs:
            x = norm_pool(stage(x), norm, GELU)
            skips.append(x)
        x = F.gelu(self.bottleneck(x))
        pairs = zip(self.decoder, self.decoder_norms, reversed(skips), strict=True)
        for stage, norm, skip in pairs:
            size = skip.shape[2], skip.shape[3]
            x = norm_resize(stage(x), norm, size, GELU, align_corners=True, added=self.skip_scale * skip)
        return resize(self.head(x), (height, width), align_corners=True)


KERNELS: dict[type, type] = {ultralbm_unet.UltraLBMUNet: KernelUltraLBMUNet}
