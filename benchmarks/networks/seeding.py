"""Random state under control: a network is built from its seed alone, and what is built disturbs nobody."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock
from typing import Any

import numpy as np
import torch

_BUILDING = RLock()  # the global generators are one for all threads


@contextmanager
def undisturbed() -> Iterator[None]:
    """Afterwards the global CPU generators of torch, numpy and `random` are as they were.

    One thread at a time; a thread that is inside may enter again.
    """
    with _BUILDING:
        before = random.getstate(), np.random.get_state()
        try:
            with torch.random.fork_rng(devices=[]):
                yield
        finally:
            random.setstate(before[0])
            np.random.set_state(before[1])


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """`undisturbed`, and within, the three generators are at this seed."""
    with undisturbed():
        reseed(seed)
        yield


def reseed(seed: int) -> None:
    """The global CPU generators of torch, numpy and `random` at this seed."""
    torch.default_generator.manual_seed(seed)  # the same as torch.manual_seed on CPU, and touches no CUDA device
    np.random.seed(seed % (1 << 32))
    random.seed(seed)


def states() -> tuple:
    """Of the three generators, comparable by `==`; CUDA's too where there is one."""
    numpy: Any = np.random.get_state()
    devices = [bytes(torch.cuda.get_rng_state().numpy())] if torch.cuda.is_initialized() else []
    return bytes(torch.get_rng_state().numpy()), devices, (bytes(numpy[1]), numpy[2:]), random.getstate()
