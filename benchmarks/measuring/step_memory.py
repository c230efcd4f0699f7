"""The bytes that a training step holds at its widest, without taking them.

The step is run once on torch's meta device, where tensors have shapes and no values.
"""

import torch

from benchmarks.measuring.inference import LiveStorages
from benchmarks.networks import registry
from benchmarks.objectives.losses import DRAWS
from benchmarks.protocol.recipe import Recipe
from benchmarks.training.replicas import Replicas

MOMENTS = 2  # that AdamW keeps of each parameter


def of_step(network: str, recipe: Recipe) -> int | None:
    """Bytes of tensors alive at once in one step of one seed: images, weights, gradients, moments, what backward needs.

    None for a network of the user's own that does not run without values. What a kernel takes for itself is not seen.
    """
    meta, side = torch.device("meta"), recipe.size
    try:
        replicas = Replicas(network, (1,), recipe, meta)
        images, masks = (torch.empty(1, recipe.batch, channels, side, side, device=meta) for channels in (3, 1))
        held = (*replicas.tensors().values(), images, masks)
        with LiveStorages(held) as alive:
            replicas.losses(images, masks, torch.empty(1, DRAWS, device=meta)).sum().backward()
    except Exception:
        if not registry.entry(network).foreign:
            raise
        return None
    return alive.peak + MOMENTS * sum(each.nbytes for each in replicas.trained.values())
