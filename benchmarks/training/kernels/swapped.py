"""Modules run by kernels: a class for each type, same names, same weights, same mathematics.

AULUNet's are here, the others' in files of their own. What is so small that torch's own call costs more than it
computes stays as it is: global feedback, pooled gates' 1x1.
"""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.training.kernels import (
    ege_unet,
    lb_unet,
    malunet,
    mamba,
    mambalite_unet,
    ultralbm_unet,
    ulvm_unet,
    unext,
)
from benchmarks.training.kernels.akf import akf
from benchmarks.training.kernels.head import head
from benchmarks.training.kernels.held import Held, held
from benchmarks.training.kernels.point import point
from benchmarks.training.kernels.pooling import halve
from benchmarks.training.kernels.skip import skip
from benchmarks.training.kernels.stem import stem
from models import aulunet


class KernelPointConv(aulunet.PointConv):
    def forward(self, x: Tensor, *, up: bool = False) -> Tensor:
        return point(x, held(self, lambda self: Held([(self.conv, "weight")], self.bn)), up=up)


class KernelAKF(aulunet.AKF):
    def forward(self, x: Tensor) -> Tensor:
        weights = held(self, _Branches)
        return akf(x, weights, weights.dilations)


class _Branches(Held):
    """What an AKF holds, and its dilations."""

    def __init__(self, akf: Any) -> None:
        branches = [(branch, "weight") for branch in akf.branches]
        gate = [(akf.gate, "weight"), (akf.gate, "bias")]
        super().__init__([*branches, *gate, (akf.fuse.conv, "weight")], akf.fuse.bn)
        self.dilations = np.array([branch.dilation[0] for branch in akf.branches])


class KernelSeparableConv(aulunet.SeparableConv):
    """An AKF of one branch."""

    DILATIONS = np.array([1])

    def forward(self, x: Tensor) -> Tensor:
        weights = held(self, lambda own: Held([(own[0], "weight"), (own[1].conv, "weight")], own[1].bn))
        return akf(x, weights, self.DILATIONS)


class KernelLSG(aulunet.LSG):
    def forward(self, decoder: Tensor, encoder: Tensor) -> Tensor:
        return skip(decoder, encoder, held(self, lambda self: Held([(self.conv, "weight")], self.bn)))


class KernelPooledLSG(aulunet.PooledLSG):
    """Pooled first and joined then, which spares a copy of both maps."""

    def forward(self, decoder: Tensor, encoder: Tensor) -> Tensor:
        pooled = torch.cat([F.adaptive_avg_pool2d(each, 1) for each in (decoder, encoder)], dim=1)  # (B, 2C, 1, 1)
        return torch.addcmul(decoder, self.bn(self.conv2(self.conv(pooled))).sigmoid(), encoder)


class KernelAULUNet(aulunet.AULUNet):
    """Stem, pooling and head by kernels, and the decoder's 1x1 convolutions below the upsampling."""

    def forward(self, images: Tensor) -> Tensor:
        features = [self.stem_akf(stem(images, held(self.stem, lambda stem: Held([(stem[0], "weight")], stem[1]))))]
        for mix, proj in zip(self.encoder_akf, self.encoder_proj, strict=True):
            features.append(proj(mix(halve(features[-1]))))
        x = self.bottleneck(features.pop())
        for proj, gate, mix in zip(self.decoder_proj, self.decoder_skip, self.decoder_akf, strict=True):
            x = mix(gate(proj(x, up=True), features.pop()))
        return head(x, held(self.head, lambda head: Held([(head, "weight"), (head, "bias")])))


KERNELS: dict[type, type] = {
    aulunet.PointConv: KernelPointConv,
    aulunet.AKF: KernelAKF,
    aulunet.SeparableConv: KernelSeparableConv,
    aulunet.LSG: KernelLSG,
    aulunet.PooledLSG: KernelPooledLSG,
    aulunet.AULUNet: KernelAULUNet,
    **ege_unet.KERNELS,
    **lb_unet.KERNELS,
    **malunet.KERNELS,
    **mamba.KERNELS,
    **mambalite_unet.KERNELS,
    **ultralbm_unet.KERNELS,
    **ulvm_unet.KERNELS,
    **unext.KERNELS,
}
"""The class that runs a type of module by kernels."""
