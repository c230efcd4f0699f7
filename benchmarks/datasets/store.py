"""The prepared sets on disk: where they lie, how one is written as a whole or not at all, how it is mapped into memory.

    <cache folder>/<data set>/<size>/
        images.npy     (N, H, W, 3) uint8
        masks.npy      (N, H, W) uint8, 0 background to 255 lesion, edges may lie between
        ids.csv        id, and its part under each split rule
        prepared.json  written last: name, size, fingerprint, where it was made from, share of soft mask pixels

N = number of images, H = W = size.
"""

import contextlib
import csv
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from benchmarks.datasets import splits
from results.errors import RequestError
from results.schema import DataRecord

ENVIRONMENT = "LESION_BENCHMARKS_CACHE"
UNFINISHED = ".unfinished-"


@dataclass(frozen=True, eq=False)
class PreparedSet:
    """A data set at one size, mapped from disk: reading it costs memory only for the pages that are touched."""

    name: str
    size: int  # side, pixels
    ids: tuple[str, ...]  # ascending by name
    images: np.ndarray  # (N, H, W, 3) uint8, read-only
    masks: np.ndarray  # (N, H, W) uint8, read-only, 0 background to 255 lesion
    fingerprint: str  # hex SHA-256 of size, ids and pixels
    folder: Path
    data: DataRecord
    """What is known of the files beyond their pixels, as every run records it."""
    _splits: dict[str, splits.Split] = field(default_factory=dict, repr=False)

    def split(self, rule: str) -> splits.Split:
        """Train, validation and test positions under the rule `paper` or `sorted`, cut once.

        Raises RequestError for another rule.
        """
        if rule not in self._splits:
            self._splits[rule] = splits.cut(self.ids, splits.COUNTS[self.name], rule)
        return self._splits[rule]


def cache_folder() -> Path:
    """The folder of all prepared sets: $LESION_BENCHMARKS_CACHE, or the user's cache folder of this system."""
    if moved := os.environ.get(ENVIRONMENT):
        return Path(moved).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("lesion-benchmarks", appauthor=False))


def read(folder: Path) -> PreparedSet:
    """Open the prepared set in the folder; RequestError when its files are damaged."""
    try:
        about = json.loads((folder / "prepared.json").read_text())
        with open(folder / "ids.csv", newline="") as file:
            ids = tuple(row["id"] for row in csv.DictReader(file))
        images = np.load(folder / "images.npy", mmap_mode="r")
        masks = np.load(folder / "masks.npy", mmap_mode="r")
        size = about["size"]
        if images.shape != (len(ids), size, size, 3) or masks.shape != (len(ids), size, size):
            raise ValueError("the shapes do not match the ids")
        return PreparedSet(about["name"], size, ids, images, masks, about["fingerprint"], folder, facts(about))
    except (OSError, ValueError, KeyError) as error:
        raise RequestError(
            f"The prepared set in {folder} is damaged ({error}); delete it and prepare it again."
        ) from None


def described(folder: Path) -> dict | None:
    """What prepared.json of the folder says, or None when there is no prepared set in it."""
    try:
        return json.loads((folder / "prepared.json").read_text())
    except (OSError, ValueError):
        return None


def facts(about: dict) -> DataRecord:
    """What a prepared.json says of the data beyond its pixels; None where an earlier version did not record it.

    Raises ValueError where it says something else.
    """
    return DataRecord.model_validate({"soft_share": about.get("soft_share"), "originals": about.get("originals")})


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder of one data set alone, after clearing what killed processes left unfinished in it.

    The operating system frees the lock of a process that dies, so whatever is unfinished under the lock is nobody's.
    RequestError when the cache folder cannot be written or the disk is full.
    """
    from filelock import FileLock

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):
            for leftover in folder.glob(f"{UNFINISHED}*"):
                shutil.rmtree(leftover)
            yield
    except OSError as error:
        cure = f"free some space or set {ENVIRONMENT} to another folder"
        raise RequestError(f"Cannot write the prepared set to {folder} ({error.strerror or error}); {cure}.") from error


def write(
    folder: Path,
    name: str,
    size: int,
    ids: Sequence[str],
    pictures: Iterable[tuple[np.ndarray, np.ndarray]],
    origin: dict | Callable[[], dict],
) -> PreparedSet:
    """Store pictures, in the order of the ids, as the prepared set in `folder`, replacing the one that is there.

    `pictures` yields (H, W, 3) uint8 images with (H, W) uint8 masks; `origin` is kept in prepared.json; where it
    is a function, it is called after the last picture. To be called under `locked(folder.parent)`. Nothing appears in
    `folder` before all is written, and nothing is left behind when `pictures` or the disk fails: the error goes on to
    the caller.
    """
    unfinished = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=folder.parent))
    try:
        fingerprint, soft_share = _write_pixels(unfinished, size, ids, pictures)
        _write_ids(unfinished / "ids.csv", name, ids)
        about = {"name": name, "size": size, "images": len(ids), "fingerprint": fingerprint, "soft_share": soft_share}
        about |= origin() if callable(origin) else origin
        (unfinished / "prepared.json").write_text(json.dumps(about, indent=2) + "\n")
        unfinished.chmod(0o755)
        if folder.exists():
            folder.rename(unfinished.with_name(unfinished.name + "-replaced"))
        unfinished.rename(folder)
    finally:
        for leftover in folder.parent.glob(f"{unfinished.name}*"):
            shutil.rmtree(leftover)
    return read(folder)


def _write_pixels(
    folder: Path, size: int, ids: Sequence[str], pictures: Iterable[tuple[np.ndarray, np.ndarray]]
) -> tuple[str, float]:
    """Write images.npy and masks.npy front to back, so that a full disk is an error, not a crash.

    Returns the fingerprint and the share of mask pixels that are neither 0 nor 255.
    """
    digest = hashlib.sha256("\n".join([str(size), *ids]).encode())
    count = soft = 0
    with open(folder / "images.npy", "wb") as images, open(folder / "masks.npy", "wb") as masks:
        _write_header(images, (len(ids), size, size, 3))
        _write_header(masks, (len(ids), size, size))
        for image, mask in pictures:
            assert image.shape == (size, size, 3)
            assert mask.shape == (size, size)
            count += 1
            soft += int(np.count_nonzero((mask != 0) & (mask != 255)))
            for file, pixels in ((images, image), (masks, mask)):
                data = pixels.tobytes()
                file.write(data)
                digest.update(data)
        for file in (images, masks):
            file.flush()
            os.fsync(file.fileno())
    assert count == len(ids), f"{count} pictures for {len(ids)} ids"
    return digest.hexdigest(), soft / (count * size * size)


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})


def _write_ids(path: Path, name: str, ids: Sequence[str]) -> None:
    parts = {rule: [""] * len(ids) for rule in splits.RULES}
    for rule, column in parts.items():
        split = splits.cut(ids, splits.COUNTS[name], rule)
        for part in ("train", "validation", "test"):
            for position in getattr(split, part):
                column[position] = part
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", *parts])
        writer.writerows(zip(ids, *parts.values(), strict=True))
