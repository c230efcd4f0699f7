"""Mamba by two kernels: the causal convolution with SiLU, and the selective scan with its step sizes, skip and gate.

The scan is sequential, one token after the other, with the N states of a channel side by side in a vector; torch must
run it over chunks in parallel, which takes each step twice. The recurrence and its gradient stand in
`baselines.selective_scan`; the states are computed again on the way back.

Letters: B sequences, L tokens, D channels, N states, K taps.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from baselines import mamba
from benchmarks.kernels.arrays import array, new, tensors
from benchmarks.kernels.elementary import exp, log
from benchmarks.kernels.jit import kernel, summing
from benchmarks.kernels.products import copy


@kernel
def _fill(row, value):
    for p in range(row.size):
        row[p] = value


@kernel
def _conv_forward(x, w, bias, before, out):
    """out (B, L, D) = silu(before), before = the causal convolution of x (B, L, D) with w (K, D) and bias (D,)."""
    one = x.dtype.type(1)
    for b in range(len(x)):
        for t in range(x.shape[1]):
            row, to = before[b, t], out[b, t]
            copy(bias, row)
            for k in range(max(len(w) - 1 - t, 0), len(w)):
                tap, old = w[k], x[b, t - (len(w) - 1) + k]
                for d in range(row.size):
                    row[d] += tap[d] * old[d]
            for d in range(row.size):
                to[d] = row[d] / (one + exp(-row[d]))


@kernel
def _conv_backward(g, x, w, before, dx, dw, dbias):
    """dx (B, L, D), and dw (K, D) and dbias (D,), float64, which are added to."""
    one = x.dtype.type(1)
    row = np.empty(x.shape[2], x.dtype)
    for b in range(len(x)):
        for t in range(x.shape[1]):
            old, d_out = before[b, t], g[b, t]
            for d in range(row.size):
                s = one / (one + exp(-old[d]))
                row[d] = d_out[d] * s * (one + old[d] * (one - s))
            for d in range(row.size):
                dbias[d] += row[d]
            for k in range(max(len(w) - 1 - t, 0), len(w)):
                at = t - (len(w) - 1) + k
                tap, to, value, total = w[k], dx[b, at], x[b, at], dw[k]
                for d in range(row.size):
                    to[d] += tap[d] * row[d]
                for d in range(row.size):
                    total[d] += value[d] * row[d]


class _Conv(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        values, out = array(x), new(x)
        w, before = np.ascontiguousarray(array(weight)[:, 0].T), np.empty_like(values)
        _conv_forward(values, w, array(bias), before, array(out))
        ctx.save_for_backward(x, weight)
        ctx.rest = w, before
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        (x, weight), (w, before) = ctx.saved_tensors, ctx.rest
        to_x, to_w, to_bias = torch.zeros_like(x), np.zeros(w.shape), np.zeros(w.shape[1])
        _conv_backward(array(gradient), array(x), w, before, array(to_x), to_w, to_bias)
        return to_x, *tensors((np.ascontiguousarray(to_w.T)[:, None], to_bias), weight)


@kernel
def _softplus(x, to):
    """log(1 + exp(x)), which is x beyond 20, as torch has it."""
    one, beyond = x.dtype.type(1), x.dtype.type(20)
    for p in range(x.size):
        e = exp(x[p])
        u = one + e
        small = u - one
        v = e if small == 0 else log(u) * e / small  # what rounding 1 + e has lost is put back
        to[p] = x[p] if x[p] > beyond else v


@kernel
def _step(state, decays, a, delta, b, x):
    """One token of one channel: the state moves on, and decays are kept."""
    for n in range(state.size):
        decays[n] = exp(delta * a[n])
        state[n] = decays[n] * state[n] + x * b[n]


@summing
def _read(state, c):
    total = state.dtype.type(0)
    for n in range(state.size):
        total += state[n] * c[n]
    return total


@kernel
def _scan_forward(u, raw, a, b, c, skip, gate, delta, y, out):
    """out (B, L, D) = (y + skip u) silu(gate), y the scan of u with the steps delta = softplus(raw).

    u, raw, gate, delta, y: (B, L, D). a: (D, N). b, c: (B, L, N). skip: (D,). y comes with the skip.
    """
    one = u.dtype.type(1)
    state, decays = np.empty(a.shape, u.dtype), np.empty(a.shape[1], u.dtype)
    for i in range(len(u)):
        _fill(state.reshape(state.size), 0)
        for t in range(u.shape[1]):
            _softplus(raw[i, t], delta[i, t])
            for d in range(u.shape[2]):
                _step(state[d], decays, a[d], delta[i, t, d], b[i, t], delta[i, t, d] * u[i, t, d])
                y[i, t, d] = _read(state[d], c[i, t]) + skip[d] * u[i, t, d]
            row, to, z = y[i, t], out[i, t], gate[i, t]
            for d in range(row.size):
                to[d] = row[d] * (z[d] / (one + exp(-z[d])))


@kernel
def _add_scaled(row, f, to):
    for n in range(to.size):
        to[n] += f * row[n]


@summing
def _state_back(carried, decays, before, a, delta, da):
    """What the gradient of a state, `carried`, passes on: returns that of delta, and adds to da."""
    d_delta = a.dtype.type(0)
    for n in range(carried.size):
        g = carried[n] * decays[n]
        s = g * before[n]
        d_delta += s * a[n]
        da[n] += s * delta
        carried[n] = g
    return d_delta


@kernel
def _scan_backward(g, u, raw, a, b, c, skip, gate, delta, y, du, draw, da, db, dc, dskip, dgate):
    """All gradients of `_scan_forward`, da (D, N) and dskip (D,) in float64; these, db and dc are added to."""
    one, beyond = u.dtype.type(1), u.dtype.type(20)
    tokens, channels = u.shape[1:]
    shape = (tokens + 1, channels, a.shape[1])
    states, decays = np.empty(shape, u.dtype), np.empty(shape, u.dtype)
    carried, share, gy = np.empty(a.shape, u.dtype), np.empty(a.shape, u.dtype), np.empty(channels, u.dtype)
    for i in range(len(u)):
        for values in (states[0], carried, share):
            _fill(values.reshape(values.size), 0)
        for t in range(tokens):
            copy(states[t].reshape(carried.size), states[t + 1].reshape(carried.size))
            for d in range(channels):
                x = delta[i, t, d] * u[i, t, d]
                _step(states[t + 1, d], decays[t, d], a[d], delta[i, t, d], b[i, t], x)
        for t in range(tokens - 1, -1, -1):
            row, whole, z, to = y[i, t], g[i, t], gate[i, t], dgate[i, t]
            for d in range(channels):
                s = one / (one + exp(-z[d]))
                to[d] = whole[d] * row[d] * s * (one + z[d] * (one - s))
                gy[d] = whole[d] * z[d] * s
            for d in range(channels):
                step, value = delta[i, t, d], u[i, t, d]
                _add_scaled(c[i, t], gy[d], carried[d])
                _add_scaled(states[t + 1, d], gy[d], dc[i, t])
                _add_scaled(carried[d], step * value, db[i, t])
                dx = _read(carried[d], b[i, t])
                d_step = _state_back(carried[d], decays[t, d], states[t, d], a[d], step, share[d])
                du[i, t, d] = dx * step + gy[d] * skip[d]
                d_step += dx * value
                slope = one if raw[i, t, d] > beyond else one - exp(-step)
                draw[i, t, d] = d_step * slope
                dskip[d] += gy[d] * value
        for d in range(channels):
            _add_scaled(share[d], 1, da[d])


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Tensor) -> Tensor:
        values = [array(each) for each in inputs]
        delta, y, out = np.empty_like(values[0]), np.empty_like(values[0]), new(inputs[0])
        _scan_forward(*values, delta, y, array(out))
        ctx.save_for_backward(*inputs)
        ctx.rest = delta, y
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        inputs = ctx.saved_tensors
        u, raw, a, b, c, skip, gate = (torch.zeros(each.shape, dtype=each.dtype) for each in inputs)
        to_a, to_skip = np.zeros(a.shape), np.zeros(skip.shape)
        into = array(u), array(raw), to_a, array(b), array(c), to_skip, array(gate)
        _scan_backward(array(gradient), *(array(each) for each in inputs), *ctx.rest, *into)
        a, skip = tensors((to_a, to_skip), a)
        return u, raw, a, b, c, skip, gate


class KernelMamba(mamba.Mamba):
    def forward(self, tokens: Tensor) -> Tensor:
        x, gate = self.in_proj(tokens).chunk(2, dim=-1)  # (B, L, D) each
        x = _Conv.apply(x, self.conv1d.weight, self.conv1d.bias)
        rates, b, c = self.x_proj(x).split(self.split, dim=-1)  # (B, L, R), twice (B, L, N)
        out = _Scan.apply(x, self.dt_proj(rates), -self.A_log.exp(), b, c, self.D, gate)
        return self.out_proj(out)


KERNELS: dict[type, type] = {mamba.Mamba: KernelMamba}
