"""What training and all measurements ask of the device: float32 that is float32, and a clock that waits for it."""

import os
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from results.errors import RequestError


def full_precision() -> None:
    """Float32 that is float32 on CUDA: no TF32, in convolutions or products of matrices."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False


@contextmanager
def settings_of_a_run() -> Iterator[int]:
    """Full precision as in a run; yields torch's number of threads, and restores it and the precision."""
    threads = torch.get_num_threads()
    precision = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    full_precision()
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = precision


def finish(device: torch.device) -> None:
    """Wait until the device has done all it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def now(device: torch.device) -> float:
    """Seconds of a clock that is read when the device has done all it was given."""
    finish(device)
    return time.perf_counter()


def device_named(name: str) -> torch.device:
    """ "auto" (CUDA where present), "cpu" or "cuda". Raises RequestError where there is none of that kind."""
    if name not in ("auto", "cpu", "cuda"):
        raise RequestError(f'--device is {name!r}; give "auto", "cpu" or "cuda".')
    if name == "cuda" and not torch.cuda.is_available():
        raise RequestError("--device cuda finds no CUDA device; use --device cpu, or install a CUDA build of torch.")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def workers(device: torch.device) -> int:
    """Groups that train side by side: one on CUDA, one a core on CPU."""
    return 1 if device.type == "cuda" else cores()


def one_thread(device: torch.device) -> None:
    """Parallelism on CPU is over cells; within one, a single thread makes the numbers independent of the machine."""
    if device.type == "cpu":
        torch.set_num_threads(1)


def peak_memory_mb(device: torch.device) -> float:
    """Peak memory in MB (1e6 bytes): allocated on the CUDA device, or resident of the whole process on CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
