"""What a plan will cost: the time of a few real steps, on the data and device that the run would use."""

import heapq
import math
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, count, islice

import torch

from benchmarks.capture import WARM_UP
from benchmarks.device import now
from benchmarks.runner import Job, one_thread, workers
from benchmarks.train import EVALUATED, Replicas, evaluate, steps_of
from results.store import Cell

STEPS, SECONDS = 3, 2.0  # timed: at least so many steps, and for at least so long


@dataclass(frozen=True)
class Cost:
    """Seconds of one group of a network: `seeds` replicas through the whole recipe, testing included."""

    network: str
    seeds: int
    seconds: float
    images_per_second: float
    """Training images of all seeds, side by side as the run would have them."""


def measure(network: str, seeds: int, job: Job) -> Cost:
    """Time a few training steps and one evaluation batch. Each worker measures at once, as they will train.

    On CUDA with all seeds stacked, or as many as fit its memory when they are halved.
    """
    together = seeds if job.device.type == "cuda" else 1
    while True:
        try:
            return _measure(network, together, job)
        except torch.cuda.OutOfMemoryError:
            if together == 1:
                raise
        torch.cuda.empty_cache()
        together = math.ceil(together / 2)


def makespan(cells: Iterable[Cell], costs: dict[str, Cost], job: Job) -> float:
    """Seconds until the last cell is done when each free worker takes the next group."""
    free = [0.0] * workers(job.device)
    counted: dict[str, int] = {}
    for cell in cells:
        counted[cell.network] = counted.get(cell.network, 0) + 1
    for network, number in counted.items():
        for _ in range(math.ceil(number / costs[network].seeds)):
            heapq.heapreplace(free, free[0] + costs[network].seconds)
    return max(free)


def _measure(network: str, together: int, job: Job) -> Cost:
    side_by_side = workers(job.device)
    with ThreadPoolExecutor(side_by_side, initializer=one_thread, initargs=(job.device,)) as pool:
        timings = list(pool.map(lambda seed: _seconds(network, seed, together, job), range(side_by_side)))
    step, evaluation = (sum(each) / side_by_side for each in zip(*timings, strict=True))
    recipe, images = job.recipe, len(job.data.train)
    epoch = math.ceil(images / recipe.batch) * step + len(job.data.validation) * evaluation
    seconds = recipe.epochs * epoch + len(job.data.test) * evaluation
    return Cost(network, together, seconds, side_by_side * together * recipe.batch / step)


def _seconds(network: str, seed: int, together: int, job: Job) -> tuple[float, float]:
    """Seconds of one training step, and of one evaluated image, of a group of `together` replicas."""
    data, device = job.data, job.device
    replicas = Replicas(network, tuple(range(seed, seed + together)), job.recipe, device)
    step, images = replicas.step_on(data.train), len(data.train)
    drawn = chain.from_iterable(_full_batches(replicas, images, epoch) for epoch in count(1))
    for each in islice(drawn, WARM_UP + 1 if device.type == "cuda" else 1):
        step(*each)
    started, steps = now(device), 0
    while steps < STEPS or now(device) - started < SECONDS:
        step(*next(drawn))
        steps += 1
    stepped = now(device)
    batch = min(EVALUATED[device.type], len(data.validation))
    evaluate(replicas, data.validation, replicas.tensors(), batch=batch, limit=batch)
    return (stepped - started) / steps, (now(device) - stepped) / batch


def _full_batches(replicas: Replicas, images: int, epoch: int) -> list:
    """What the steps of an epoch draw, without the last one where it is narrower."""
    width = min(replicas.recipe.batch, images)
    return [drawn for drawn in steps_of(replicas, images, epoch) if drawn.order.shape[1] == width]
