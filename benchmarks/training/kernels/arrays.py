"""Tensors as the kernels take them: contiguous memory, seen by NumPy.

Letters: B images, C channels, O rows, n pixels.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor


def array(tensor: Tensor) -> np.ndarray:
    """The values, contiguous; the tensor's own memory where it is."""
    return (tensor if tensor.is_contiguous() else tensor.contiguous()).numpy(force=True)


def planes(tensor: Tensor) -> np.ndarray:
    """(B, C, H, W) as (B, C, n)."""
    values = array(tensor)
    batch, channels, height, width = values.shape
    return values.reshape(batch, channels, height * width)


def matrix(tensor: Tensor) -> np.ndarray:
    """(O, ...) as (O, n)."""
    values = array(tensor)
    return values.reshape(len(values), -1)


def new(tensor: Tensor) -> Tensor:
    """Contiguous memory for a gradient of the tensor."""
    return torch.empty_like(tensor, memory_format=torch.contiguous_format)


def tensors(values: Iterable[np.ndarray], like: Tensor) -> Iterator[Tensor]:
    """Small float64 results as tensors of the type of `like`."""
    return (torch.from_numpy(value).to(like.dtype) for value in values)
