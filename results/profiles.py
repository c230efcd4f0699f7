"""profiles/<machine>.json: latency, throughput and memory of networks in inference, measured on one machine.

One file per machine, since such numbers must never be mixed across machines. benchmarks/measuring/inference.py measures
them and says how. Units: 1 MB = 1e6 bytes, 1 kB = 1e3 bytes.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from pydantic import Field

from results.document import Amount, Count, Document, Ordinal, Positive, Record
from results.errors import Damaged
from results.spread import Quartiles

ANOTHER = "move the file away, or give this machine another name"  # the cure where a file cannot be continued


class Machine(Record):
    """The machine in words, and the software that shapes its numbers. A person may add further keys."""

    name: str
    """In reports; the file is named after it."""
    cpu: str | None = None
    cores: Count | None = None
    memory_gb: Amount | None = None
    """GB (1e9 bytes)."""
    device: str | None = None
    """The GPU's name, or "cpu"."""
    system: str | None = None
    python: str | None = None
    torch: str | None = None


class Spread(Record):
    """Median and quartiles of n timed passes, in the unit of the field."""

    median: Positive
    q25: Positive
    q75: Positive
    n: Ordinal

    @classmethod
    def of(cls, values: Sequence[float] | np.ndarray, **more: Any) -> Self:
        """To 5 digits, more than their noise."""
        found = Quartiles.of(values)
        median, q25, q75 = (float(f"{value:.5g}") for value in (found.median, found.low, found.high))
        return cls(median=median, q25=q25, q75=q75, n=found.n, **more)


class KernelsSpread(Spread):
    """Of the CPU kernels."""

    numba: str
    """The version of their compiler."""


class OnnxSpread(Spread):
    """Of the exported network."""

    onnxruntime: str
    """The version that ran it."""


class Row(Record):
    """One network on one device at one image size and one number of CPU threads."""

    network: str
    device: str
    """ "cpu" or "cuda"."""
    size: Ordinal
    """Side of the images, pixels."""
    threads: Ordinal | None
    """Of the CPU; None on CUDA."""
    latency_ms: Spread | None = None
    """Milliseconds of a forward pass of one image."""
    throughput_ips: Spread | None = None
    """Images per second in batches of 32; None where a batch does not fit the memory."""
    kernels_latency_ms: KernelsSpread | None = None
    """latency_ms with the CPU kernels, on one thread; None where there are none."""
    onnx_latency_ms: OnnxSpread | None = None
    """latency_ms of the exported network in onnxruntime, on the same threads; None where there is no such."""
    peak_memory_mb: Amount | None = None
    """MB of a forward pass of one image."""
    weights_kb: Amount | None = None
    """kB of the state dict as a safetensors file."""

    @property
    def key(self) -> tuple[str, str, int, int | None]:
        """What is replaced when it is measured again."""
        return self.network, self.device, self.size, self.threads


class Profile(Document):
    """All that was measured on one machine."""

    CURE = "delete it and measure again: python -m benchmarks profile"

    format: int
    machine: Machine
    rows: tuple[Row, ...] = Field(strict=False)
    digest: str | None = None
    """Hex SHA-256 of this document without this field; who changes the file by hand removes it."""


def path_of(root: Path, machine: str) -> Path:
    """The file of the machine of this name."""
    slug = re.sub(r"[^a-z0-9]+", "-", machine.lower()).strip("-") or "machine"
    return root / "profiles" / f"{slug}.json"


def stored_rows(path: Path, machine: Machine) -> dict[tuple, Row]:
    """The rows measured before, by key. Raises Damaged where the file cannot be used or is of another machine."""
    if not path.exists():
        return {}
    try:
        before = Profile.read(path)
    except Damaged as damage:
        raise Damaged(path, damage.message, ANOTHER) from None
    old, new = before.machine.content(), machine.content()
    if changed := [key for key in old | new if old.get(key) != new.get(key)]:
        message = f"it was measured on another machine or software ({', '.join(changed)} differ)"
        raise Damaged(path, message, ANOTHER)
    return {row.key: row for row in before.rows}


def write(path: Path, machine: Machine, rows: Sequence[Row]) -> None:
    """Write atomically."""
    Profile(format=Profile.FORMAT, machine=machine, rows=tuple(rows)).sealed().write(path)


def found(root: Path) -> list[Path]:
    """The files of all machines."""
    return sorted(root.glob("profiles/*.json"))
