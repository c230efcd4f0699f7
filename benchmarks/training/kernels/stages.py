"""The ends of encoder and decoder stages as autograd functions over the kernels.

Letters: B images, C channels, H x W pixels.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from benchmarks.training.kernels import affine_norm, max_pooling, resampling
from benchmarks.training.kernels.activations import IDENTITY
from benchmarks.training.kernels.arrays import array, planes


class Norm:
    """What the kernels need of a group or batch norm; made for each call."""

    def __init__(self, module: Any, y: Tensor) -> None:
        """y: (B, C, H, W), contiguous. The running statistics of a batch norm move, where it is in training mode."""
        self.gamma, self.eps = array(module.weight), module.eps
        self.n = y.shape[2] * y.shape[3]
        none = self.gamma[:0]
        mean, variance, momentum, self.training, self.groups = none, none, 0.0, True, affine_norm.BATCH
        if isinstance(module, nn.GroupNorm):
            self.groups = module.num_groups
        else:
            mean, variance = array(module.running_mean), array(module.running_var)
            momentum, self.training = module.momentum, module.training
            if self.training:
                module.num_batches_tracked.add_(1)
        self.stats = np.empty((4, *y.shape[:2]), self.gamma.dtype)
        flat = array(y).reshape(*y.shape[:2], -1)
        options = self.groups, mean, variance, momentum, self.training
        affine_norm.statistics(flat, self.gamma, array(module.bias), self.eps, *options, self.stats)

    def gradient(self, sums: np.ndarray) -> tuple[np.ndarray, Tensor, Tensor]:
        """`affine_norm.coefficients` of the sums (2, B, C): lines (2, B, C), and gradients (C,) of weight and bias."""
        lines = np.empty(sums.shape, self.gamma.dtype)
        to_gamma, to_beta = (np.empty(self.gamma.shape, self.gamma.dtype) for _ in range(2))
        affine_norm.coefficients(
            sums, self.stats, self.gamma, self.n, self.groups, self.training, lines, to_gamma, to_beta
        )
        return lines, torch.from_numpy(to_gamma), torch.from_numpy(to_beta)


class _NormPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, y: Tensor, weight: Tensor, bias: Tensor, module: Any, activation: int) -> Tensor:
        y = y.contiguous()
        batch, channels, height, width = y.shape
        norm, out = Norm(module, y), y.new_empty(batch, channels, height // 2, width // 2)
        found, place = np.empty(out.shape, norm.gamma.dtype), np.empty(out.shape, np.int32)
        max_pooling.pool_forward(array(y), norm.stats, activation, array(out), found, place)
        ctx.save_for_backward(y)
        ctx.rest = norm, found, place, activation
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (y,), (norm, found, place, activation) = ctx.saved_tensors, ctx.rest
        d, sums, flat = np.empty_like(found), np.empty((2, *y.shape[:2])), (*y.shape[:2], -1)
        g = array(gradient.contiguous()).reshape(flat)
        max_pooling.pool_gradient(g, found.reshape(flat), norm.stats, activation, d.reshape(flat), sums)
        lines, to_gamma, to_beta = norm.gradient(sums)
        to_y = torch.empty_like(y)
        max_pooling.unpool(d, place, array(y), norm.stats, lines, array(to_y))
        return to_y, to_gamma, to_beta, None, None


def norm_pool(y: Tensor, module: nn.GroupNorm | nn.BatchNorm2d, activation: int) -> Tensor:
    """activation(max_pool2d(norm(y), 2)): (B, C, H, W) to (B, C, H // 2, W // 2)."""
    return _NormPool.apply(y, module.weight, module.bias, module, activation)


class _NormResize(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, y: Tensor, weight: Tensor, bias: Tensor, added: Tensor | None, module: Any, to: "Resizing"
    ) -> Tensor:
        y = y.contiguous()
        norm, out = Norm(module, y), y.new_empty(*y.shape[:2], *to.size)
        extra = out.new_empty(0, 0, 0, 0) if added is None else added
        if to.size == y.shape[2:]:
            affine_norm.forward(planes(y), norm.stats, to.activation, planes(extra), planes(out))
        else:
            scales, shifts = norm.stats[affine_norm.SCALE], norm.stats[affine_norm.SHIFT]
            arguments = scales, shifts, *to.tables(y), to.activation, array(extra)
            resampling.resize_forward(array(y), *arguments, array(out))
        ctx.save_for_backward(y)
        ctx.rest = norm, to, added is not None
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (y,), (norm, to, added) = ctx.saved_tensors, ctx.rest
        to_y, sums = torch.empty_like(y), np.empty((2, *y.shape[:2]))
        d, plain = planes(to_y), planes(y)
        if to.size == y.shape[2:]:
            affine_norm.gradient(planes(gradient), plain, norm.stats, to.activation, d, sums)
        else:
            scales, shifts = norm.stats[affine_norm.SCALE], norm.stats[affine_norm.SHIFT]
            arguments = scales, shifts, *to.tables(y), to.activation
            resampling.resize_gradient(array(gradient), array(y), *arguments, array(to_y))
            resampling.norm_sums(d, plain, norm.stats, sums)
        lines, to_gamma, to_beta = norm.gradient(sums)
        affine_norm.input_gradient(d, plain, norm.stats, lines, d)
        return to_y, to_gamma, to_beta, gradient if added else None, None, None


class Resizing(NamedTuple):
    """Bilinear resizing to `size`, (H, W), and the activation behind it."""

    size: tuple[int, int]
    align_corners: bool
    activation: int

    def tables(self, y: Tensor) -> tuple[resampling.Table, resampling.Table]:
        """`resampling.table` of rows and columns for y (B, C, h, w)."""
        kind = str(array(y).dtype)
        each = zip(y.shape[2:], self.size, strict=True)
        rows, columns = (resampling.table(old, new, self.align_corners, kind) for old, new in each)
        return rows, columns


def norm_resize(
    y: Tensor,
    module: nn.GroupNorm | nn.BatchNorm2d,
    size: tuple[int, int],
    activation: int,
    *,
    align_corners: bool,
    added: Tensor | None = None,
) -> Tensor:
    """activation(interpolate(norm(y), size, "bilinear")) + added: (B, C, h, w) to (B, C, H, W), as added has it."""
    return _NormResize.apply(y, module.weight, module.bias, added, module, Resizing(size, align_corners, activation))


def resized(y: Tensor, to: Resizing) -> Tensor:
    """activation(interpolate(y)), without a gradient: (B, C, h, w), contiguous, to (B, C, H, W)."""
    out, none = y.new_empty(*y.shape[:2], *to.size), np.empty((0, 0, 0, 0), array(y).dtype)
    resampling.resize_forward(array(y), *_as_it_is(y), *to.tables(y), to.activation, none, array(out))
    return out


def resized_back(gradient: Tensor, y: Tensor, to: Resizing) -> Tensor:
    """The gradient of y in `resized`. Without an activation only the shape of y counts."""
    to_y = y.new_empty(y.shape)
    g = array(gradient.contiguous())
    resampling.resize_gradient(g, array(y), *_as_it_is(y), *to.tables(y), to.activation, array(to_y))
    return to_y


def _as_it_is(y: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Scales and shifts that change nothing."""
    ones = np.ones(y.shape[:2], array(y).dtype)
    return ones, np.zeros_like(ones)


class _Resize(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, y: Tensor, to: Resizing) -> Tensor:
        y = y.contiguous()
        ctx.save_for_backward(y)
        ctx.to = to
        return resized(y, to)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (y,) = ctx.saved_tensors
        return resized_back(gradient, y, ctx.to), None


def resize(y: Tensor, size: tuple[int, int], activation: int = IDENTITY, *, align_corners: bool) -> Tensor:
    """activation(interpolate(y, size, "bilinear")): (B, C, h, w) to (B, C, H, W)."""
    return _Resize.apply(y, Resizing(size, align_corners, activation))
