"""Augmented batches in one pass over uint8 pixels, the same numbers as `ImageStore.augmented`, bit for bit.

Letters: N images of the set, B of a batch, P = H * W pixels.
"""

import torch
from torch import Tensor

from benchmarks.training.batches import ImageStore
from benchmarks.training.kernels.arrays import array
from benchmarks.training.kernels.jit import kernel


@kernel
def _gather(images, masks, low, gain, turned, rotated, to, to_mask):
    """One image (P, 3) with its mask (P,), through two tables of source positions, to (3, P) and (P,)."""
    kind = to_mask.dtype.type
    zero, whole = kind(0), kind(255)
    red, green, blue = to[0], to[1], to[2]
    for p in range(rotated.size):
        place = rotated[p]
        if place < 0:
            red[p] = green[p] = blue[p] = to_mask[p] = zero
        else:
            source = turned[place]
            red[p] = (kind(images[source, 0]) - low) * gain
            green[p] = (kind(images[source, 1]) - low) * gain
            blue[p] = (kind(images[source, 2]) - low) * gain
            to_mask[p] = kind(masks[source]) / whole


@kernel
def _batch(images, masks, low, gain, turns, rotations, index, turn, rotation, to, to_masks):
    for b in range(len(index)):
        i = index[b]
        _gather(images[i], masks[i], low[i], gain[i], turns[turn[b]], rotations[rotation[b]], to[b], to_masks[b])


def augmented(store: ImageStore, index: Tensor, turn: Tensor, rotation: Tensor) -> tuple[Tensor, Tensor]:
    """`store.augmented(index, turn, rotation)` of a store on CPU: images (..., 3, H, W), masks (..., 1, H, W)."""
    size, shape = store.size, index.shape
    images = torch.empty((*shape, 3, size, size), dtype=store.dtype)
    masks = torch.empty((*shape, 1, size, size), dtype=store.dtype)
    pixels = array(store.images), array(store.masks), array(store.low), array(store.gain)
    draws = (array(each).reshape(-1) for each in (index, turn, rotation))
    to = images.numpy().reshape(-1, 3, size * size), masks.numpy().reshape(-1, size * size)
    _batch(*pixels, array(store.rot90_flip), array(store.rotation), *draws, *to)
    return images, masks
