"""Layers whose replicas are channels: what `vmap` makes of convolutions, norms and pooling, without its detours.

`vmap` of a norm whose weights differ between the replicas normalises without weights and then multiplies and adds, each
a pass over memory forward and several backward; it adds the bias of a convolution in a pass of its own, and makes
pooled maps contiguous first. But R replicas of C channels are one network of R * C channels: (R, B, C, H, W) seen as
(B, R * C, H, W), which is how a stacked convolution leaves its result. It is the kernel of one replica, called once.
docs/performance.md has the bytes that this saves.

Letters: R replicas, B images, C channels, ... further axes.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def fold_replicas(network: nn.Module) -> None:
    """Have the layers of a network treat replicas as channels under `vmap`: same names, same weights, same results.

    For use under one `vmap` over the replicas, whose axis is the first one of all weights and running statistics.
    """
    for module in network.modules():
        if type(module) in FOLDED_CONVOLUTIONS and module.padding_mode == "zeros":
            module.__class__ = FOLDED_CONVOLUTIONS[type(module)]
        elif type(module) is nn.BatchNorm2d and module.affine and module.running_mean is not None and module.momentum:
            module.__class__ = FoldedBatchNorm2d
        elif type(module) is nn.GroupNorm and module.affine:
            module.__class__ = FoldedGroupNorm
        elif type(module) is nn.AvgPool2d:
            module.__class__ = FoldedAvgPool2d


class _FoldedConv:
    """(B, C, ...) to (B, O, ...), for each replica; in autocast's type where autocast is on, as `vmap` alone is not."""

    operation: Callable[..., Tensor]

    def forward(self: Any, x: Tensor) -> Tensor:
        kind = x.device.type
        cast = torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
        dtype = torch.get_autocast_dtype(kind) if cast else x.dtype
        bias = None if self.bias is None else self.bias.to(dtype)
        options = {"stride": self.stride, "padding": self.padding, "dilation": self.dilation}
        if self.transposed:
            options["output_padding"] = self.output_padding
        return _Conv.apply(type(self).operation, x.to(dtype), self.weight.to(dtype), bias, self.groups, options)


class FoldedConv1d(_FoldedConv, nn.Conv1d):
    operation = F.conv1d


class FoldedConv2d(_FoldedConv, nn.Conv2d):
    operation = F.conv2d


class FoldedConvTranspose2d(_FoldedConv, nn.ConvTranspose2d):  # type: ignore[misc]  # takes no output_size
    operation = F.conv_transpose2d


FOLDED_CONVOLUTIONS: dict[type, type] = {
    nn.Conv1d: FoldedConv1d,
    nn.Conv2d: FoldedConv2d,
    nn.ConvTranspose2d: FoldedConvTranspose2d,
}


class FoldedBatchNorm2d(nn.BatchNorm2d):
    """(B, C, H, W) to (B, C, H, W), for each replica."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        statistics = self.running_mean, self.running_var
        return _BatchNorm.apply(x, self.weight, self.bias, *statistics, self.training, self.momentum, self.eps)


class FoldedGroupNorm(nn.GroupNorm):
    """(B, C, ...) to (B, C, ...), for each replica."""

    def forward(self, x: Tensor) -> Tensor:
        return _GroupNorm.apply(x, self.weight, self.bias, self.num_groups, self.eps)


class FoldedAvgPool2d(nn.AvgPool2d):
    """(B, C, H, W) to (B, C, H', W'), for each replica."""

    def forward(self, x: Tensor) -> Tensor:
        options = self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad
        return _AvgPool.apply(x, *options, self.divisor_override)


class _Info(NamedTuple):
    batch_size: int  # replicas


class _Folded(torch.autograd.Function):
    """Only a place for a rule of `vmap`: autograd sees what the rule calls."""

    @staticmethod
    def forward(*arguments: Any) -> Tensor:
        raise NotImplementedError("a folded layer is for use under vmap")

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        raise NotImplementedError("a folded layer is for use under vmap")


class _Conv(_Folded):
    @staticmethod
    def vmap(
        info: _Info, in_dims: tuple, operation: Callable[..., Tensor], x: Tensor, *rest: Any
    ) -> tuple[Tensor, int]:
        (weight, bias), (groups, options) = _channels(in_dims[2:4], rest[:2]), rest[2:]
        images = _folded(info, in_dims[1], x)
        return _unfolded(info, operation(images, weight, bias, groups=info.batch_size * groups, **options))


class _BatchNorm(_Folded):
    @staticmethod
    def vmap(info: _Info, in_dims: tuple, x: Tensor, *rest: Any) -> tuple[Tensor, int]:
        (weight, bias, mean, variance), options = _channels(in_dims[1:5], rest[:4]), rest[4:]
        return _unfolded(info, F.batch_norm(_folded(info, in_dims[0], x), mean, variance, weight, bias, *options))


class _GroupNorm(_Folded):
    @staticmethod
    def vmap(info: _Info, in_dims: tuple, x: Tensor, *rest: Any) -> tuple[Tensor, int]:
        (weight, bias), (groups, eps) = _channels(in_dims[1:3], rest[:2]), rest[2:]
        return _unfolded(info, F.group_norm(_folded(info, in_dims[0], x), info.batch_size * groups, weight, bias, eps))


class _AvgPool(_Folded):
    @staticmethod
    def vmap(info: _Info, in_dims: tuple, x: Tensor, *options: Any) -> tuple[Tensor, int]:
        return _unfolded(info, F.avg_pool2d(_folded(info, in_dims[0], x), *options))


def _folded(info: _Info, dim: int | None, x: Tensor) -> Tensor:
    """(B, R * C, ...) of what has its replicas at `dim`, or none."""
    replicas = x.unsqueeze(1).expand(-1, info.batch_size, *x.shape[1:]) if dim is None else x.movedim(dim, 1)
    return replicas.flatten(1, 2)


def _unfolded(info: _Info, x: Tensor) -> tuple[Tensor, int]:
    """(R, B, C, ...) of (B, R * C, ...), a view, and where its replicas are.

    First, because `vmap` of grid_sample in torch 2.11 takes them from nowhere else.
    """
    return x.unflatten(1, (info.batch_size, -1)).movedim(1, 0), 0


def _channels(dims: tuple, tensors: Any) -> list[Tensor | None]:
    """Weights and statistics (R, C, ...), or None, as views (R * C, ...), so that statistics change in place."""
    if any(dim != 0 for dim, tensor in zip(dims, tensors, strict=True) if tensor is not None):
        raise ValueError("the weights and statistics of a folded layer have the replicas as their first axis")
    return [None if tensor is None else tensor.flatten(0, 1) for tensor in tensors]
