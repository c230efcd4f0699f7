"""Products that hold their sums in vector registers, against NumPy, whether or not sizes fill the vectors."""

import pytest

pytest.importorskip("numba")

import numpy as np

from benchmarks.training.kernels.depthwise import fused_taps, padded, place, tap_sums
from benchmarks.training.kernels.products import outer, product

RANDOM = np.random.default_rng(0)
SIZES = [(5, 5, 64), (4, 8, 131), (1, 3, 1), (7, 1, 15), (9, 6, 300)]


def drawn(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape)


@pytest.mark.parametrize("add", [True, False])
@pytest.mark.parametrize(("outs", "channels", "n"), SIZES)
def test_product_touches_only_its_own_columns(outs, channels, n, add):
    w, x, y = drawn(outs, channels), drawn(channels, n + 5), drawn(outs, n + 9)
    expected = y.copy()
    expected[:, 4 : 4 + n] = w @ x[:, 3 : 3 + n] + add * y[:, 4 : 4 + n]
    product(w, x, 3, y, 4, n, add)
    np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(("outs", "channels", "n"), SIZES)
def test_outer_adds_to_what_is_there(outs, channels, n):
    a, b, to = drawn(outs, n + 5), drawn(channels, n + 9), drawn(outs, channels)
    expected = to + a[:, 3 : 3 + n] @ b[:, 4 : 4 + n].T
    outer(a, 3, b, 4, n, to)
    np.testing.assert_allclose(to, expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(("height", "width"), [(16, 5), (9, 33), (1, 1), (4, 128)])
@pytest.mark.parametrize("dilation", [1, 3])
def test_four_rows_at_a_time_have_the_taps_of_one(height, width, dilation):
    plane, kernel, g = drawn(height, width), drawn(9), drawn(height, width)
    s = width + dilation
    pads, first = padded(1, height, width, dilation, plane)
    place(plane.reshape(-1), width, s, pads[0], first)
    wide = np.pad(plane, dilation)
    under = [wide[i * dilation :, j * dilation :][:height, :width] for i in range(3) for j in range(3)]
    flat, sums, spread = np.empty(height * s), np.zeros(9), np.zeros((height, s))
    fused_taps(np.delete(kernel, 4)[None], kernel[4], np.array([dilation]), pads[0], s, first, flat)
    expected = sum(w * each for w, each in zip(kernel, under, strict=True))
    np.testing.assert_allclose(flat.reshape(height, s)[:, :width], expected, rtol=1e-12, atol=1e-13)
    spread[:, :width] = g
    tap_sums(spread.reshape(-1), 0, height * s, dilation, pads[0], s, first, sums)
    np.testing.assert_allclose(sums, [(g * each).sum() for each in under], rtol=1e-11, atol=1e-12)
