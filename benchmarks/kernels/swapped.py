"""AULUNet's modules run by kernels: a class for each type, same names, same weights, same mathematics.

What is so small that torch's own call costs more than it computes stays as it is: global feedback, pooled gates' 1x1.
"""

from torch import Tensor

from benchmarks.kernels.akf import akf
from benchmarks.kernels.head import head
from benchmarks.kernels.norm import arguments
from benchmarks.kernels.point import point
from benchmarks.kernels.pooling import halve
from benchmarks.kernels.stem import stem
from benchmarks.kernels.skip import skip
from models import aulunet


class KernelPointConv(aulunet.PointConv):
    def forward(self, x: Tensor, *, up: bool = False) -> Tensor:
        return point(x, self.conv.weight, arguments(self.bn, x.shape), up=up)


class KernelAKF(aulunet.AKF):
    def forward(self, x: Tensor) -> Tensor:
        branches, dilations = [each.weight for each in self.branches], [each.dilation[0] for each in self.branches]
        gate, fuse = (self.gate.weight, self.gate.bias), self.fuse
        return akf(x, branches, dilations, gate, fuse.conv.weight, arguments(fuse.bn, x.shape))


class KernelSeparableConv(aulunet.SeparableConv):
    """An AKF of one branch."""

    def forward(self, x: Tensor) -> Tensor:
        fuse = self[1]
        return akf(x, [self[0].weight], [1], (None, None), fuse.conv.weight, arguments(fuse.bn, x.shape))


class KernelLSG(aulunet.LSG):
    def forward(self, decoder: Tensor, encoder: Tensor) -> Tensor:
        return skip(decoder, encoder, self.conv.weight, arguments(self.bn, decoder.shape))


class KernelAULUNet(aulunet.AULUNet):
    """Stem, pooling and head by kernels, and the decoder's 1x1 convolutions below the upsampling, with which they commute."""

    def forward(self, images: Tensor) -> Tensor:
        conv, bn, _ = self.stem
        features = [self.stem_akf(stem(images, conv.weight, arguments(bn, images.shape)))]
        for mix, proj in zip(self.encoder_akf, self.encoder_proj, strict=True):
            features.append(proj(mix(halve(features[-1]))))
        x = self.bottleneck(features.pop())
        for proj, gate, mix in zip(self.decoder_proj, self.decoder_skip, self.decoder_akf, strict=True):
            x = mix(gate(proj(x, up=True), features.pop()))
        return head(x, self.head.weight, self.head.bias)


KERNELS: dict[type, type] = {
    aulunet.PointConv: KernelPointConv,
    aulunet.AKF: KernelAKF,
    aulunet.SeparableConv: KernelSeparableConv,
    aulunet.LSG: KernelLSG,
    aulunet.AULUNet: KernelAULUNet,
}
"""The class that runs a type of module by kernels."""
