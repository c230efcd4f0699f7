"""EGE-UNet by kernels: its two blocks as one function each, and the ends of its stages.

Letters: B images, C channels, Q = C / 4, H x W pixels.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from baselines import ege_unet
from benchmarks.training.kernels import gates, spaces
from benchmarks.training.kernels.activations import GELU, IDENTITY
from benchmarks.training.kernels.arrays import array
from benchmarks.training.kernels.separable import (
    channel_normed,
    channel_normed_back,
    depthwise,
    depthwise_back,
    gelu,
    gelu_back,
    mixed,
    mixed_back,
    point,
    point_back,
)
from benchmarks.training.kernels.stages import Resizing, norm_pool, norm_resize, resize, resized, resized_back

AXES = (None, 2, 3)  # of the gates over the plane, the rows and the columns


class _Hadamard(torch.autograd.Function):
    """All of a `GroupHadamardProductAttention`; the parameters follow x as `_hadamard_parameters` gives them."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, block: Any, *parameters: Tensor) -> Tensor:
        x = x.contiguous()
        quarter = x.shape[1] // ege_unet.GROUPS
        normed = channel_normed(x, [block.norm1.weight], [block.norm1.bias], block.norm1.eps)
        made, joined = _gates(block, x), torch.empty_like(x)
        for k, each in enumerate(made):
            spaces.multiply(array(normed.out), k * quarter, each.value, array(joined), k * quarter)
        local = point(normed.out[:, 3 * quarter :].flatten(2), block.local[0]).view(len(x), quarter, *x.shape[2:])
        active = gelu(local)
        depthwise(active, block.local[2], joined, to=3 * quarter)
        again = channel_normed(joined, [block.norm2.weight], [block.norm2.bias], block.norm2.eps)
        mix = mixed(again.out, block.mix)
        ctx.save_for_backward(x)
        ctx.rest = block, parameters, normed, made, local, active, again, mix
        return mix.out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        block, parameters, normed, made, local, active, again, mix = ctx.rest
        quarter = local.shape[1]
        to_again, *of_mix = mixed_back(gradient.contiguous(), mix, block.mix)
        to_joined, *of_norm2 = channel_normed_back(to_again, again)
        to_active, to_normed = torch.empty_like(active), torch.empty_like(normed.out)
        of_taps = depthwise_back(to_joined, active, block.local[2], to_active, to=3 * quarter)
        to_local = gelu_back(to_active, local)
        last = normed.out[:, 3 * quarter :].flatten(2)
        to_last, *of_local = point_back(to_local.flatten(2), last, block.local[0])
        to_normed[:, 3 * quarter :].copy_(to_last.view_as(local))
        of_gates = []
        for k, (each, axis) in enumerate(zip(made, AXES, strict=True)):
            arrays, first = (array(normed.out), k * quarter, each.value, array(to_normed)), k * quarter
            to_gate = each.value * 0
            spaces.multiply_backward(array(to_joined), first, *arrays, to_gate)
            of_gates.append(gates.gate_back(to_gate, each, axis=axis))
        to_x, *of_norm1 = channel_normed_back(to_normed, normed)
        of_maps = [gradient for each in of_gates for gradient in each]
        return to_x, None, *gates.shaped(of_maps, parameters[:15]), *of_local, *of_taps, *of_norm1, *of_norm2, *of_mix


def _gates(block: Any, x: Tensor) -> list[gates.Gate]:
    height, width = x.shape[2:]
    sizes = (height, width), (height, 1), (1, width)
    maps, layers = (block.plane, block.rows, block.columns), (block.plane_gate, block.row_gate, block.column_gate)
    each = zip(maps, layers, sizes, AXES, strict=True)
    return [gates.gate(space, layer, size, axis=axis) for space, layer, size, axis in each]


def _hadamard_parameters(block: Any) -> list[Tensor]:
    maps, layers = (block.plane, block.rows, block.columns), (block.plane_gate, block.row_gate, block.column_gate)
    ordered = [each for space, layer in zip(maps, layers, strict=True) for each in (space, *_of(layer[0], layer[2]))]
    return ordered + _of(block.local[0], block.local[2], block.norm1, block.norm2, block.mix[0], block.mix[2])


def _of(*modules: Any) -> list[Tensor]:
    return [each for module in modules for each in (module.weight, module.bias)]


class KernelHadamard(ege_unet.GroupHadamardProductAttention):
    def forward(self, x: Tensor) -> Tensor:
        return _Hadamard.apply(x, self, *_hadamard_parameters(self))


class _Bridge(torch.autograd.Function):
    """All of a `GroupAggregationBridge`; the parameters follow the inputs as `_bridge_parameters` gives them."""

    @staticmethod
    def forward(ctx: Any, deep: Tensor, shallow: Tensor, mask: Tensor, block: Any, *parameters: Tensor) -> Tensor:
        high = point(deep.flatten(2), block.project).view(len(deep), -1, *deep.shape[2:])
        if high.shape != shallow.shape:
            high = resized(high, _to(shallow))
        joined = _interleaved(high, shallow, mask)
        norms = [group[0] for group in block.groups]
        weights, biases = [norm.weight for norm in norms], [norm.bias for norm in norms]
        normed, after = channel_normed(joined, weights, biases, norms[0].eps), torch.empty_like(joined)
        for k, group in enumerate(block.groups):
            first = k * len(weights[0])
            depthwise(normed.out, group[1], after, first=first, to=first)
        again = channel_normed(after, [block.mix[0].weight], [block.mix[0].bias], block.mix[0].eps)
        out = point(again.out.flatten(2), block.mix[1]).view(len(deep), -1, *shallow.shape[2:])
        ctx.save_for_backward(deep)
        ctx.rest = block, normed, again
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (deep,), (block, normed, again) = ctx.saved_tensors, ctx.rest
        to_again, *of_mix = point_back(gradient.contiguous().flatten(2), again.out.flatten(2), block.mix[1])
        to_after, *of_last = channel_normed_back(to_again.view_as(again.out), again)
        to_normed, of_groups, width = torch.empty_like(normed.out), [], len(block.groups[0][0].weight)
        for k, group in enumerate(block.groups):
            first = k * width
            of_groups.append(depthwise_back(to_after, normed.out, group[1], to_normed, first=first, to=first))
        to_joined, to_weights, to_biases = channel_normed_back(to_normed, normed)
        to_high, to_shallow, to_mask = _separated(to_joined)
        to_low = to_high
        if deep.shape[2:] != to_high.shape[2:]:
            to_low = resized_back(to_high, deep.new_empty(*to_high.shape[:2], *deep.shape[2:]), _to(to_high))
        to_deep, *of_project = point_back(to_low.flatten(2), deep.flatten(2), block.project)
        each = zip(to_weights.split(width), to_biases.split(width), of_groups, strict=True)
        of_norms = [gradient for weight, bias, taps in each for gradient in (weight, bias, *taps)]
        return to_deep.view_as(deep), to_shallow, to_mask, None, *of_project, *of_norms, *of_last, *of_mix


def _to(like: Tensor) -> Resizing:
    return Resizing((like.shape[2], like.shape[3]), True, IDENTITY)


def _bridge_parameters(block: Any) -> list[Tensor]:
    grouped = [each for group in block.groups for each in _of(group[0], group[1])]
    return _of(block.project) + grouped + _of(block.mix[0], block.mix[1])


class KernelBridge(ege_unet.GroupAggregationBridge):
    def forward(self, deep: Tensor, shallow: Tensor, mask: Tensor) -> Tensor:
        return _Bridge.apply(deep.contiguous(), shallow, mask, self, *_bridge_parameters(self))


def _interleaved(high: Tensor, shallow: Tensor, mask: Tensor) -> Tensor:
    """Of each quarter the deep channels, the shallow ones and the mask: twice (B, C, H, W) to (B, 2 C + 4, H, W)."""
    pairs = zip(high.chunk(ege_unet.GROUPS, dim=1), shallow.chunk(ege_unet.GROUPS, dim=1), strict=True)
    return torch.cat([part for pair in pairs for part in (*pair, mask)], dim=1)


def _separated(gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The transpose of `_interleaved`."""
    parts = gradient.unflatten(1, (ege_unet.GROUPS, -1))  # (B, 4, C / 2 + 1, H, W)
    quarter = parts.shape[2] // 2
    high, shallow = (parts[:, :, k * quarter : (k + 1) * quarter].flatten(1, 2) for k in range(2))
    return high, shallow, parts[:, :, -1].sum(dim=1, keepdim=True)


class KernelEGEUNet(ege_unet.EGEUNet):
    """The norms with what follows them: pooling or resizing, and GELU."""

    def logit_maps(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        height, width = images.shape[-2:]
        if height % 32 or width % 32:
            raise ValueError(f"EGEUNet needs a height and width that are multiples of 32, not {height} x {width}.")
        x, features = images, []
        pairs: Any = zip(self.encoders, self.encoder_norms, strict=True)
        for encoder, norm in pairs:
            x = norm_pool(encoder(x), norm, GELU)
            features.append(x)
        x = skip = F.gelu(self.bottleneck(x))
        auxiliary = []
        stages: Any = zip(self.decoders, self.decoder_norms, self.heads, self.bridges, reversed(features), strict=True)
        for decoder, norm, head, bridge, shallow in stages:
            x = norm_resize(decoder(x), norm, (shallow.shape[2], shallow.shape[3]), GELU, align_corners=True)
            auxiliary.append(head(x))
            skip = bridge(skip, shallow, auxiliary[-1])
            x = x + skip
        return self.final(x), auxiliary

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, tuple[Tensor, ...]]:
        size = images.shape[2], images.shape[3]
        logits, auxiliary = self.logit_maps(images)
        logits = resize(logits, size, align_corners=True)
        if not self.training:
            return logits
        return logits, tuple(resize(low, size, align_corners=True) for low in auxiliary)


KERNELS: dict[type, type] = {
    ege_unet.GroupHadamardProductAttention: KernelHadamard,
    ege_unet.GroupAggregationBridge: KernelBridge,
    ege_unet.EGEUNet: KernelEGEUNet,
}
