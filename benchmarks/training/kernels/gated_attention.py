"""MALUNet's dilated gated attention and inverted external attention, as one function each.

They stand where maps are small, at an eighth of the images' sides and below, so they run in lanes. Their results are
seen as (B, C, H, W) and kept as (H, W, B, C), which spares the next of them a copy.

Letters: B images, C channels, O out, H x W pixels, n = H * W, S slots of the memory.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from baselines import malunet
from benchmarks.training.kernels import external_memory
from benchmarks.training.kernels.activations import GELU
from benchmarks.training.kernels.arrays import array
from benchmarks.training.kernels.lane_layers import (
    Gradients,
    NormedDepthwise,
    activated,
    activated_back,
    as_lanes,
    as_planes,
    normed,
    normed_back,
    normed_depthwise,
    normed_depthwise_back,
    point,
    point_back,
    rows,
)


class _Separable(NamedTuple):
    """The result of a `DepthwiseSeparable` and what its way back needs."""

    layers: Any
    inner: NormedDepthwise
    out: Tensor


def _separable(x: Tensor, layers: Any) -> _Separable:
    inner = normed_depthwise(x, [layers.depthwise], layers.norm)
    return _Separable(layers, inner, point(inner.norm.out, layers.pointwise))


def _separable_back(gradient: Tensor, saved: _Separable) -> tuple[Tensor, Gradients]:
    """Gradients of x, and of the parameters in the order of the layers."""
    to_inner, of_point = point_back(gradient, saved.inner.norm.out, saved.layers.pointwise)
    to_x, of_inner = normed_depthwise_back(to_inner, saved.inner)
    return to_x, (*of_inner, *of_point)


def _parameters(modules: Iterable[Any]) -> list[Tensor]:
    """Of each module weight and, if there is one, bias."""
    each = [tensor for module in modules for tensor in (module.weight, module.bias)]
    return [tensor for tensor in each if tensor is not None]


class _DilatedGated(torch.autograd.Function):
    """All of a `DilatedGatedAttention`; the parameters follow x as `_gated_layers` orders them."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, block: Any, *parameters: Tensor) -> Tensor:
        inner = normed_depthwise(as_lanes(x), block.dilated, block.norm)
        before = point(inner.norm.out, block.mix)
        mixed, unit = activated(before, GELU), block.gau
        gate, value = _separable(mixed, unit.gate), _separable(mixed, unit.value)
        attended = torch.empty_like(mixed)
        external_memory.gated(array(gate.out).reshape(-1), array(value.out).reshape(-1), array(attended).reshape(-1))
        output = _separable(attended, unit.output)
        out = activated(output.out, GELU).add_(point(mixed, unit.residual))
        ctx.rest = block, inner, before, mixed, gate, value, output
        return as_planes(out)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        block, inner, before, mixed, gate, value, output = ctx.rest
        g = as_lanes(gradient)
        to_attended, of_output = _separable_back(activated_back(g, output.out, GELU), output)
        to_gate, to_value = torch.empty_like(mixed), torch.empty_like(mixed)
        arrays = (array(each).reshape(-1) for each in (to_attended, gate.out, value.out, to_gate, to_value))
        external_memory.gated_back(*arrays)
        to_mixed, of_residual = point_back(g, mixed, block.gau.residual)
        through_gate, of_gate = _separable_back(to_gate, gate)
        through_value, of_value = _separable_back(to_value, value)
        to_mixed.add_(through_gate).add_(through_value)
        to_inner, of_mix = point_back(activated_back(to_mixed, before, GELU), inner.norm.out, block.mix)
        to_x, of_inner = normed_depthwise_back(to_inner, inner)
        of_unit = *of_gate, *of_value, *of_output, *of_residual
        return as_planes(to_x), None, *of_inner, *of_mix, *of_unit


def _gated_layers(block: Any) -> list[nn.Module]:
    unit = block.gau
    separable = [(each.depthwise, each.norm, each.pointwise) for each in (unit.gate, unit.value, unit.output)]
    return [*block.dilated, block.norm, block.mix, *(layer for each in separable for layer in each), unit.residual]


class KernelDilatedGatedAttention(malunet.DilatedGatedAttention):
    def forward(self, x: Tensor) -> Tensor:
        return _DilatedGated.apply(x, self, *_parameters(_gated_layers(self)))


class _ExternalAttention(torch.autograd.Function):
    """All of an `InvertedExternalAttention`; the parameters follow x as `_external_layers` orders them."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, block: Any, *parameters: Tensor) -> Tensor:
        x = as_lanes(x)
        h = point(x, block.conv1)
        slots = point(h, block.linear_0)  # (H, W, B, S)
        share, attention = torch.empty_like(slots), torch.empty_like(slots)
        external_memory.softmax(rows(slots), rows(share))
        inverse = np.empty(slots.numel() // slots.shape[3], array(x).dtype)
        external_memory.normalise(_slots(share), inverse, _slots(attention))
        read = point(attention, block.linear_1)
        norm = normed(point(read, block.conv2), block.norm)
        added = norm.out + x
        ctx.rest = block, x, h, share, attention, inverse, read, norm, added
        return as_planes(activated(added, GELU))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        block, x, h, share, attention, inverse, read, norm, added = ctx.rest
        to_added = activated_back(as_lanes(gradient), added, GELU)
        to_conv2, of_norm = normed_back(to_added, norm)
        to_read, of_conv2 = point_back(to_conv2, read, block.conv2)
        to_attention, of_linear_1 = point_back(to_read, attention, block.linear_1)
        external_memory.normalise_back(_slots(to_attention), _slots(attention), inverse)
        external_memory.softmax_back(rows(to_attention), rows(share))
        to_h, of_linear_0 = point_back(to_attention, h, block.linear_0)
        to_x, of_conv1 = point_back(to_h, x, block.conv1)
        to_x.add_(to_added)
        return as_planes(to_x), None, *of_conv1, *of_linear_0, *of_linear_1, *of_conv2, *of_norm


def _slots(x: Tensor) -> np.ndarray:
    """(H, W, B, S) as (n B, S)."""
    return array(x).reshape(-1, x.shape[3])


def _external_layers(block: Any) -> list[nn.Module]:
    return [block.conv1, block.linear_0, block.linear_1, block.conv2, block.norm]


class KernelExternalAttention(malunet.InvertedExternalAttention):
    def forward(self, x: Tensor) -> Tensor:
        return _ExternalAttention.apply(x, self, *_parameters(_external_layers(self)))
