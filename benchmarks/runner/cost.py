"""What a plan will cost: the time of a few real steps, on the data and device that the run would use."""

import heapq
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, count
from statistics import median

import torch

from benchmarks.machine import now, work_on, workers
from benchmarks.runner import save_run
from benchmarks.runner.local import Job
from benchmarks.training.cuda_graph import WARM_UP
from benchmarks.training.engine import Engine, announcing
from benchmarks.training.loop import EVALUATED, evaluate, steps_of
from benchmarks.training.replicas import Replicas
from results.cell import Cell

STEPS, SECONDS = 3, 2.0  # timed: at least so many steps, for at least so long; of evaluation a quarter of it
WARMING = 1.0
"""Seconds of steps before that: the first ones fetch memory from the system, which takes a tenth of their time."""


@dataclass(frozen=True)
class Cost:
    """Seconds of one group of a network by an engine: `seeds` replicas through the whole recipe, testing included."""

    seeds: int
    seconds: float
    images_per_second: float
    """Training images of all seeds, side by side as the run would have them."""


Group = tuple[str, Engine]
Work = Callable[[], object]


def groups(cells: Iterable[Cell], job: Job) -> Counter[Group]:
    """How many cells there are of each network and of the engine that it would go on or begin with."""
    return Counter((cell.network, save_run.engine_of(cell, job.root, job.engine)) for cell in cells)


def measure(network: str, engine: Engine, seeds: int, job: Job) -> Cost:
    """Time a few training steps and evaluation batches. Each worker measures at once, as they will train.

    On CUDA with all seeds stacked, or as many as fit its memory when they are halved.
    """
    together = seeds if job.device.type == "cuda" else 1
    _ = job.data  # loaded once, before the workers ask for it
    while True:
        try:
            with announcing(job.control.reporter.note):
                return _measure(network, engine, together, job)
        except torch.cuda.OutOfMemoryError:
            if together == 1:
                raise
        torch.cuda.empty_cache()
        together = math.ceil(together / 2)


def makespan(counted: Mapping[Group, int], costs: Mapping[Group, Cost], job: Job, devices: int = 1) -> float:
    """Seconds until the last cell is done when each free worker takes the next group. devices: as that of the job."""
    free = [0.0] * workers(job.device) * devices
    for group, number in counted.items():
        for _ in range(math.ceil(number / costs[group].seeds)):
            heapq.heapreplace(free, free[0] + costs[group].seconds)
    return max(free)


def _measure(network: str, engine: Engine, together: int, job: Job) -> Cost:
    side_by_side = workers(job.device)
    with ThreadPoolExecutor(side_by_side, initializer=work_on, initargs=(job.device,)) as pool:
        warm = list(pool.map(lambda seed: _warm(network, engine, seed, together, job), range(side_by_side)))
        timings = list(pool.map(lambda works: _seconds(works, job.device), warm))
    step, evaluation = (sum(each) / side_by_side for each in zip(*timings, strict=True))
    recipe, images = job.recipe, len(job.data.train)
    epoch = math.ceil(images / recipe.batch) * step + len(job.data.validation) * evaluation
    seconds = recipe.epochs * epoch + len(job.data.test) * evaluation
    return Cost(together, seconds, side_by_side * together * recipe.batch / step)


def _warm(network: str, engine: Engine, seed: int, together: int, job: Job) -> tuple[Work, Work, int]:
    """A training step of a group of `together` replicas, an evaluation, and how many images that evaluates.

    Both have run for a while. All workers are warm before any is timed, so nobody is timed beside one that still
    loads kernels.
    """
    data, device = job.data, job.device
    replicas = Replicas(network, tuple(range(seed, seed + together)), job.recipe, device, engine=engine)
    step, images = replicas.step_on(data.train), len(data.train)
    drawn = chain.from_iterable(_full_batches(replicas, images, epoch) for epoch in count(1))
    batch = min(EVALUATED[device.type], len(data.validation))

    def stepped() -> None:
        step(*next(drawn))

    def evaluated() -> None:
        evaluate(replicas, data.validation, replicas.tensors(), batch=batch, limit=batch)

    for _ in range(WARM_UP + 1 if device.type == "cuda" else 1):
        stepped()
    evaluated()  # compiles and loads, as the first steps do
    _times(stepped, WARMING, device)
    return stepped, evaluated, batch


def _seconds(works: tuple[Work, Work, int], device: torch.device) -> tuple[float, float]:
    """Seconds of one training step, and of one evaluated image: medians, which a moment of other work leaves alone."""
    stepped, evaluated, batch = works
    return median(_times(stepped, SECONDS, device)), median(_times(evaluated, SECONDS / 4, device)) / batch


def _times(work: Work, at_least: float, device: torch.device) -> list[float]:
    """Seconds of each of STEPS or more that fill a time of at least so many seconds."""
    times: list[float] = []
    while len(times) < STEPS or sum(times) < at_least:
        started = now(device)
        work()
        times.append(now(device) - started)
    return times


def _full_batches(replicas: Replicas, images: int, epoch: int) -> list:
    """What the steps of an epoch draw, without the last one where it is narrower."""
    width = min(replicas.recipe.batch, images)
    return [drawn for drawn in steps_of(replicas, images, epoch) if drawn.order.shape[1] == width]
