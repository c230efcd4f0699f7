"""Latency, throughput, memory and weights of networks in inference, on the machine at hand.

results/profiles.py has the file of a machine and its units; a row is measured again by replacing it.

* latency_ms: wall time of a forward pass of one image; on CUDA until the device has finished it.
* throughput_ips: images per second in batches of 32; None where a batch does not fit the memory.
* kernels_latency_ms: latency_ms of the same network run by the CPU kernels, which use one thread; with numba's version.
  None on CUDA and where numba is not installed.
* onnx_latency_ms: latency_ms of the same network exported to ONNX and run by onnxruntime on the same threads; with its
  version. None on CUDA, where onnxruntime is not installed, and where the network cannot be exported.
* peak_memory_mb: of a forward pass of one image, weights and image included. On CUDA with all that the allocator hands
  out. On CPU the bytes of all tensors that are alive at once, a lower bound that is the same on every machine: what a
  kernel allocates for itself is not seen. The resident set of the process would show that, but is mostly the library's.
* weights_kb: the state dict as a safetensors file.

All in eval mode and float32 (TF32 off), with random weights and images in [0, 255], after a warm-up.
"""

import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.machine import available_memory, cores, describe, settings_of_a_run, wait_for
from benchmarks.networks import plugins, registry
from benchmarks.prediction import onnx_file
from benchmarks.prediction.export import write_onnx
from benchmarks.training import kernels
from benchmarks.training.engine import installed
from results.errors import RequestError
from results.profiles import KernelsSpread, Machine, OnnxSpread, Row, Spread, path_of, stored_rows, write

THROUGHPUT_BATCH = 32  # images


@dataclass(frozen=True)
class Effort:
    """How long to measure: passes until either limit is reached."""

    warmup: int = 3
    """Passes that are not timed: they load kernels and let the allocator and the caches settle."""
    passes: int = 50
    """Timed passes at most; half a dozen would do for the median, the quartiles want more."""
    at_least: int = 5
    """Timed passes at least, however slow."""
    seconds: float = 10.0
    """Time after which no further pass is begun, once for the warm-up and once for the timed passes."""


def profile(
    names: Iterable[str],
    device: torch.device,
    root: Path,
    *,
    size: int = 256,
    threads: int | None = None,
    machine: str | None = None,
    effort: Effort = Effort(),
    onnx: bool = True,
    announce: Callable[[Row], object] = lambda row: None,
) -> Path:
    """Measure the networks one by one and keep each row in <root>/profiles/<machine>.json, whose path is returned.

    size: of the square images, in px. threads: of the CPU, all cores by default. machine: its name in the report, by
    default its processor, cores and GPU. onnx: also in onnxruntime, for which each
    network is exported first. announce: called with each row when it is stored.
    Raises RequestError for an unknown network, one that does not take the size, or a file of another machine or format.
    """
    names, description = list(names), Machine.model_validate(describe(machine))
    path = path_of(root, description.name)
    rows = stored_rows(path, description)
    for name in names:
        entry = registry.entry(name)
        if not entry.accepts(size):
            raise RequestError(f"{name} takes {entry.sizes}, not --size {size}; choose another size or network.")
    with _settings(threads or cores()):
        for name in names:
            with plugins.blamed(registry.entry(name), "its forward"):
                row = _measure(name, device, size, effort, onnx)
            rows[row.key] = row
            write(path, description, list(rows.values()))
            announce(row)
    return path


@contextmanager
def _settings(threads: int) -> Iterator[None]:
    """The threads of the CPU, float32 as in training, and the same random images each time."""
    with settings_of_a_run(), torch.random.fork_rng(), torch.inference_mode():
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        yield


def _measure(name: str, device: torch.device, size: int, effort: Effort, onnx: bool) -> Row:
    """One row of the file."""
    network = registry.build(name).eval()
    images = 255 * torch.rand(THROUGHPUT_BATCH, 3, size, size)
    peak = _peak_memory(network, images[:1], device)
    network, images = network.to(device), images.to(device)
    seconds = _time(network, images[:1], effort)
    try:
        fits = device.type == "cuda" or THROUGHPUT_BATCH * peak < available_memory()
        rates = THROUGHPUT_BATCH / _time(network, images, effort) if fits else None
    except torch.OutOfMemoryError:
        rates = None
    return Row(
        network=name,
        device=device.type,
        size=size,
        threads=torch.get_num_threads() if device.type == "cpu" else None,
        latency_ms=Spread.of(1e3 * seconds),
        throughput_ips=None if rates is None else Spread.of(rates),
        onnx_latency_ms=_onnx_latency(network, images[:1], effort) if onnx else None,
        kernels_latency_ms=_kernels_latency(network, images[:1], effort),
        peak_memory_mb=round(peak / 1e6, 3),
        weights_kb=round(weights_bytes(network) / 1e3, 3),
    )


def _onnx_latency(network: nn.Module, image: Tensor, effort: Effort) -> OnnxSpread | None:
    """Of the network run by onnxruntime; None where it cannot be."""
    if image.is_cuda or not onnx_file.installed():
        return None
    with TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        try:
            write_onnx(network, image, path)
        except Exception:  # what a network does that ONNX has no word for, in the exporter's many words
            return None
        run = onnx_file.session(path, torch.get_num_threads())
    given = {onnx_file.INPUT: image.numpy()}
    seconds = _time(lambda _: run.run(None, given), image, effort)
    return OnnxSpread.of(1e3 * seconds, onnxruntime=str(onnx_file.needed().__version__))


def _kernels_latency(network: nn.Module, image: Tensor, effort: Effort) -> KernelsSpread | None:
    """Of the network, whose layers it swaps for good, run by the CPU kernels; None where they cannot run."""
    engine = installed()
    if image.is_cuda or engine is None:
        return None
    kernels.swap(network)
    return KernelsSpread.of(1e3 * _time(network, image, effort), numba=engine.numba)


def _time(network: Callable[[Tensor], object], images: Tensor, effort: Effort) -> np.ndarray:
    """Seconds of each timed pass, (n,)."""
    _passes(network, images, effort.warmup, 1, effort.seconds)
    return np.array(_passes(network, images, effort.passes, effort.at_least, effort.seconds))


def _passes(
    network: Callable[[Tensor], object], images: Tensor, at_most: int, at_least: int, limit: float
) -> list[float]:
    timed: list[float] = []
    begun = time.perf_counter()
    while len(timed) < at_least or (len(timed) < at_most and time.perf_counter() - begun < limit):
        start = time.perf_counter()
        network(images)
        wait_for(images.device)
        timed.append(time.perf_counter() - start)
    return timed


def weights_bytes(network: nn.Module) -> int:
    """Size of the state dict as a safetensors file."""
    # Copies, because safetensors refuses tensors that share storage.
    state = {
        name: value.cpu().clone(memory_format=torch.contiguous_format) for name, value in network.state_dict().items()
    }
    return len(save(state))


# Memory


def _peak_memory(network: nn.Module, image: Tensor, device: torch.device) -> int:
    """Bytes in a forward pass. Leaves the network on the device."""
    network, image = network.to(device), image.to(device)
    if device.type != "cuda":
        return live_bytes(network, image)
    network(image)  # the libraries' workspaces, which stay allocated, are no network's
    wait_for(device)
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    network(image)
    wait_for(device)
    held = sum(tensor.nbytes for tensor in (*network.parameters(), *network.buffers(), image))
    return held + torch.cuda.max_memory_allocated(device) - before


def live_bytes(network: nn.Module, images: Tensor) -> int:
    """Most bytes of tensors alive at once in a forward pass, with weights, buffers and images."""
    images = images.clone()  # what is passed may be a view into more
    with torch.no_grad(), LiveStorages((*network.parameters(), *network.buffers(), images)) as alive:
        network(images)
    return alive.peak


class LiveStorages(TorchDispatchMode):
    """Adds up the storages that operations return, until each is freed."""

    def __init__(self, given: Iterable[Tensor]) -> None:
        super().__init__()
        self.known: weakref.WeakSet = weakref.WeakSet()
        self.bytes = self.peak = 0
        for tensor in given:
            self._hold(tensor)

    def _hold(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage in self.known:  # a view, or an operation in place
            return
        self.known.add(storage)
        weakref.finalize(storage, self._release, storage.nbytes()).atexit = False
        self.bytes += storage.nbytes()
        self.peak = max(self.peak, self.bytes)

    def _release(self, size: int) -> None:
        self.bytes -= size

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._hold(leaf)
        return result
