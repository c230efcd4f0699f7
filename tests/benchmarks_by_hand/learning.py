"""Does every network learn? One epoch on 64 real images, two seeds stacked; then 30 steps on 16 of them, held fixed.

    python -m tests.benchmarks_by_hand.learning [--size 128] [--network NAME ...]

Needs a prepared isic2018. Prints one line per network; exits 1 where a loss is not finite or does not fall.
"""

import argparse
import sys
import time
from threading import Event

import torch

from benchmarks import datasets
from benchmarks.networks import registry
from benchmarks.objectives.losses import DRAWS
from benchmarks.protocol.recipe import RECIPES
from benchmarks.training.batches import ImageStore
from benchmarks.training.loop import train_epoch
from benchmarks.training.replicas import Replicas
from results.catalogue import TABLE_1


def learns(name: str, store: ImageStore, size: int) -> bool:
    """Print how the network fares; True where all losses are finite and fall."""
    recipe, started = RECIPES["paper"].changed(size=size), time.monotonic()
    epoch = train_epoch(Replicas(name, (1, 2), recipe, torch.device("cpu")), store, 1, Event())
    replicas = Replicas(name, (1, 2), recipe, torch.device("cpu"))
    images, masks = store.plain(0, 16)
    batch = images.expand(2, *images.shape), masks.expand(2, *masks.shape), torch.full((2, DRAWS), 0.5)
    losses = torch.stack([replicas.step(*batch) for _ in range(30)])  # (steps, R)
    first, last = losses[0], losses[-5:].mean(dim=0)
    good = bool(epoch.isfinite().all() and losses.isfinite().all() and (last < first).all())
    shown = [", ".join(f"{value:.3f}" for value in each.tolist()) for each in (epoch, first, last)]
    seconds = time.monotonic() - started
    print(
        f"{name:22} epoch {shown[0]:16} steps {shown[1]} -> {shown[2]:16} {'ok' if good else 'FAILS'} {seconds:.0f} s"
    )
    return good


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--network", action="append")
    arguments = parser.parse_args()
    prepared = datasets.load("isic2018", arguments.size)
    rows = prepared.split("paper").train[:64]
    store = ImageStore(prepared.images[rows], prepared.masks[rows], torch.device("cpu"))
    names = arguments.network or [*TABLE_1, *(n for n in registry.names() if n not in TABLE_1)]
    outcomes = [learns(name, store, arguments.size) for name in names]  # all of them, also after a failure
    sys.exit(0 if all(outcomes) else 1)


if __name__ == "__main__":
    main()
