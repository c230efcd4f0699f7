"""What training and all measurements ask of the device: float32 that is float32, and a clock that waits for it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch


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
