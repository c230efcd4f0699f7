"""Ways to run the same step, one after the other: what to keep on a GPU, and what to write into docs/performance.md.

    python -m tests.benchmarks_by_hand.step_variants [--network aulunet_v3] [--device cuda] [--seeds 5] [--size 256]

Prints for each way the milliseconds of a step (median and quartiles), its images a second, how many times the memory
floor that is, and the mean loss of the last steps, which must agree in all ways but bf16. A way that fails says why and
the next one goes on. Run it on an idle device; on CPU the ways that need CUDA are left out.
"""

import argparse
from collections.abc import Callable
from itertools import chain, count, islice

import numpy as np
import torch

from benchmarks import datasets
from benchmarks.machine import device_named, full_precision, now
from benchmarks.measuring import memory_traffic
from benchmarks.protocol.recipe import RECIPES, Recipe
from benchmarks.training.batches import ImageStore
from benchmarks.training.cuda_graph import WARM_UP, Captured, Step
from benchmarks.training.loop import steps_of
from benchmarks.training.replicas import Replicas


def eager(replicas: Replicas, store: ImageStore) -> Step:
    step = replicas.step_on(store)
    return step.step if isinstance(step, Captured) else step


def captured(replicas: Replicas, store: ImageStore) -> Step:
    return replicas.step_on(store)


def choosing(replicas: Replicas, store: ImageStore) -> Step:
    """cuDNN tries its algorithms and keeps the fastest."""
    torch.backends.cudnn.benchmark = True
    return replicas.step_on(store)


def compiled(replicas: Replicas, store: ImageStore) -> Step:
    """Pointwise operations fused by torch.compile; on CUDA captured as well."""
    replicas.losses = torch.compile(replicas.losses)  # type: ignore[method-assign]
    return replicas.step_on(store)


def channels_last(replicas: Replicas, store: ImageStore) -> Step:
    """The convolutions' kernels and the images with their channels innermost, as the pixels lie in the store."""
    losses = replicas.losses

    def of_channels_last(images: torch.Tensor, masks: torch.Tensor, draws: torch.Tensor) -> torch.Tensor:
        flat = images.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        return losses(flat.unflatten(0, images.shape[:2]), masks, draws)

    replicas.losses = of_channels_last  # type: ignore[method-assign]
    return replicas.step_on(store)


Way = tuple[str, Callable[[Replicas, ImageStore], Step], bool, str]  # name, how, only one seed, precision


def ways(device: torch.device) -> list[Way]:
    everywhere: list[Way] = [
        ("one seed, eager", eager, True, "fp32"),
        ("stacked, eager", eager, False, "fp32"),
        ("stacked, compiled", compiled, False, "fp32"),
        ("stacked, channels last", channels_last, False, "fp32"),
        ("stacked, bf16", captured, False, "bf16"),
    ]
    on_cuda: list[Way] = [
        ("one seed, captured", captured, True, "fp32"),
        ("stacked, captured", captured, False, "fp32"),
        ("stacked, captured, cuDNN chooses", choosing, False, "fp32"),
    ]
    return everywhere[:2] + (on_cuda if device.type == "cuda" else []) + everywhere[2:]


def measure(way: Way, network: str, seeds: tuple[int, ...], recipe: Recipe, store: ImageStore, steps: int) -> None:
    """One line for one way."""
    name, how, single, precision = way
    device, mine = store.images.device, seeds[:1] if single else seeds
    replicas = Replicas(network, mine, recipe.changed(precision=precision), device)
    drawn = chain.from_iterable(steps_of(replicas, len(store), epoch) for epoch in count(1))
    step = how(replicas, store)
    for each in islice(drawn, WARM_UP + 1):
        step(*each)
    seconds, losses = [], []
    for each in islice(drawn, steps):
        started = now(device)
        losses.append(step(*each).mean().clone())
        seconds.append(now(device) - started)
    low, median, high = np.percentile(seconds, (25, 50, 75))
    rate = len(mine) * recipe.batch / median
    floor = memory_traffic.of_step(network, mine, recipe).floor / memory_traffic.bandwidth(device)
    refused = f", not captured: {step.refusal}" if isinstance(step, Captured) and step.refusal else ""
    print(
        f"{name:34}{median * 1e3:9.2f} ms ({low * 1e3:.2f} to {high * 1e3:.2f}) {rate:9.1f} images/s "
        f"{median / floor:6.1f} x floor   loss {torch.stack(losses[-5:]).mean():.5f}{refused}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", default="aulunet_v3")
    parser.add_argument("--dataset", default="synthetic")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=50)
    arguments = parser.parse_args()
    device, recipe = device_named(arguments.device), RECIPES["paper"].changed(size=arguments.size)
    prepared = datasets.load(arguments.dataset, arguments.size)
    rows = np.resize(prepared.split("paper").train, 64 * recipe.batch)  # full batches only
    store = ImageStore(prepared.images[rows], prepared.masks[rows], device)
    seeds = tuple(range(1, arguments.seeds + 1))
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"{torch.get_num_threads()} CPU threads"
    print(f"{arguments.network}, {arguments.size} px, batch {recipe.batch}, {len(seeds)} seeds, {name}")
    for way in ways(device):
        full_precision()
        torch.backends.cudnn.benchmark = False
        try:
            measure(way, arguments.network, seeds, recipe, store, arguments.steps)
        except RuntimeError as error:
            print(f"{way[0]:34} fails: {str(error).splitlines()[0]}", flush=True)


if __name__ == "__main__":
    main()
