"""A network's first layers, 3x3 convolution, batch norm and ReLU: few channels, which fill no block of oneDNN's.

Letters: B images, C channels in, O out, n = H x W pixels.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from benchmarks.training.kernels.arrays import array, planes
from benchmarks.training.kernels.dense import convolve, kernel_gradients, turned
from benchmarks.training.kernels.held import Held
from benchmarks.training.kernels.jit import kernel
from benchmarks.training.kernels.norm import means, moments, relu_gradient, relu_planes, relu_sums, statistics


@kernel
def _forward(x, w, training, norm, y, out):
    """x (B, C, H, W), w (O, 9C) to out (B, O, n), and y before the norm, (B, O, H, W), which may be out's memory."""
    (batch, channels, height, width), outs = x.shape, len(w)
    convolve(x, w.reshape(outs, channels, 9), np.zeros(outs, x.dtype), y)
    flat = y.reshape(batch, outs, height * width)
    mean, square, count = np.zeros(outs), np.zeros(outs), 0
    if training:
        for b in range(batch):
            moments(flat[b], count, mean, square)
            count += height * width
    stats = statistics(count, mean, square, norm, training)
    for b in range(batch):
        relu_planes(flat[b], stats, out[b])
    return stats


@kernel
def _backward(g, x, y, w, training, stats, dx, dw, dnorm):
    """g (B, O, n) to dw (O, 9C), and to dx (B, C, H, W) if it is not empty; dnorm (2, O)."""
    (batch, channels, height, width), outs = x.shape, len(w)
    flat, kernels = y.reshape(g.shape), w.reshape(outs, channels, 9)
    sums, dy = relu_sums(g, flat, stats), np.empty(y.shape, y.dtype)
    back, d = means(sums, batch * height * width, training, y), dy.reshape(g.shape)
    for b in range(batch):
        for o in range(outs):
            relu_gradient(g[b, o], flat[b, o], stats, back, o, d[b, o])
    kernel_gradients(dy, x, dw.reshape(outs, channels, 9), np.empty(outs))
    if len(dx):
        convolve(dy, turned(kernels), np.zeros(channels, x.dtype), dx)
    dnorm[:] = sums


def stem(x: Tensor, held: Held) -> Tensor:
    """ReLU(batch norm(3x3 convolution with padding 1)) of x (B, C, H, W). held: w (O, C, 3, 3), and the norm."""
    if torch.is_grad_enabled():
        return _Stem.apply(x, held, *held.tensors)
    return _values(x, held, keep=False)[0]


def _values(x: Tensor, held: Held, *, keep: bool) -> tuple:
    """The result; x as an array, y before the norm, the norm's statistics, whether it trains."""
    w, *_ = held.arrays
    out = x.new_empty(len(x), len(w), *x.shape[2:])
    a, training = array(x), held.training(out.shape)
    y = np.empty(out.shape, w.dtype) if keep or training else array(out)
    return out, a, y, _forward(a, w, training, held.norm, y, planes(out)), training


class _Stem(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, held: Held, *tensors: Tensor) -> Tensor:
        out, *ctx.kept = _values(x, held, keep=True)
        ctx.held, ctx.w, ctx.shape = held, held.arrays[0], x.shape
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple:
        x, y, stats, training = ctx.kept
        needed, (gradients, to) = ctx.needs_input_grad[0], ctx.held.gradients()
        dx = g.new_empty(ctx.shape if needed else (0, *ctx.shape[1:]))
        _backward(planes(g), x, y, ctx.w, training, stats, array(dx), *to)
        return dx if needed else None, None, *gradients
