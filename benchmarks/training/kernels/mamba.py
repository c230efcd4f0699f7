"""Mamba by two kernels: the causal convolution with SiLU, and the selective scan with its step sizes, skip and gate.

The scan is sequential, one token after the other, with the channels of eight sequences side by side in the vector
lanes; torch must run it over chunks in parallel, which takes each step twice. The recurrence and its gradient stand in
`baselines.selective_scan`; the states are computed again on the way back.

Letters: B sequences, L tokens, D channels, N states, K taps.
"""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from baselines import mamba
from benchmarks.training.kernels.arrays import array, new, tensors
from benchmarks.training.kernels.elementary import exp, log
from benchmarks.training.kernels.jit import kernel
from benchmarks.training.kernels.products import copy


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


SIDE = 8  # sequences side by side: lane d * SIDE + s is channel d of sequence s
SEGMENT = 32  # tokens whose states are kept on the way back: they fit the second cache


@kernel
def _gather(x, first, t, to):
    """Token t of SIDE sequences of x (B, L, D) into to (D * SIDE,); what is beyond B stays."""
    for s in range(min(SIDE, len(x) - first)):
        row = x[first + s, t]
        for d in range(row.size):
            to[d * SIDE + s] = row[d]


@kernel
def _scatter(lanes, first, t, to):
    """The reverse of `_gather`."""
    for s in range(min(SIDE, len(to) - first)):
        row = to[first + s, t]
        for d in range(row.size):
            row[d] = lanes[d * SIDE + s]


@kernel
def _spread(values, to):
    """values (SIDE,) over and over in to: one vector, loaded and stored."""
    for q in range(to.size // SIDE):
        for s in range(SIDE):
            to[SIDE * q + s] = values[s]


@kernel
def _collect(lanes, to):
    """to (SIDE,) = the sum over channels of lanes."""
    zero = lanes.dtype.type(0)
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = zero
    for q in range(0, lanes.size, SIDE):
        s0 += lanes[q]
        s1 += lanes[q + 1]
        s2 += lanes[q + 2]
        s3 += lanes[q + 3]
        s4 += lanes[q + 4]
        s5 += lanes[q + 5]
        s6 += lanes[q + 6]
        s7 += lanes[q + 7]
    to[0], to[1], to[2], to[3], to[4], to[5], to[6], to[7] = s0, s1, s2, s3, s4, s5, s6, s7


@kernel
def _lanes_of(a):
    """a (D, N) as (N, D * SIDE)."""
    to = np.empty((a.shape[1], len(a) * SIDE), a.dtype)
    for n in range(len(to)):
        for q in range(to.shape[1]):
            to[n, q] = a[q // SIDE, n]
    return to


@kernel
def _step(state, a, delta, x, b, decays, new):
    """One token of one state: new = decays * state + x * b, decays = exp(delta * a); all rows of lanes."""
    for q in range(new.size):
        decays[q] = exp(delta[q] * a[q])
        new[q] = decays[q] * state[q] + x[q] * b[q]


@kernel
def _add_product(a, b, to):
    for q in range(to.size):
        to[q] += a[q] * b[q]


@kernel
def _product(a, b, to):
    for q in range(to.size):
        to[q] = a[q] * b[q]


@kernel
def _gated(y, gate, out):
    """out = y silu(gate), flat arrays."""
    one = y.dtype.type(1)
    for p in range(out.size):
        out[p] = y[p] * (gate[p] / (one + exp(-gate[p])))


@kernel
def _scan_forward(u, raw, a, b, c, skip, gate, delta, y, starts, out):
    """out (B, L, D) = (y + skip u) silu(gate), y the scan of u with the steps delta = softplus(raw).

    u, raw, gate, delta, y: (B, L, D). a: (D, N). b, c: (B, L, N). skip: (D,). y comes with the skip. starts: the states
    before each segment, (B / SIDE, L / SEGMENT, N, D * SIDE), both quotients rounded up.
    """
    tokens, states = u.shape[1], a.shape[1]
    rates = _lanes_of(a)
    m = rates.shape[1]
    _softplus(raw.reshape(raw.size), delta.reshape(raw.size))
    rows, skips = np.zeros((4, m), u.dtype), np.repeat(skip, SIDE)
    step, value, x, total = rows[0], rows[1], rows[2], rows[3]
    side, wide, decays = np.zeros((2, states, SIDE), u.dtype), np.empty((2, m), u.dtype), np.empty(m, u.dtype)
    both = np.empty((2, states, m), u.dtype)
    for first in range(0, len(u), SIDE):
        _fill(both.reshape(both.size), 0)
        for t in range(tokens):
            _gather(delta, first, t, step)
            _gather(u, first, t, value)
            _gather(b, first, t, side[0].reshape(states * SIDE))
            _gather(c, first, t, side[1].reshape(states * SIDE))
            _product(step, value, x)
            _product(skips, value, total)
            old, new = both[t % 2], both[1 - t % 2]
            if t % SEGMENT == 0:
                copy(old.reshape(old.size), starts[first // SIDE, t // SEGMENT].reshape(old.size))
            for n in range(states):
                _spread(side[0, n], wide[0])
                _spread(side[1, n], wide[1])
                _step(old[n], rates[n], step, x, wide[0], decays, new[n])
                _add_product(new[n], wide[1], total)
            _scatter(total, first, t, y)
    _gated(y.reshape(y.size), gate.reshape(y.size), out.reshape(y.size))


@kernel
def _ungated(g, y, gate, dgate, dy):
    """Both gradients of `_gated`, flat arrays."""
    one = y.dtype.type(1)
    for p in range(g.size):
        s = one / (one + exp(-gate[p]))
        dgate[p] = g[p] * y[p] * s * (one + gate[p] * (one - s))
        dy[p] = g[p] * gate[p] * s


@kernel
def _read_back(gy, state, c, b, x, carried, dx, dc, db):
    """What reads and feeds a state passes on: adds to `carried`, the gradient of the state, and to dx; dc and db."""
    for q in range(gy.size):
        g = carried[q] + gy[q] * c[q]
        carried[q] = g
        dc[q] = state[q] * gy[q]
        db[q] = g * x[q]
        dx[q] += g * b[q]


@kernel
def _state_back(carried, decays, before, a, delta, ddelta, da):
    """What the gradient of a state passes on: to the state before it, and adds to ddelta and da."""
    for q in range(carried.size):
        g = carried[q] * decays[q]
        s = g * before[q]
        ddelta[q] += s * a[q]
        da[q] += s * delta[q]
        carried[q] = g


@kernel
def _run(delta, u, b, first, begin, rates, states, decays):
    """A segment of SIDE sequences again: `states` (SEGMENT + 1, N, lanes), the first given, and `decays`."""
    count, m = rates.shape
    rows, side, wide = np.zeros((3, m), u.dtype), np.zeros((count, SIDE), u.dtype), np.empty(m, u.dtype)
    for t in range(min(SEGMENT, u.shape[1] - begin)):
        _gather(delta, first, begin + t, rows[0])
        _gather(u, first, begin + t, rows[1])
        _gather(b, first, begin + t, side.reshape(count * SIDE))
        _product(rows[0], rows[1], rows[2])
        for n in range(count):
            _spread(side[n], wide)
            _step(states[t, n], rates[n], rows[0], rows[2], wide, decays[t, n], states[t + 1, n])


@kernel
def _finish(raw, delta, value, gy, skips, dx, ddelta, draw, du):
    """From the gradients of delta u, dx, and of delta, those of raw and u; rows of lanes."""
    one, beyond = raw.dtype.type(1), raw.dtype.type(20)
    for q in range(raw.size):
        slope = one if raw[q] > beyond else one - exp(-delta[q])
        draw[q] = (ddelta[q] + dx[q] * value[q]) * slope
        du[q] = dx[q] * delta[q] + gy[q] * skips[q]


@kernel
def _scan_backward(g, u, raw, a, b, c, skip, gate, delta, y, starts, du, draw, da, db, dc, dskip, dgate):
    """All gradients of `_scan_forward`, da (D, N) and dskip (D,) in float64 and added to."""
    tokens, count, size = u.shape[1], a.shape[1], u.size
    rates, skips, dy = _lanes_of(a), np.repeat(skip, SIDE), np.empty(u.shape, u.dtype)
    _ungated(g.reshape(size), y.reshape(size), gate.reshape(size), dgate.reshape(size), dy.reshape(size))
    m = rates.shape[1]
    states, decays = np.empty((SEGMENT + 1, count, m), u.dtype), np.empty((SEGMENT, count, m), u.dtype)
    carried, share, of_skip = np.empty((count, m), u.dtype), np.empty((count, m), u.dtype), np.empty(m)
    rows, wide, side = np.zeros((9, m), u.dtype), np.empty((4, m), u.dtype), np.zeros((4, count, SIDE), u.dtype)
    step, value, gy, old, x, dx, d_step = rows[0], rows[1], rows[2], rows[3], rows[4], rows[5], rows[6]
    to_raw, to_u, flat = rows[7], rows[8], side.reshape(4, count * SIDE)
    for first in range(0, len(u), SIDE):
        for each in (carried, share):
            _fill(each.reshape(each.size), 0)
        _fill(of_skip, 0)
        for t in range(tokens - 1, -1, -1):
            k = t % SEGMENT
            if k == SEGMENT - 1 or t == tokens - 1:
                copy(starts[first // SIDE, t // SEGMENT].reshape(count * m), states[0].reshape(count * m))
                _run(delta, u, b, first, t - k, rates, states, decays)
            for source, to in ((delta, step), (u, value), (dy, gy), (raw, old), (b, flat[0]), (c, flat[1])):
                _gather(source, first, t, to)
            _product(step, value, x)
            _fill(dx, 0)
            _fill(d_step, 0)
            for n in range(count):
                _spread(side[0, n], wide[0])
                _spread(side[1, n], wide[1])
                _read_back(gy, states[k + 1, n], wide[1], wide[0], x, carried[n], dx, wide[2], wide[3])
                _collect(wide[2], side[2, n])
                _collect(wide[3], side[3, n])
                _state_back(carried[n], decays[k, n], states[k, n], rates[n], step, d_step, share[n])
            _add_product(gy, value, of_skip)
            _finish(old, step, value, gy, skips, dx, d_step, to_raw, to_u)
            for lanes, to in ((to_raw, draw), (to_u, du), (flat[2], dc), (flat[3], db)):
                _scatter(lanes, first, t, to)
        _add_lanes(share, of_skip, min(SIDE, len(u) - first), da, dskip)


@kernel
def _add_lanes(share, of_skip, sequences, da, dskip):
    """Add the lanes (N, D * SIDE) and (D * SIDE,) of some sequences to da (D, N) and dskip (D,)."""
    for d in range(len(dskip)):
        for q in range(d * SIDE, d * SIDE + sequences):
            dskip[d] += of_skip[q]
            for n in range(len(share)):
                da[d, n] += share[n, q]


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Tensor) -> Tensor:
        values = [array(each) for each in inputs]
        delta, y, out = np.empty_like(values[0]), np.empty_like(values[0]), new(inputs[0])
        sequences, tokens, channels = delta.shape
        shape = math.ceil(sequences / SIDE), math.ceil(tokens / SEGMENT), values[3].shape[2], channels * SIDE
        starts = np.empty(shape, delta.dtype)
        _scan_forward(*values, delta, y, starts, array(out))
        ctx.save_for_backward(*inputs)
        ctx.rest = delta, y, starts
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        inputs = ctx.saved_tensors
        u, raw, a, b, c, skip, gate = (torch.zeros(each.shape, dtype=each.dtype) for each in inputs)
        to_a, to_skip = np.zeros(a.shape), np.zeros(skip.shape)
        into = array(u), array(raw), to_a, array(b), array(c), to_skip, array(gate)
        delta, y, starts = ctx.rest
        _scan_backward(array(gradient), *(array(each) for each in inputs), delta, y, starts, *into)
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
