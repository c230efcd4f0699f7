"""A module's weights as kernels take them.

To look a weight up in its module and to see it by NumPy takes some microseconds each, and a light network has a hundred
of them: together as long as half its kernels at 96 px. So both are done once, and again only when memory has moved.

Letters: O channels out.
"""

from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from operator import is_not
from typing import Any, Self, TypeVar

import numpy as np
import torch
from torch import Tensor, nn


class Held:
    """Parameters of a module, and of its batch norm: `tensors` for autograd, `arrays` for kernels, in one order.

    An array is (rows, columns), or (O,) for a vector. Last come the norm's bias and weight, whose gradients are the
    rows of one (2, O) array. It is for code that changes weights in place or replaces them, but not between the
    forward and the backward pass.
    """

    def __init__(self, parameters: Sequence[tuple[nn.Module, str]], norm: nn.BatchNorm2d | None = None) -> None:
        places = [*parameters, *((norm, name) for name in ("bias", "weight") if norm is not None)]
        self._places = [(module._parameters, name) for module, name in places]
        self._norm: Any = norm
        self._buffers: Any = {} if norm is None else norm._buffers
        self._pointers: list[int] = []
        self.tensors: list[Any] = []
        self.refresh()

    def refresh(self) -> Self:
        """Look whether tensors have moved, or others see the same memory, to which gradients would go."""
        tensors: list[Any] = [place[name] for place, name in self._places]
        moving = [*tensors, *(self._buffers[name] for name in ("running_mean", "num_batches_tracked") if self._norm)]
        pointers = [tensor.data_ptr() for tensor in moving]
        if pointers != self._pointers or any(map(is_not, tensors, self.tensors)):
            self._pointers, self.tensors = pointers, tensors
            self.arrays: tuple[np.ndarray, ...] = tuple(_matrix(tensor) for tensor in tensors)
            self._shapes = [tuple(tensor.shape) for tensor in tensors]
            self.ends = list(accumulate((tensor.numel() for tensor in tensors), initial=0))
            if self._norm is not None:
                running = self._buffers["running_mean"].numpy(), self._buffers["running_var"].numpy()
                options = self._norm.momentum, self._norm.eps
                self.norm = (self.arrays[-1], self.arrays[-2], *running, *options)
                self._tracked = self._buffers["num_batches_tracked"].numpy()
        return self

    def training(self, shape: Sequence[int]) -> bool:
        """Whether the norm trains, on values of this shape (B, C, H, W); if so, it counts the batch.

        Raises ValueError, as torch does, when training on a single value per channel.
        """
        if not self._norm.training:
            return False
        self._tracked += 1
        if shape[0] * shape[2] * shape[3] == 1:
            raise ValueError(f"Expected more than 1 value per channel when training, got input size {list(shape)}")
        return True

    def gradients(self) -> tuple[Sequence[Tensor], list[np.ndarray]]:
        """Room for gradients: of each tensor; the same memory as arrays, the norm's as one."""
        memory = np.empty(self.ends[-1], self.arrays[0].dtype)
        pieces = [memory[start:stop] for start, stop in pairwise(self.ends)]
        tensors = [torch.from_numpy(piece.reshape(shape)) for piece, shape in zip(pieces, self._shapes, strict=True)]
        arrays: list[Any] = [piece.reshape(each.shape) for piece, each in zip(pieces, self.arrays, strict=True)]
        if self._norm is not None:
            arrays[-2:] = [memory[self.ends[-3] :].reshape(2, -1)]
        return tensors, arrays


AnyHeld = TypeVar("AnyHeld", bound=Held)


def _matrix(tensor: Tensor) -> np.ndarray:
    array = tensor.detach().numpy()
    return array if array.ndim == 1 else array.reshape(len(array), -1)


def held(module: nn.Module, make: Callable[[Any], AnyHeld]) -> AnyHeld:
    """What `make(module)` made when it was first asked for, with tensors as they are now."""
    found = vars(module).get("_held")
    if found is None:
        found = vars(module)["_held"] = make(module)
    return found.refresh()
