"""What a run needs of memory, before it takes it: refused where it cannot be, said where it will be tight.

The data set lies on the device as a whole, and the tables that turn it beside it. A training step holds, at its widest,
what its backward pass will need: the step is run once on torch's meta device, where tensors have shapes and no values,
and the bytes of the tensors that are alive at once are added up. On CUDA that is left to the device, whose refusal
halves the group of seeds.
"""

from collections.abc import Callable, Sequence

import torch

from benchmarks.datasets import loading, splits
from benchmarks.machine import available_memory, workers
from benchmarks.measuring import step_memory
from benchmarks.networks import registry
from benchmarks.protocol.recipe import Recipe
from benchmarks.training.batches import FIRST_ANGLE, LAST_ANGLE, ROT90_FLIPS
from results.cell import Cell
from results.errors import RequestError

IMAGE, INDEX = 3 + 1, 8  # bytes of a pixel: of image and mask, and of a place in a table
TABLES = 2 + ROT90_FLIPS + LAST_ANGLE - FIRST_ANGLE + 1  # rows of both tables
WIDEST = 16_000
"""Bytes of a step per pixel of its batch: more than those of VM-UNet, the heaviest of the suite. Where
there is so much for each cell that trains side by side, no network is looked at."""
CURE = "choose a smaller --size or --batch, or a machine with more memory"


def require(cells: Sequence[Cell], recipe: Recipe, device: torch.device, say: Callable[[str], object]) -> None:
    """Raises RequestError where the data set, or one training step of a network, does not fit the memory there is.

    cells: of one data set that is prepared, or drawn. say: is told where as many cells as train side by side would not
    fit together.
    """
    dataset = cells[0].dataset
    images = loading.counted(dataset, recipe.size)
    train = splits.COUNTS[dataset][0] if dataset in splits.COUNTS else images
    data = recipe.size**2 * (IMAGE * images + INDEX * TABLES)
    left = (available_memory() if device.type == "cpu" else torch.cuda.mem_get_info(device)[0]) - data
    if left < 0:
        raise RequestError(
            f"{dataset} at {recipe.size} px takes {_gb(data)} of memory, and {_gb(left + data)} are free; {CURE}."
        )
    names = [cell.network for cell in cells]
    side_by_side, batch = min(workers(device), len(names)), min(recipe.batch, train)
    if device.type != "cpu" or side_by_side * WIDEST * batch * recipe.size**2 < left:
        return
    for name in [each for each in dict.fromkeys(names) if registry.entry(each).accepts(recipe.size)]:
        step = step_memory.of_step(name, recipe.changed(batch=batch))
        if step is None:
            continue
        what = f"A step of {name} with batches of {batch} at {recipe.size} px takes {_gb(step)} of memory"
        if step > left:
            raise RequestError(f"{what}, and {_gb(left)} are free beside the data; {CURE}.")
        if side_by_side * step > left:
            say(f"{what}; {side_by_side} train side by side, and {_gb(left)} are free, so that it may run out.")


def _gb(count: int) -> str:
    return f"{count / 1e9:.1f} GB"
