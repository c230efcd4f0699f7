"""Exponential and logarithm in float32 by polynomials, which run on vectors; in float64 the C library's, one by one.

The polynomials are those of Cephes (S. Moshier), within about one unit in the last place.
"""

import numpy as np
from numba import types
from numba.extending import overload

from benchmarks.training.kernels.jit import EACH

ROUND = np.float32(12582912)  # 1.5 * 2 ** 23: what is added to it lies in the last bits of the sum, rounded to whole
ROUND_BITS = np.int32(0x4B400000)  # of ROUND


def exp(x):
    """e ** x for kernels; NaN stays NaN, what leaves the range is 0 or infinity."""
    return np.exp(x)


def log(x):
    """Natural logarithm for kernels of x >= 0; log of 0 is -infinity, NaN stays NaN."""
    return np.log(x)


@overload(exp, jit_options={"fastmath": EACH})
def _exp(x):
    if x != types.float32:
        return lambda x: np.exp(x)

    def exp32(x):
        x = np.float32(-105) if x < np.float32(-105) else x  # not min and max, which may drop NaN
        x = np.float32(90) if x > np.float32(90) else x
        shifted = x * np.float32(1.44269504) + ROUND
        n = shifted - ROUND
        r = (x - n * np.float32(0.693359375)) - n * np.float32(-2.12194440e-4)
        p = np.float32(1.9875691500e-4)
        p = p * r + np.float32(1.3981999507e-3)
        p = p * r + np.float32(8.3334519073e-3)
        p = p * r + np.float32(4.1665795894e-2)
        p = p * r + np.float32(1.6666665459e-1)
        p = p * r + np.float32(5.0000001201e-1)
        p = p * r * r + r + np.float32(1)
        whole = np.int32(np.float32(shifted).view(np.int32) - ROUND_BITS)
        half = whole >> 1  # 2 ** whole in two factors, because it may leave float32's range
        first = np.int32((half + 127) << 23).view(np.float32)
        second = np.int32((whole - half + 127) << 23).view(np.float32)
        return p * first * second

    return exp32


@overload(log, jit_options={"fastmath": EACH})
def _log(x):
    if x != types.float32:
        return lambda x: np.log(x)

    def log32(x):
        tiny = x < np.float32(1.17549435e-38)
        scaled = np.float32(x * np.float32(16777216) if tiny else x)
        bits = np.float32(scaled).view(np.int32)
        exponent = np.float32(np.int32((bits >> 23) - 126)) - (np.float32(24) if tiny else np.float32(0))
        m = np.int32((bits & 0x007FFFFF) | 0x3F000000).view(np.float32)  # in [0.5, 1)
        low = m < np.float32(0.70710678)
        exponent -= np.float32(1) if low else np.float32(0)
        r = (m + m if low else m) - np.float32(1)
        p = np.float32(7.0376836292e-2)
        p = p * r + np.float32(-1.1514610310e-1)
        p = p * r + np.float32(1.1676998740e-1)
        p = p * r + np.float32(-1.2420140846e-1)
        p = p * r + np.float32(1.4249322787e-1)
        p = p * r + np.float32(-1.6668057665e-1)
        p = p * r + np.float32(2.0000714765e-1)
        p = p * r + np.float32(-2.4999993993e-1)
        p = p * r + np.float32(3.3333331174e-1)
        y = p * r * r * r + exponent * np.float32(-2.12194440e-4) - np.float32(0.5) * r * r
        y = r + y + exponent * np.float32(0.693359375)
        y = np.float32(-np.inf) if x == np.float32(0) else y
        return y if x < np.float32(np.inf) else x  # infinity and NaN

    return log32
