"""All that depends on the computer: device, cores, threads, precision, a clock that waits for the device, memory.

Also its description in words, for runs and profiles. It never tells the host's name.
"""

import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import torch

from results.errors import RequestError

# Device and parallelism


def device_named(name: str) -> torch.device:
    """ "auto" (CUDA where present), "cpu", "cuda", or one of several as "cuda:1". Raises RequestError where there is no
    such device."""
    kind, _, index = name.partition(":")
    if name not in ("auto", "cpu", "cuda") and not (kind == "cuda" and index.isdecimal()):
        raise RequestError(f'--device is {name!r}; give "auto", "cpu", "cuda", or one of several as "cuda:1".')
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if kind == "cuda" and not found:
        raise RequestError(f"--device {name} finds no CUDA device; use --device cpu, or install a CUDA build of torch.")
    if index and int(index) >= found:
        there = "cuda:0" if found == 1 else f"cuda:0 to cuda:{found - 1}"
        raise RequestError(f"--device is {name}, but this machine has {there}; give one of these.")
    return torch.device(name) if index else torch.device("cuda" if name != "cpu" and found else "cpu")


def devices_named(name: str) -> list[torch.device]:
    """All devices that a run may use: every GPU of this machine for "auto" or "cuda", else the one that is named.

    Raises RequestError as `device_named` does.
    """
    device = device_named(name)
    if device.type == "cpu" or device.index is not None or torch.cuda.device_count() == 1:
        return [device]
    return [torch.device("cuda", index) for index in range(torch.cuda.device_count())]


def or_cpu(device: torch.device) -> torch.device:
    """The device, or the CPU where this machine has none of its kind, to try what another machine is to do."""
    return device if device.type == "cpu" or torch.cuda.is_available() else torch.device("cpu")


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def workers(device: torch.device) -> int:
    """Groups that train side by side: one on CUDA, one per core on CPU."""
    return 1 if device.type == "cuda" else cores()


def work_on(device: torch.device) -> None:
    """To be called in each thread that trains: it computes on this GPU, or on one thread of the CPU.

    Parallelism on CPU is over cells; within one, a single thread makes the numbers independent of the machine.
    """
    if device.type == "cpu":
        torch.set_num_threads(1)
    elif device.index is not None:
        torch.cuda.set_device(device)


# Precision


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


# Clock


def wait_for(device: torch.device) -> None:
    """Wait until the device has done all it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def now(device: torch.device) -> float:
    """Seconds of a clock that is read when the device has done all it was given."""
    wait_for(device)
    return time.perf_counter()


# Memory


def peak_memory_mb(device: torch.device) -> float:
    """Peak memory in MB (1e6 bytes): allocated on the CUDA device, or resident of the whole process on CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    try:
        import resource
    except ImportError:  # Windows
        return psutil.Process().memory_info().peak_wset / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def memory_gb() -> int:
    """Main memory in GB (1e9 bytes), rounded."""
    return round(psutil.virtual_memory().total / 1e9)


def available_memory() -> int:
    """Bytes of main memory that this process can still take: of the machine, or of its control groups if they limit it.

    Batch systems and containers limit a process by control groups, and end it when it takes more.
    """
    return max(0, min([psutil.virtual_memory().available, *_left_by_control_groups()]))


CONTROL_GROUPS, OWN_GROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
_FILES = {  # of a group of version 2, and of the memory groups of version 1: limit, usage, and what can be reclaimed
    "": ("memory.max", "memory.current", "inactive_file"),
    "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}


def _left_by_control_groups() -> Iterator[int]:
    """Bytes that each control group around this process leaves to it; nothing where none limits it."""
    lines = OWN_GROUPS.read_text().splitlines() if OWN_GROUPS.exists() else []
    for _, controllers, own in (line.split(":", 2) for line in lines):
        kind = "memory" if "memory" in controllers.split(",") else controllers
        if kind not in _FILES:
            continue
        (limit, usage, reclaimable), top = _FILES[kind], CONTROL_GROUPS / kind
        for folder in (top / own.strip("/"), *(top / own.strip("/")).parents):
            try:
                most, used = (int((folder / name).read_text()) for name in (limit, usage))
                statistics = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            except (OSError, ValueError):  # no such group, or no limit: "max"
                continue
            yield most - used + int(statistics.get(reclaimable, 0))


# Description


def device_name(device: torch.device) -> str:
    """ "cpu", or the product name of the GPU."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def host() -> dict:
    """What a run records of the computer: architecture, system, cores, the threads that torch computes with, and the
    processor, of which the rounding of a run may depend."""
    return {
        "machine": platform.machine(),
        "system": platform.system(),
        "cpus": os.cpu_count(),
        "cores": cores(),
        "threads": torch.get_num_threads(),
        "processor": f"{_cpu_model()}, {torch.backends.cpu.get_cpu_capability()}",
    }


def describe(name: str | None = None) -> dict:
    """The computer in words, for a profile; `name` defaults to its processor, cores and GPU."""
    cpu = _cpu_model()
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "name": name or ", ".join([cpu, f"{cores()} cores", *([gpu] if gpu else [])]),
        "cpu": cpu,
        "cores": cores(),
        "memory_gb": memory_gb(),
        "device": gpu or "cpu",
        "system": platform.system(),
        "python": ".".join(platform.python_version_tuple()[:2]),
        "torch": str(torch.__version__),
    }


def _cpu_model() -> str:
    if sys.platform == "darwin":
        asked = subprocess.run(
            ["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True, check=False
        )
        return asked.stdout.strip() or platform.machine()
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1].strip() if found else platform.machine()
