"""The sides of a comparison of speed: the trainer, one seed of it alone, and the reference loop, on the same pictures.

Letters: R replicas (seeds) of a group, B images of a batch.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event

import numpy as np
import torch
from torch.profiler import record_function

from benchmarks.datasets import PreparedSet
from benchmarks.machine import now, workers
from benchmarks.protocol.recipe import Recipe
from benchmarks.training.batches import ImageStore
from benchmarks.training.engine import Engine
from benchmarks.training.loop import EVALUATED, evaluate, steps_of, train_epoch
from benchmarks.training.reference_loop import Pictures, ReferenceLoop
from benchmarks.training.replicas import Replicas

PHASES = ("data", "forward", "backward", "optimizer")
Side = Callable[[int], list[float]]  # of the number of an epoch


def pictures(prepared: PreparedSet, recipe: Recipe, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Images and masks of exactly `steps` batches, from the training split over and over."""
    rows = np.resize(prepared.split(recipe.split).train, steps * recipe.batch)
    return prepared.images[rows], prepared.masks[rows]


def groups(
    network: str, recipe: Recipe, seeds: tuple[int, ...], device: torch.device, engine: Engine
) -> list[Replicas]:
    """The seeds as a run groups them."""
    together = [seeds] if device.type == "cuda" else [(seed,) for seed in seeds]
    return [Replicas(network, group, recipe, device, engine=engine) for group in together]


class Sides:
    """The sides, with the same seeds and pictures, each where its last round left it."""

    def __init__(
        self,
        network: str,
        recipe: Recipe,
        seeds: tuple[int, ...],
        images: np.ndarray,
        masks: np.ndarray,
        device: torch.device,
        threads: int,
        engine: Engine,
    ) -> None:
        self.device, self.threads = device, threads
        self.store, self.pictures = ImageStore(images, masks, device), Pictures(images, masks)
        self.replicas = groups(network, recipe, seeds, device, engine)
        self.groups = [self._trained(group) for group in self.replicas]
        self.loops = [ReferenceLoop(network, seed, recipe, device) for seed in seeds]
        alone = Replicas(network, seeds[:1], recipe, device, engine=engine)
        self.sides = {"trainer": self._trainer, "alone": self._one(alone), "reference": self._reference}
        if engine.kernels:
            torchs = Replicas(network, seeds[:1], recipe, device)
            self.sides |= {"torch": self._one(torchs)}
            self.sides |= {"evaluation": self._evaluated(alone), "evaluation, torch": self._evaluated(torchs)}

    def train(self, epoch: int) -> tuple[dict[str, list[float]], dict[str, float]]:
        """One round of all sides: mean losses of each one's seeds, and its seconds."""
        losses, seconds, names = {}, {}, list(self.sides)
        for turn in range(len(names)):
            side = names[(epoch + turn) % len(names)]
            started = now(self.device)
            losses[side] = self.sides[side](epoch)
            seconds[side] = now(self.device) - started
        return losses, seconds

    def _trained(self, group: Replicas) -> Side:
        """An epoch of a group; mean loss of each seed."""
        step = group.step_on(self.store)
        return lambda epoch: train_epoch(group, self.store, epoch, Event(), step).tolist()

    def _trainer(self, epoch: int) -> list[float]:
        with ThreadPoolExecutor(workers(self.device), initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return [mean for means in pool.map(lambda group: group(epoch), self.groups) for mean in means]

    def _one(self, group: Replicas) -> Side:
        """As `_trained`, on one thread."""
        trained = self._trained(group)

        def side(epoch: int) -> list[float]:
            torch.set_num_threads(1)
            return trained(epoch)

        return side

    def _evaluated(self, group: Replicas) -> Side:
        """A batch evaluated on one thread."""

        def side(epoch: int) -> list[float]:
            torch.set_num_threads(1)
            return evaluate(group, self.store, group.tensors(), limit=self._batch)[0][0].tolist()

        return side

    @property
    def _batch(self) -> int:
        return min(EVALUATED[self.device.type], len(self.store))

    def _reference(self, epoch: int) -> list[float]:
        torch.set_num_threads(self.threads)
        return [float(np.mean(loop.train_epoch(self.pictures, epoch))) for loop in self.loops]

    def shares(self, epoch: int) -> dict[str, float]:
        """Share of each phase in the steps of an epoch of the trainer's first group, on one thread."""
        torch.set_num_threads(1)
        seconds = train_by_phase(self.replicas[0], self.store, epoch, self.device)
        return {phase: seconds[phase] / sum(seconds.values()) for phase in PHASES}


def train_by_phase(group: Replicas, store: ImageStore, epoch: int, device: torch.device) -> dict[str, float]:
    """`train_epoch` taken apart: seconds of each phase, waiting for the device after each."""
    seconds = dict.fromkeys(PHASES, 0.0)

    @contextmanager
    def phase(name: str) -> Iterator[None]:
        started = now(device)
        with record_function(name):
            yield
        seconds[name] += now(device) - started

    for order, rot90_flip, rotation, objective, colour in steps_of(group, len(store), epoch):
        with phase("data"):
            images, masks = group.batch(store, order, rot90_flip, rotation, colour)
        with phase("forward"):
            losses = group.losses(images, masks, objective)
        with phase("backward"):
            losses.sum().backward()
        with phase("optimizer"):
            group.optimizer.step()
            group.optimizer.zero_grad()
    return seconds
