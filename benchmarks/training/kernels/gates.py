"""Gates from learned maps, with their way back: the Python side of `spaces`.

Letters: B images, Q channels of a gate, H x W pixels.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks.training.kernels import resampling, spaces
from benchmarks.training.kernels.arrays import array

Shape = tuple[int, int, int, int]


class Gate(NamedTuple):
    """A gate (1, Q, H, W) and what its way back needs."""

    value: np.ndarray
    tables: tuple[resampling.Table, resampling.Table]
    taps: np.ndarray
    mix: np.ndarray
    resized: np.ndarray
    before: np.ndarray
    after: np.ndarray
    space: Shape


def gate(space: Tensor, layers: Any, size: tuple[int, int], *, axis: int | None = None) -> Gate:
    """The learned map (1, Q, h, w), or (1, 1, Q, h) along an axis (2 or 3), resized and through its layers."""
    values = _on_plane(array(space), axis)
    taps = _taps(array(layers[0].weight), axis)
    kind, shape = str(values.dtype), (*values.shape[:2], *size)
    rows, columns = (resampling.table(old, new, True, kind) for old, new in zip(values.shape[2:], size, strict=True))
    mix = array(layers[2].weight).reshape(shape[1], shape[1])
    made = tuple(np.empty(shape, values.dtype) for _ in range(4))
    biases = array(layers[0].bias), array(layers[2].bias)
    spaces.gate_forward(values, rows, columns, taps, biases[0], mix, biases[1], *made)
    resized, before, after, value = made
    return Gate(value, (rows, columns), taps, mix, resized, before, after, values.shape)


def gate_back(gradient: np.ndarray, made: Gate, *, axis: int | None = None) -> list[np.ndarray]:
    """From the gradient of the gate's value: of the map, taps, their bias, the mix and its bias, in parameter order."""
    quarter = len(made.mix)
    to_space, to_taps, to_taps_bias = np.empty(made.space, gradient.dtype), np.zeros((quarter, 3, 3)), np.zeros(quarter)
    to_mix, to_mix_bias = np.empty((quarter, quarter)), np.empty(quarter)
    saved = made.taps, made.mix, made.resized, made.before, made.after
    spaces.gate_backward(gradient, *made.tables, *saved, to_space, to_taps, to_taps_bias, to_mix, to_mix_bias)
    lines = {None: to_taps, 2: to_taps[:, :, 1], 3: to_taps[:, 1]}[axis]
    return [to_space, lines, to_taps_bias, to_mix, to_mix_bias]


def shaped(gradients: Sequence[np.ndarray], parameters: Sequence[Tensor]) -> list[Tensor]:
    """The gradients in the shapes and the dtype of their parameters."""
    pairs = zip(gradients, parameters, strict=True)
    return [torch.from_numpy(np.ascontiguousarray(each)).to(like.dtype).view_as(like) for each, like in pairs]


def _on_plane(values: np.ndarray, axis: int | None) -> np.ndarray:
    """(1, 1, Q, h) as (1, Q, h, 1) or (1, Q, 1, h)."""
    if axis is None:
        return values
    return values.reshape(1, values.shape[2], *((-1, 1) if axis == 2 else (1, -1)))


def _taps(weight: np.ndarray, axis: int | None) -> np.ndarray:
    """(Q, 1, 3, 3) as (Q, 3, 3), or (Q, 1, 3) as the middle column or row of such kernels."""
    if axis is None:
        return weight[:, 0]
    taps = np.zeros((len(weight), 3, 3), weight.dtype)
    if axis == 2:
        taps[:, :, 1] = weight[:, 0]
    else:
        taps[:, 1] = weight[:, 0]
    return taps
