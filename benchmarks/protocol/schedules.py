"""The learning rate of each epoch, in closed form: it follows from the number of the epoch, so that runs can resume.

All start at `lr`, none goes below `eta_min` (but the warm-up), and each counts its epochs from the end of the warm-up.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

POWER = 0.9  # of the polynomial schedule, as in DeepLab
FACTOR = 0.1  # of each step down


class Rates(NamedTuple):
    """What a schedule lies between."""

    lr: float
    eta_min: float
    t_max: int
    """Epochs of the cosine's half period, or between two steps down."""


def _between(rates: Rates, share: float) -> float:
    return rates.eta_min + (rates.lr - rates.eta_min) * share


def cosine(rates: Rates, done: int, epochs: int) -> float:
    """`CosineAnnealingLR`: a half period is t_max, and it oscillates beyond."""
    return rates.eta_min + (rates.lr - rates.eta_min) * (1 + math.cos(math.pi * done / rates.t_max)) / 2


def cosine_once(rates: Rates, done: int, epochs: int) -> float:
    """One half period over all epochs, whose last one has eta_min."""
    return _between(rates, (1 + math.cos(math.pi * done / max(1, epochs - 1))) / 2)


def poly(rates: Rates, done: int, epochs: int) -> float:
    """(1 - done / epochs) to the power 0.9."""
    return _between(rates, (1 - done / epochs) ** POWER)


def step(rates: Rates, done: int, epochs: int) -> float:
    """A tenth after every t_max epochs."""
    return max(rates.eta_min, rates.lr * FACTOR ** (done // rates.t_max))


def constant(rates: Rates, done: int, epochs: int) -> float:
    """lr throughout."""
    return rates.lr


SCHEDULES: dict[str, Callable[[Rates, int, int], float]] = {
    each.__name__: each for each in (cosine, cosine_once, poly, step, constant)
}


def rate(schedule: str, rates: Rates, epoch: int, epochs: int, warm_up: int) -> float:
    """Learning rate of epoch 1, 2, ... of so many, of which the first `warm_up` rise linearly towards lr."""
    if epoch <= warm_up:
        return rates.lr * epoch / (warm_up + 1)
    return SCHEDULES[schedule](rates, epoch - 1 - warm_up, epochs - warm_up)
