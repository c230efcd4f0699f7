"""LB-UNet by kernels: group shuffle attention as one function, the ends of its stages, and its fusion of predictions.

Letters: B images, C channels, Q = C / 4, H x W pixels, n = H * W.
"""

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from baselines import lb_unet
from benchmarks.training.kernels import fusion, gates, spaces
from benchmarks.training.kernels.activations import GELU, IDENTITY
from benchmarks.training.kernels.arrays import array
from benchmarks.training.kernels.downsample import downsample
from benchmarks.training.kernels.layers import gelu, point
from benchmarks.training.kernels.separable import channel_normed, channel_normed_back, mixed, mixed_back
from benchmarks.training.kernels.stages import norm_pool, norm_resize, resize


class _Shuffle(torch.autograd.Function):
    """All of a `GroupShuffleAttention`; the parameters follow x as `_shuffle_parameters` gives them."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, block: Any, *parameters: Tensor) -> Tensor:
        x = x.contiguous()
        quarter, size = x.shape[1] // lb_unet.GROUPS, (x.shape[2], x.shape[3])
        normed = channel_normed(x, [block.norm1.weight], [block.norm1.bias], block.norm1.eps)
        made, joined = (
            [gates.gate(*each, size) for each in zip(block.spaces, block.gates, strict=True)],
            torch.empty_like(x),
        )
        for to, k in enumerate(block.ORDER):
            spaces.multiply(array(normed.out), k * quarter, made[k].value, array(joined), to * quarter)
        again = channel_normed(joined, [block.norm2.weight], [block.norm2.bias], block.norm2.eps)
        mix = mixed(again.out, block.mix)
        ctx.rest = block, parameters, normed, made, again, mix
        return mix.out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        block, parameters, normed, made, again, mix = ctx.rest
        quarter = made[0].value.shape[1]
        to_again, *of_mix = mixed_back(gradient.contiguous(), mix, block.mix)
        to_joined, *of_norm2 = channel_normed_back(to_again, again)
        to_normed, of_gates = torch.empty_like(normed.out), {}
        for to, k in enumerate(block.ORDER):
            to_gate = made[k].value * 0
            values = array(normed.out), k * quarter, made[k].value, array(to_normed), to_gate
            spaces.multiply_backward(array(to_joined), to * quarter, *values)
            of_gates[k] = gates.gate_back(to_gate, made[k])
        to_x, *of_norm1 = channel_normed_back(to_normed, normed)
        maps = [each for k in range(lb_unet.GROUPS) for each in of_gates[k]]
        return to_x, None, *gates.shaped(maps, parameters[:20]), *of_norm1, *of_norm2, *of_mix


def _shuffle_parameters(block: Any) -> list[Tensor]:
    pairs = zip(block.spaces, block.gates, strict=True)
    ordered = [each for space, layers in pairs for each in (space, *_of(layers[0], layers[2]))]
    return ordered + _of(block.norm1, block.norm2, block.mix[0], block.mix[2])


def _of(*modules: Any) -> list[Tensor]:
    return [each for module in modules for each in (module.weight, module.bias)]


class KernelShuffle(lb_unet.GroupShuffleAttention):
    def forward(self, x: Tensor) -> Tensor:
        return _Shuffle.apply(x, self, *_shuffle_parameters(self))


def _normed(x: Tensor, norm: nn.GroupNorm | nn.BatchNorm2d, activation: int = IDENTITY) -> Tensor:
    return norm_resize(x, norm, (x.shape[2], x.shape[3]), activation, align_corners=True)


class KernelDownsample(lb_unet.Downsample):
    def forward(self, x: Tensor) -> Tensor:
        return downsample(x, self.norm, self.conv)


class KernelLargeKernelConv(lb_unet.LargeKernelConv):
    def forward(self, x: Tensor) -> Tensor:
        x = gelu(point(_normed(self.depthwise(x), self.norm1), self.expand))
        return _normed(point(x, self.contract), self.norm2, GELU)


class KernelLBUNet(lb_unet.LBUNet):
    """The norms with what follows them, and both uses of the predictions in one pass."""

    def prediction_maps(self, images: Tensor) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        height, width = images.shape[-2:]
        if height % 32 or width % 32:
            raise ValueError(f"LBUNet needs a height and width that are multiples of 32, not {height} x {width}.")
        x, skips = images, list[Tensor]()
        encoders: Any = zip(self.encoders, self.encoder_norms, self.downs, strict=True)
        for encoder, norm, down in encoders:
            x = encoder(x)
            pooled = isinstance(down, nn.MaxPool2d)
            x = norm_pool(x, norm, GELU) if pooled else gelu(down(_normed(x, norm)))
            skips.append(x)
        x = gelu(self.bottleneck(x))
        regions, boundaries = [], []
        stages: Any = zip(
            self.decoders, self.decoder_norms, self.predictions, self.fusions, reversed(skips), strict=True
        )
        for decoder, norm, predict, fuse, skip in stages:  # 1/32 to 1/2
            x = norm_resize(decoder(x), norm, (skip.shape[2], skip.shape[3]), GELU, align_corners=True)
            region, boundary = predict.region(x), None
            if isinstance(predict, lb_unet.RegionBoundaryPrediction):
                boundary = predict.boundary(x).sigmoid()
                boundaries.append(boundary)
            x = fusion.fuse(x, skip, region.sigmoid(), boundary, fuse.region_weight, fuse.boundary_weight)
            regions.append(region)
        return self.final(x), regions, boundaries

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, tuple[Tensor, ...], tuple[Tensor, ...]]:
        size = images.shape[2], images.shape[3]
        logits, regions, boundaries = self.prediction_maps(images)
        logits = resize(logits, size, align_corners=True)
        if not self.training:
            return logits
        # Boundaries are probabilities: near 1 their last digit decides a logarithm, so torch itself resizes them.
        by_torch = partial(F.interpolate, size=size, mode="bilinear", align_corners=True)
        regions = [resize(each, size, align_corners=True) for each in regions]
        return logits, tuple(regions), tuple(map(by_torch, boundaries))


KERNELS: dict[type, type] = {
    lb_unet.GroupShuffleAttention: KernelShuffle,
    lb_unet.Downsample: KernelDownsample,
    lb_unet.LargeKernelConv: KernelLargeKernelConv,
    lb_unet.LBUNet: KernelLBUNet,
}
