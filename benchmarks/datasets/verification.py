"""Whether the pixels of a prepared set are still those that were prepared: every byte is read and hashed again.

A size or a time of a file cannot tell this: a disk, a cable or a copy that fails changes neither. So there is no mark
"verified before": every process that trains on a set hashes it, once, on a thread of its own behind the training, and
nothing is stored before that has ended well. What it costs, SHA-256 on one core of an EPYC: 0.6 s per GB where the
processor has instructions for it, 1.9 s per GB where it has not; for ISIC2018 at 256 px (0.68 GB) 0.4 s and 1.3 s,
at 128 px a quarter of that.
"""

import contextlib
import hashlib
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from benchmarks.datasets.judging import listed
from results.errors import RequestError

PIXELS = ("images.npy", "masks.npy")
_all: dict[tuple, "Verification"] = {}
_lock = threading.Lock()


def begun(size: int, ids: Sequence[str]) -> "hashlib._Hash":
    """The hash of a set of which no pixel was seen yet; its images and masks follow in turns, by id."""
    return hashlib.sha256("\n".join([str(size), *ids]).encode())


def checksum(image: np.ndarray, mask: np.ndarray) -> str:
    """Of one pair, hex, as ids.csv keeps it: it tells which pair was damaged, and which are the same pixels."""
    digest = hashlib.sha256(image.tobytes())
    digest.update(mask.tobytes())
    return digest.hexdigest()


class Prepared(Protocol):
    """What is verified: a `store.PreparedSet`."""

    @property
    def folder(self) -> Path:
        """Where it lies."""

    @property
    def size(self) -> int:
        """Side, pixels."""

    @property
    def ids(self) -> tuple[str, ...]:
        """N of them."""

    @property
    def images(self) -> np.ndarray:
        """(N, H, W, 3) uint8."""

    @property
    def masks(self) -> np.ndarray:
        """(N, H, W) uint8."""

    @property
    def fingerprint(self) -> str:
        """What it must be."""

    @property
    def checksums(self) -> tuple[str, ...]:
        """Of each pair, or none."""

    @property
    def cure(self) -> str:
        """What to do where it is damaged."""


class Verification:
    """One reading of a prepared set behind the work of this process; `begin` begins it, once."""

    def __init__(self, prepared: Prepared) -> None:
        self._fault = ""
        self._begun = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(prepared,), name="verification", daemon=True)

    def begin(self) -> None:
        """Start reading, unless that was done before."""
        if self._begun.acquire(blocking=False):
            self._thread.start()

    def _run(self, prepared: Prepared) -> None:
        with contextlib.suppress(OSError, AttributeError):  # where a thread's priority is its own, as on Linux
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)
        try:
            self._fault = fault_of(prepared)
        except Exception as error:  # nothing was verified then, and whoever waits must hear of it
            self._fault = f"The prepared set in {prepared.folder} cannot be verified ({error}); {prepared.cure}."
        self._ended.set()

    def check(self, *, wait: bool = True) -> None:
        """Raises RequestError, with the cure, where the pixels are not those that were prepared.

        wait: begin if need be, and wait for the end; else nothing is raised before it.
        """
        if wait:
            self.begin()
            self._ended.wait()
        if self._fault:
            raise RequestError(self._fault)


def of(prepared: Prepared) -> Verification:
    """The verification of a set in this process: one for all that open the same files, another when they changed."""
    files = [prepared.folder / name for name in PIXELS]
    states = [(about.st_ino, about.st_size, about.st_mtime_ns) for about in map(os.stat, files)]
    with _lock:
        return _all.setdefault((prepared.folder, prepared.fingerprint, *states), Verification(prepared))


def fault_of(prepared: Prepared) -> str:
    """The sentence for a set whose pixels, ids or size are not those of its fingerprint; empty where they are."""
    digest = begun(prepared.size, prepared.ids)
    for image, mask in zip(prepared.images, prepared.masks, strict=True):
        digest.update(image)
        digest.update(mask)
    if digest.hexdigest() == prepared.fingerprint:
        return ""
    return f"The prepared set in {prepared.folder} is damaged: {_what(prepared)}; {prepared.cure}."


def _what(prepared: Prepared) -> str:
    if not prepared.checksums:
        return f"its pixels or ids are not those of its fingerprint {prepared.fingerprint[:12]}"
    pairs = zip(prepared.ids, prepared.images, prepared.masks, prepared.checksums, strict=True)
    damaged = [name for name, image, mask, expected in pairs if checksum(image, mask) != expected]
    if not damaged:
        return "its ids.csv or prepared.json was changed"
    return f"the pixels of {listed(damaged)} are not those that were prepared"
