"""Activations of whole rows, by number, so that one kernel serves all of them.

The exact GELU needs the normal distribution function. In float32, 0.5 erfcx(t / sqrt 2) is u q(u), u = 1 / (1 + 0.4 t),
for t >= 1 with a polynomial q of our own fit, relative error 1.5e-8, and nearer to 0 one in t^2 serves, 7e-10. In
float64, which only tests use, it is the C library's erfc.
"""

import math
from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import overload

from benchmarks.training.kernels.elementary import exp
from benchmarks.training.kernels.jit import EACH, kernel
from benchmarks.training.kernels.products import TILE, copy

IDENTITY, RELU, GELU = range(3)

inlined: Any = njit(inline="always", nogil=True, error_model="numpy", fastmath=EACH)
"""For a value's function within loops: a call, even one that LLVM inlines later, keeps a loop off vectors."""


def normal_cdf(x, density):
    """Standard normal distribution function at x, with `density` = exp(-x^2 / 2)."""
    raise NotImplementedError("only kernels call this")


@overload(normal_cdf, jit_options={"fastmath": EACH})
def _normal_cdf(x, density):
    if x != types.float32:
        return lambda x, density: 0.5 * math.erfc(x * -0.7071067811865476)

    def of_float32(x, density):
        kind = np.float32
        t = abs(x)
        u = kind(1.0) / (kind(1.0) + kind(0.4) * t)
        q = kind(0.03196563)
        q = q * u + kind(-0.1754628)
        q = q * u + kind(0.37912734)
        q = q * u + kind(-0.36979239)
        q = q * u + kind(0.11596622)
        q = q * u + kind(-0.02495893)
        q = q * u + kind(0.09069198)
        q = q * u + kind(0.13327444)
        q = q * u + kind(0.15961187)
        q = q * u + kind(0.15957665)
        tail = q * u * density
        far = tail if x < kind(0.0) else kind(1.0) - tail
        s = x * x
        p = kind(-7.65421133e-6)
        p = p * s + kind(1.13486379e-4)
        p = p * s + kind(-1.18632995e-3)
        p = p * s + kind(9.97332341e-3)
        p = p * s + kind(-6.64903599e-2)
        p = p * s + kind(0.39894228)
        return kind(0.5) + x * p if t < kind(1.0) else far

    return of_float32


@inlined
def gelu(x):
    """x times the standard normal distribution function of x: the exact one, not that with tanh."""
    return x * normal_cdf(x, exp(type(x)(-0.5) * x * x))


@inlined
def gelu_slope(x):
    """The derivative of `gelu`."""
    density = exp(type(x)(-0.5) * x * x)
    return normal_cdf(x, density) + x * density * type(x)(0.3989422804014327)


@inlined
def sigmoid(x):
    """1 / (1 + exp(-x))."""
    return type(x)(1.0) / (type(x)(1.0) + exp(-x))


@kernel
def activate(row, activation):
    """Apply an activation to a row in place."""
    if activation == RELU:
        for p in range(row.size):
            v = row[p]
            row[p] = row.dtype.type(0) if v <= 0 else v  # NaN stays
    elif activation == GELU:
        for p in range(row.size):
            row[p] = gelu(row[p])


@kernel
def through(gradient, row, activation):
    """Replace a row by `gradient` times the slope of an activation at it."""
    if activation == RELU:
        for p in range(row.size):
            row[p] = row.dtype.type(0) if row[p] <= 0 else gradient[p]
    elif activation == GELU:
        for p in range(row.size):
            row[p] = gradient[p] * gelu_slope(row[p])
    else:
        for p in range(row.size):
            row[p] = gradient[p]


@kernel
def activated(x, activation, to):
    """to = activation(x), flat arrays."""
    for start in range(0, x.size, TILE):
        copy(x[start : start + TILE], to[start : start + TILE])
        activate(to[start : start + TILE], activation)


@kernel
def slope_times(g, x, activation, to):
    """to = g times the slope of the activation at x, flat arrays."""
    for start in range(0, x.size, TILE):
        copy(x[start : start + TILE], to[start : start + TILE])
        through(g[start : start + TILE], to[start : start + TILE], activation)
