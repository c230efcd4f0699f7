"""The bytes that a training step must move through memory, and how fast this device moves bytes.

A light network does so little arithmetic on each value that memory decides its speed. The step is run once on torch's
meta device, where tensors have shapes and no values, and every tensor operation of it is noted, forward and backward,
below autograd and vmap. Two sums are made of them:

* `eager`: each operation reads its operands from memory and writes its results there, as it does when it is a kernel of
  its own.
* `floor`: pointwise operations, copies and fills cost nothing, as if each were fused into what comes before or after
  it. Convolutions, products of matrices, norms, reductions, pooling, resampling and gathers still read their operands
  and write their results. A kernel that keeps several of those on the chip would be below this floor.

AdamW reads weights, gradients and both moments, and writes all but the gradients, in both sums.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.machine import now
from benchmarks.protocol.recipe import Recipe
from benchmarks.training.batches import ImageStore
from benchmarks.training.loop import steps_of
from benchmarks.training.replicas import Replicas

ADAMW = 7  # weights, gradients and two moments read; weights and moments written
COPIES = ("clone", "copy_", "_to_copy", "cat", "stack", "constant_pad_nd", "slice_backward", "select_backward")
GATHERS = ("index", "gather", "index_select", "take_along_dim")  # read what they return, not all that they choose from
FILLS = (
    "zeros",
    "zeros_like",
    "ones",
    "ones_like",
    "full",
    "full_like",
    "fill_",
    "zero_",
    "new_zeros",
    "scalar_tensor",
)


@dataclass(frozen=True)
class Traffic:
    """Bytes of one step of R replicas."""

    floor: int
    eager: int


def of_step(network: str, seeds: tuple[int, ...], recipe: Recipe) -> Traffic:
    """Bytes of one step of these seeds side by side, in the recipe's size and batch and in float32."""
    meta, shape = torch.device("meta"), (recipe.batch, recipe.size, recipe.size)
    store = ImageStore(np.zeros((*shape, 3), np.uint8), np.zeros(shape, np.uint8), meta)
    replicas = Replicas(network, seeds, recipe, meta)
    order, rot90_flip, rotation, objective, colour = next(steps_of(replicas, recipe.batch, 1))
    _ = store.rot90_flip, store.rotation  # made once, not in each step
    with _Operations() as count:
        replicas.losses(*replicas.batch(store, order, rot90_flip, rotation, colour), objective).sum().backward()
    updated = sum(each.nbytes for each in replicas.trained.values() if each.grad is not None)
    return Traffic(count.floor + ADAMW * updated, count.eager + ADAMW * updated)


class _Operations(TorchDispatchMode):
    """Adds up what the operations read and write."""

    def __init__(self) -> None:
        super().__init__()
        self.floor = self.eager = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        name = function.overloadpacket.__name__
        if function.is_view or name.startswith(("empty", "new_empty", "detach", "_unsafe_view", "_reshape_alias")):
            return result
        read = () if name in FILLS else (result, args[1:]) if name in GATHERS else (args, kwargs)
        moved = _bytes((read, result))
        self.eager += moved
        if torch.Tag.pointwise not in function.tags and name not in (*COPIES, *FILLS):
            self.floor += moved
        return result


def _bytes(tree: Any) -> int:
    """Of the tensors in it, an expanded one counted as what lies in memory."""
    tensors: Iterable[Tensor] = (leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor))
    return sum(min(each.nbytes, each.untyped_storage().nbytes()) for each in tensors)


def bandwidth(device: torch.device, rounds: int = 7) -> float:
    """Bytes per second of a large copy, read and written both counted: the median of some rounds."""
    source = torch.ones(2**28 if device.type == "cuda" else 2**25, device=device)
    target, seconds = torch.empty_like(source), []
    for _ in range(rounds + 1):
        started = now(device)
        target.copy_(source)
        seconds.append(now(device) - started)
    return 2 * source.nbytes / float(np.median(seconds[1:]))
