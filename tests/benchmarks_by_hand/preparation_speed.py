"""How much faster full-size photographs are prepared on all cores: python -m tests.benchmarks_by_hand.preparation_speed

Draws JPEGs and PNG masks of a camera's size into a temporary folder and prepares them with one worker and with one a
core, in turns. Prints pictures a second of both and their ratio with its quartiles. Run it on an idle machine.
"""

import argparse
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.datasets import pixels
from benchmarks.datasets.archives import Member, Pair
from benchmarks.machine import cores

WIDTH, HEIGHT = 3024, 2016  # a common size in the ISIC archive


def drawn(folder: Path, count: int) -> list[Pair]:
    """A blurred disc on skin with a camera's noise, so that the JPEGs have a camera's weight too."""
    rng, pairs = np.random.default_rng(0), []
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    for k in range(count):
        distance = np.hypot(x - rng.integers(800, 2200), y - rng.integers(600, 1400)) / rng.integers(300, 600)
        lesion = 1 / (1 + np.exp(20 * (distance - 1)))
        skin = np.array([205, 160, 140]) - lesion[..., None] * np.array([110, 90, 70])
        noisy = skin + rng.normal(0, 6, (HEIGHT, WIDTH, 1))
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(folder / f"{k}.jpg", quality=92)
        Image.fromarray((255 * (lesion > 0.5)).astype(np.uint8)).save(folder / f"{k}.png")
        pairs.append(Pair(str(k), Member(folder, f"{k}.jpg", None), Member(folder, f"{k}.png", None)))
    return pairs


def seconds(pairs: list[Pair], workers: int) -> float:
    """Wall time to decode, check and resize them all."""
    started = time.perf_counter()
    for _ in pixels.in_order(partial(pixels.decoded, size=256), pairs, workers):
        pass
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        pairs = drawn(Path(folder), arguments.pictures)
        seconds(pairs, 1)  # the files are in memory from here on
        rounds = np.array([[seconds(pairs, count) for count in (1, cores())] for _ in range(arguments.rounds)])
    one, all_ = len(pairs) / np.median(rounds, axis=0)
    low, median, high = np.percentile(rounds[:, 0] / rounds[:, 1], (25, 50, 75))
    print(f"{WIDTH} x {HEIGHT} px, {len(pairs)} pictures, {arguments.rounds} rounds, {cores()} cores")
    print(f"one worker {one:.1f} pictures/s, all cores {all_:.1f}: {median:.2f} times ({low:.2f} to {high:.2f})")


if __name__ == "__main__":
    main()
