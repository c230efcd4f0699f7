"""What a plan will cost: the time of a few real steps, on the data and device that the run would use."""

import heapq
import math
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch

from benchmarks.augment import draw_epoch
from benchmarks.runner import Job, one_thread, workers
from benchmarks.train import Replicas, evaluate
from results.store import Cell

STEPS = 3  # timed, after one that warms up


@dataclass(frozen=True)
class Cost:
    """Seconds of one group of a network: `seeds` replicas through the whole recipe, testing included."""

    network: str
    seeds: int
    seconds: float
    images_per_second: float
    """Training images of all seeds, side by side as the run would have them."""


def measure(network: str, seeds: int, job: Job) -> Cost:
    """Time a few training steps and one evaluation batch. Each worker measures at once, as they will train."""
    together = seeds if job.device.type == "cuda" else 1
    side_by_side = workers(job.device)
    with ThreadPoolExecutor(side_by_side, initializer=one_thread, initargs=(job.device,)) as pool:
        timings = list(pool.map(lambda seed: _seconds(network, seed, together, job), range(side_by_side)))
    step, evaluation = (sum(each) / side_by_side for each in zip(*timings, strict=True))
    recipe, images = job.recipe, len(job.data.train)
    epoch = math.ceil(images / recipe.batch) * step + len(job.data.validation) * evaluation
    seconds = recipe.epochs * epoch + len(job.data.test) * evaluation
    return Cost(network, together, seconds, side_by_side * together * recipe.batch / step)


def makespan(cells: Iterable[Cell], costs: dict[str, Cost], job: Job) -> float:
    """Seconds until the last cell is done when each free worker takes the next group."""
    free = [0.0] * workers(job.device)
    counted: dict[str, int] = {}
    for cell in cells:
        counted[cell.network] = counted.get(cell.network, 0) + 1
    for network, count in counted.items():
        for _ in range(math.ceil(count / costs[network].seeds)):
            heapq.heapreplace(free, free[0] + costs[network].seconds)
    return max(free)


def _seconds(network: str, seed: int, together: int, job: Job) -> tuple[float, float]:
    """Seconds of one training step, and of one evaluated image, of a group of `together` replicas."""
    recipe, data = job.recipe, job.data
    replicas = Replicas(network, tuple(range(seed, seed + together)), recipe, job.device)
    draws = draw_epoch(seed, 1, len(data.train), recipe.batch, recipe.augment)[0]
    rows = [torch.from_numpy(each[0]).to(job.device) for each in (draws.order, draws.turn, draws.rotation)]
    objective = torch.from_numpy(draws.objective[:1]).to(job.device).expand(together, -1)

    def step() -> None:
        images, masks = data.train.augmented(*rows)
        replicas.step(images.expand(together, *images.shape), masks.expand(together, *masks.shape), objective)

    step()
    started = now(job.device)
    for _ in range(STEPS):
        step()
    stepped = now(job.device)
    images = min(16, len(data.validation))
    evaluate(replicas, data.validation, replicas.tensors(), batch=images, limit=images)
    return (stepped - started) / STEPS, (now(job.device) - stepped) / images


def now(device: torch.device) -> float:
    """Seconds of a clock that is read when the device has done all it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
