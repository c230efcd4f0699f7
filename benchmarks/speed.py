"""The trainer against the field's loop, in one process and in turns: the same images, seeds and steps.

Machines are shared and drift, so a rate here means little alone; the ratio of two that were measured one after the
other means something, and its spread over the rounds says how much.

* The trainer trains as `runner` has it: on CUDA all seeds stacked, on CPU each on a thread, a thread a core.
* The reference loop trains the seeds one after another, on CPU with the threads that torch takes by itself.

A round is an epoch over `steps` batches of the training split. Validation is in neither side.

Letters: R replicas (seeds) of a group, B images of a batch, S = 2 sides, the trainer first.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import numpy as np
import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, record_function

from benchmarks.augment import ImageStore, draw_epoch
from benchmarks.cost import now
from benchmarks.datasets import PreparedSet
from benchmarks.recipe import Recipe
from benchmarks.reference_loop import Pictures, ReferenceLoop
from benchmarks.runner import workers
from benchmarks.train import Replicas, train_epoch

PHASES = ("data", "forward", "backward", "optimizer")
TRACED_STEPS = 3  # a trace of more is slow to open


@dataclass(frozen=True)
class Spread:
    """Median and quartiles of n rounds."""

    median: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, values: np.ndarray) -> "Spread":
        """Of one value a round, (n,)."""
        low, median, high = np.percentile(values, (25, 50, 75))
        return cls(float(median), float(low), float(high), len(values))


@dataclass(frozen=True)
class Speed:
    """Training images a second, all seeds together, of both sides, and where the trainer's time goes."""

    network: str
    device: str
    size: int
    """Side of the images, pixels."""
    batch: int
    seeds: tuple[int, ...]
    steps: int
    """Of each seed in a round."""
    trainer: Spread
    """Images a second."""
    reference: Spread
    """Images a second."""
    ratio: Spread
    """Trainer to reference of the same round."""
    shares: dict[str, float]
    """Of PHASES in a trainer step, run phase by phase; they sum to 1."""
    loss_difference: float
    """Largest relative difference between both sides' mean losses of the first, untimed, round."""


def measure(
    network: str,
    prepared: PreparedSet,
    recipe: Recipe,
    seeds: tuple[int, ...],
    steps: int,
    rounds: int,
    device: torch.device,
) -> Speed:
    """Train both sides for `rounds` timed rounds of `steps` steps, after one that warms up, changing who goes first.

    Raises RequestError where the network does not take the recipe's size.
    """
    with _threads_and_precision() as threads:
        sides = _Sides(network, recipe, seeds, *_pictures(prepared, recipe, steps), device, threads)
        first, _ = sides.train(1)
        seconds = np.stack([sides.train(epoch)[1] for epoch in range(2, 2 + rounds)])  # (rounds, S)
        shares = sides.shares(2 + rounds)
    rates = len(seeds) * steps * recipe.batch / seconds
    trainer, reference, ratio = (Spread.of(each) for each in (*rates.T, rates[:, 0] / rates[:, 1]))
    difference = float(np.abs(first[0] / first[1] - 1).max())
    shape = (recipe.size, recipe.batch, seeds, steps)
    return Speed(network, device.type, *shape, trainer, reference, ratio, shares, difference)


def write_trace(
    network: str, prepared: PreparedSet, recipe: Recipe, seeds: tuple[int, ...], device: torch.device, path: Path
) -> None:
    """A few steps of the trainer's first group as a Chrome trace (chrome://tracing), its phases marked."""
    store = ImageStore(*_pictures(prepared, recipe, TRACED_STEPS), device)
    group = _groups(network, recipe, seeds, device)[0]
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if device.type == "cuda" else [])
    path.parent.mkdir(parents=True, exist_ok=True)
    with _threads_and_precision():
        torch.set_num_threads(1)
        _train_by_phase(group, store, 1, device)  # loads kernels
        with torch.profiler.profile(activities=activities) as profiler:
            _train_by_phase(group, store, 2, device)
    profiler.export_chrome_trace(str(path))


def render(speed: Speed) -> str:
    """The measurement in a few lines of text."""

    def spread(of: Spread, unit: str, digits: int) -> str:
        return f"{of.median:.{digits}f}{unit} ({of.low:.{digits}f} to {of.high:.{digits}f})"

    shares = ", ".join(f"{phase} {share * 100:.0f} %" for phase, share in speed.shares.items())
    return "\n".join(
        [
            f"{speed.network}, {speed.size} px, batch {speed.batch}, {speed.device}: {len(speed.seeds)} seeds, "
            f"{speed.steps} steps each a round; median (quartiles) of {speed.ratio.n} rounds",
            f"trainer         {spread(speed.trainer, ' images/s', 1)}",
            f"reference loop  {spread(speed.reference, ' images/s', 1)}",
            f"ratio           {spread(speed.ratio, '', 2)}",
            f"trainer's step  {shares}",
            f"mean losses of the first round differ by at most {speed.loss_difference:.1e} of themselves",
        ]
    )


def _pictures(prepared: PreparedSet, recipe: Recipe, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Images and masks of exactly `steps` batches, from the training split over and over."""
    rows = np.resize(prepared.split(recipe.split).train, steps * recipe.batch)
    return prepared.images[rows], prepared.masks[rows]


def _groups(network: str, recipe: Recipe, seeds: tuple[int, ...], device: torch.device) -> list[Replicas]:
    """The seeds as a run groups them."""
    together = [seeds] if device.type == "cuda" else [(seed,) for seed in seeds]
    return [Replicas(network, group, recipe, device) for group in together]


class _Sides:
    """Trainer and reference loop with the same seeds and pictures, each where its last round left it."""

    def __init__(
        self,
        network: str,
        recipe: Recipe,
        seeds: tuple[int, ...],
        images: np.ndarray,
        masks: np.ndarray,
        device: torch.device,
        threads: int,
    ) -> None:
        self.device, self.threads = device, threads
        self.store, self.pictures = ImageStore(images, masks, device), Pictures(images, masks)
        self.groups = _groups(network, recipe, seeds, device)
        self.loops = [ReferenceLoop(network, seed, recipe, device) for seed in seeds]

    def train(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """One round of both; mean loss of each seed (S, seeds) and the seconds (S,)."""
        losses, seconds = np.empty((2, len(self.loops))), np.empty(2)
        for side in (0, 1) if epoch % 2 else (1, 0):
            started = now(self.device)
            losses[side] = self._reference(epoch) if side else self._trainer(epoch)
            seconds[side] = now(self.device) - started
        return losses, seconds

    def _trainer(self, epoch: int) -> list[float]:
        def means(group: Replicas) -> list[float]:
            return train_epoch(group, self.store, epoch, Event()).tolist()

        with ThreadPoolExecutor(workers(self.device), initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return [mean for group in pool.map(means, self.groups) for mean in group]

    def _reference(self, epoch: int) -> list[float]:
        torch.set_num_threads(self.threads)
        return [float(np.mean(loop.train_epoch(self.pictures, epoch))) for loop in self.loops]

    def shares(self, epoch: int) -> dict[str, float]:
        """Share of each phase in the steps of an epoch of the trainer's first group, on one thread."""
        torch.set_num_threads(1)
        seconds = _train_by_phase(self.groups[0], self.store, epoch, self.device)
        return {phase: seconds[phase] / sum(seconds.values()) for phase in PHASES}


def _train_by_phase(group: Replicas, store: ImageStore, epoch: int, device: torch.device) -> dict[str, float]:
    """`train_epoch` taken apart: seconds of each phase, waiting for the device after each."""
    seconds = dict.fromkeys(PHASES, 0.0)

    @contextmanager
    def phase(name: str) -> Iterator[None]:
        started = now(device)
        with record_function(name):
            yield
        seconds[name] += now(device) - started

    for index, turn, rotation, objective in _steps(group, len(store), epoch, device):
        with phase("data"):
            batch = store.augmented(index.flatten(), turn.flatten(), rotation.flatten())
            images, masks = (each.unflatten(0, index.shape) for each in batch)
        with phase("forward"):
            losses = group.losses(images, masks, objective)
        with phase("backward"):
            losses.sum().backward()
        with phase("optimizer"):
            group.optimizer.step()
            group.optimizer.zero_grad()
    return seconds


def _steps(group: Replicas, images: int, epoch: int, device: torch.device) -> Iterator[tuple[Tensor, ...]]:
    """Positions, turns and rotations (R, B), and the objective's draws, of each step."""
    recipe = group.recipe
    draws = [draw_epoch(each.seed, epoch, images, recipe.batch, recipe.augment)[0] for each in group.progress]
    names = ("order", "turn", "rotation", "objective")
    stacked = [torch.from_numpy(np.stack([getattr(each, name) for each in draws], axis=1)) for name in names]
    return zip(*(each.to(device) for each in stacked), strict=True)


@contextmanager
def _threads_and_precision() -> Iterator[int]:
    """Float32 that is float32 on both sides, as in a run; yields torch's own number of threads and restores it."""
    threads = torch.get_num_threads()
    precision = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = precision
