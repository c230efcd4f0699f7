"""UNeXt-S by kernels: the ends of its convolutional stages.

Letters: B images, C channels, H x W pixels.
"""

from typing import Any

from torch import Tensor

from baselines import unext
from benchmarks.training.kernels.activations import RELU
from benchmarks.training.kernels.layers import first_conv
from benchmarks.training.kernels.stages import norm_pool, norm_resize, resize


class KernelUNeXtS(unext.UNeXtS):
    """The norms with what follows them: pooling or resizing, ReLU, and the skip."""

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        if height % 32 or width % 32:
            raise ValueError(f"UNeXtS needs a height and width that are multiples of 32, not {height} x {width}.")
        skips, x = [], images
        encoders: Any = self.encoders
        for level, encoder in enumerate(encoders):
            x = encoder.conv(x) if level else first_conv(x, encoder.conv.weight, encoder.conv.bias)
            x = norm_pool(x, encoder.norm, RELU)
            skips.append(x)
        for embed, token_encoder in zip(self.patch_embeddings, self.token_encoders, strict=True):
            x = token_encoder(embed(x))
            skips.append(x)
        x = skips.pop()
        decoders: Any = self.decoders
        for level, decoder in enumerate(decoders):
            skip = skips.pop()
            size = skip.shape[2], skip.shape[3]
            x = norm_resize(decoder.conv(x), decoder.norm, size, RELU, align_corners=False, added=skip)
            if level < len(self.token_decoders):
                x = self.token_decoders[level](x.permute(0, 2, 3, 1))  # (B, C, H, W) -> (B, H, W, C)
        return self.final(resize(self.last_decoder(x), (height, width), RELU, align_corners=False))


KERNELS: dict[type, type] = {unext.UNeXtS: KernelUNeXtS}
