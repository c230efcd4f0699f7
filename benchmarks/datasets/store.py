"""The prepared sets on disk: where they lie, how one is written as a whole or not at all, how it is mapped into memory.

    <cache folder>/<data set>/<size>/
        images.npy     (N, H, W, 3) uint8
        masks.npy      (N, H, W) uint8, 0 background to 255 lesion, edges may lie between
        ids.csv        id, its part under each split rule, and the checksum of its pixels; where the data set has
                       them, its group and its official part
        prepared.json  written last: what `About` says, and where the set was made from

N = number of images, H = W = size.
"""

import contextlib
import csv
import functools
import json
import os
import secrets
import shutil
import tokenize
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, BinaryIO

import numpy as np
from pydantic import Field, ValidationError

from benchmarks.datasets import splits, verification
from results.document import Count, Fraction, Record
from results.errors import RequestError
from results.schema import DataRecord, Originals

ENVIRONMENT = "LESION_BENCHMARKS_CACHE"
UNFINISHED = ".unfinished-"
ABOUT = "prepared.json"
CHECKSUM, GROUP, PART = "sha256", "group", "official"  # columns of ids.csv
CREDITS = ("label", "citation", "licence")  # fields of `About` that a layout gives and every run records
_AGAIN = "delete it and prepare it again"

# numpy parses the header of an array as Python, and warns of those that Python 2 wrote.
_HEADER_FAULTS = (ValueError, TypeError, OverflowError, SyntaxError, tokenize.TokenError, Warning)

Fingerprint = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Parent(Record):
    """The prepared set that a smaller one was derived from."""

    size: Count
    """Side, pixels."""
    fingerprint: Fingerprint


class About(Record):
    """prepared.json. What earlier versions did not record is None."""

    name: str
    size: Count
    """Side, pixels."""
    fingerprint: Fingerprint
    """SHA-256 of size, ids and pixels."""
    soft_share: Fraction | None = None
    """Share of mask pixels that are neither 0 nor 255."""
    originals: Originals | str | None = None
    """The files that the set was made from, or "drawn"."""
    derived_from: Parent | None = None
    vanished: list[str] | None = None
    """Ids of masks of which no pixel reaches 128 at this size."""
    doubts: list[str] | None = None
    """Sentences about what is unlikely of the files, of sets that were prepared from files."""
    label: str | None = None
    """The set's name in tables, where its layout has one."""
    citation: str | None = None
    licence: str | None = None
    layout: str | None = None
    """Where the layout was found, of sets that were prepared by one."""
    convention: str | None = None
    """How the files were paired, in words, of a user's own sets."""
    ignored: Count | None = None
    """Pictures that are neither image nor mask."""
    empty: Count | None = None
    """Masks that mark nothing, where the layout allows them."""
    shares: list[Fraction] | None = None
    """Smallest, median and largest share of foreground."""

    @property
    def is_made_on_demand(self) -> bool:
        """Whether it was derived or drawn, so that nobody has to name a source to get it again."""
        return self.derived_from is not None or self.originals == "drawn"


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
    about: About | None = None
    """All that prepared.json says."""
    checksums: tuple[str, ...] = ()
    """Of the pixels of each id; empty where an earlier version prepared the set."""
    groups: tuple[str, ...] | None = None
    """What each image belongs to (a patient, a lesion), which no split may tear apart; None: each stands for itself."""
    parts: tuple[str, ...] | None = None
    """ "train", "validation" or "test" of each image, where whoever published the set cut it; None: nobody did."""
    _splits: dict[str, splits.Split] = field(default_factory=dict, repr=False)

    def split(self, rule: str) -> splits.Split:
        """Train, validation and test positions under a rule of `splits`, cut once, or of a split that was added.

        Raises RequestError for a rule that there is not, or that this set does not allow.
        """
        if rule not in self._splits:
            self._splits[rule] = splits.named(rule, self.name, self.ids, self.groups, self.parts)
        return self._splits[rule]

    def add(self, split: splits.Split) -> None:
        """Make a split known by its name."""
        self._splits[split.rule] = split

    @property
    def default_split(self) -> str:
        """The rule for who asks for none."""
        return "paper" if self.parts is None else "official"

    @functools.cached_property
    def verification(self) -> verification.Verification:
        """Whether the pixels are still those of the fingerprint: found out once in a process, behind its work."""
        return verification.of(self)

    @property
    def vanished(self) -> tuple[str, ...]:
        """Ids whose lesion has no pixel at this size."""
        return tuple((self.about and self.about.vanished) or ())

    @property
    def doubts(self) -> tuple[str, ...]:
        """What was unlikely of the files, in sentences without a final stop."""
        return tuple((self.about and self.about.doubts) or ())

    @property
    def cure(self) -> str:
        """What to do about a damaged set."""
        if self.about and self.about.is_made_on_demand:
            return "delete this folder, and the next command that needs it makes it again"
        return f"delete this folder and prepare it again: python -m benchmarks data {self.name} --from PATH"


def cache_folder() -> Path:
    """The folder of all prepared sets: $LESION_BENCHMARKS_CACHE, or the user's cache folder of this system."""
    if moved := os.environ.get(ENVIRONMENT):
        return Path(moved).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("lesion-benchmarks", appauthor=False))


def read(folder: Path) -> PreparedSet:
    """Open the prepared set in the folder. RequestError where its files are damaged, as far as opening them tells."""
    try:
        about = About.model_validate_json((folder / ABOUT).read_bytes())
        rows = _rows(folder / "ids.csv")
        ids = tuple(row["id"] for row in rows)
        images, masks = _mapped(folder / "images.npy"), _mapped(folder / "masks.npy")
        size = about.size
        if images.shape != (len(ids), size, size, 3) or masks.shape != (len(ids), size, size):
            raise ValueError("the shapes do not match the ids")
    except (OSError, ValueError, KeyError) as error:
        raise RequestError(f"The prepared set in {folder} is damaged ({_brief(error)}); {_AGAIN}.") from None
    checksums, groups, parts = (_column(rows, name) for name in (CHECKSUM, GROUP, PART))
    known = (facts(about), about, checksums or (), groups, parts)
    return PreparedSet(about.name, size, ids, images, masks, about.fingerprint, folder, *known)


def _column(rows: list[dict[str, str]], name: str) -> tuple[str, ...] | None:
    """Of ids.csv, one text per id; None where it has no such column."""
    return tuple(row[name] or "" for row in rows) if rows and name in rows[0] else None


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with open(path, newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except (UnicodeDecodeError, csv.Error):
        raise ValueError(f"{path.name} is no table") from None


def _mapped(path: Path) -> np.ndarray:
    try:
        array = np.lib.format.open_memmap(path, mode="r")
    except _HEADER_FAULTS:
        raise ValueError(f"{path.name} has a damaged header, or is too short") from None
    if array.dtype != np.uint8 or not array.flags.c_contiguous:
        raise ValueError(f"{path.name} does not hold bytes, row by row")
    return array


def _brief(error: Exception) -> str:
    """The first line of what is wrong."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {Path(str(error.filename)).name}"
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        return f"prepared.json: {'.'.join(map(str, first['loc']))}: {first['msg']}".replace(": :", ":")
    return str(error).partition("\n")[0] or type(error).__name__


def described(folder: Path) -> About | None:
    """What prepared.json of the folder says; None where there is no prepared set in it, or one that is not readable."""
    try:
        return About.model_validate_json((folder / ABOUT).read_bytes())
    except (OSError, ValueError):
        return None


def facts(about: About) -> DataRecord:
    """What a prepared.json says of the data beyond its pixels, as runs record it."""
    own = {key: getattr(about, key) for key in CREDITS if getattr(about, key)}
    return DataRecord(soft_share=about.soft_share, originals=about.originals, **own)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder of one data set alone, after clearing what killed processes left unfinished in it.

    The operating system frees the lock of a process that dies, so whatever is unfinished under the lock is nobody's.
    RequestError when the cache folder cannot be written or the disk is full.
    """
    from filelock import FileLock

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock", mode=folder.stat().st_mode & 0o666):
            for leftover in folder.glob(f"{UNFINISHED}*"):
                shutil.rmtree(leftover)
            yield
    except (OSError, NotImplementedError) as error:  # the latter: a file system without locks
        reason = getattr(error, "strerror", None) or error
        cure = f"free some space or set {ENVIRONMENT} to another folder"
        raise RequestError(f"Cannot write the prepared set to {folder} ({reason}); {cure}.") from error


def write(
    folder: Path,
    name: str,
    size: int,
    ids: Sequence[str],
    pictures: Iterable[tuple[np.ndarray, np.ndarray]],
    origin: dict | Callable[[], dict],
    *,
    groups: Sequence[str] | None = None,
    parts: Sequence[str] | None = None,
) -> PreparedSet:
    """Store pictures, in the order of the ids, as the prepared set in `folder`, replacing the one that is there.

    `pictures` yields (H, W, 3) uint8 images with (H, W) uint8 masks; `origin` is kept in prepared.json; where it is
    a function, it is called after the last picture; `groups` and `parts` are those of `PreparedSet`. To be called
    under `locked(folder.parent)`. Nothing appears in `folder` before all is written, and nothing is left behind
    when `pictures` or the disk fails: the error goes on to the caller.
    """
    unfinished = folder.with_name(f"{UNFINISHED}{secrets.token_hex(4)}")
    unfinished.mkdir()
    try:
        written = _write_pixels(unfinished, size, ids, pictures)
        known = {CHECKSUM: written.checksums, GROUP: groups, PART: parts}
        _write_ids(unfinished / "ids.csv", name, ids, {column: each for column, each in known.items() if each})
        about: dict = {"name": name, "size": size, "images": len(ids), "fingerprint": written.fingerprint}
        about |= {"soft_share": written.soft_share, "vanished": written.vanished}
        about |= origin() if callable(origin) else origin
        (unfinished / ABOUT).write_text(json.dumps(about, indent=2) + "\n")
        if folder.exists():
            folder.rename(unfinished.with_name(unfinished.name + "-replaced"))
        unfinished.rename(folder)
    finally:
        for leftover in folder.parent.glob(f"{unfinished.name}*"):
            shutil.rmtree(leftover)
    return read(folder)


@dataclass
class _Written:
    """What is known of pixels that were written."""

    fingerprint: str = ""
    soft_share: float = 0.0
    checksums: list[str] = field(default_factory=list)
    vanished: list[str] = field(default_factory=list)


def _write_pixels(
    folder: Path, size: int, ids: Sequence[str], pictures: Iterable[tuple[np.ndarray, np.ndarray]]
) -> _Written:
    """Write images.npy and masks.npy front to back, so that a full disk is an error, not a crash."""
    digest, written, soft = verification.begun(size, ids), _Written(), 0
    with open(folder / "images.npy", "wb") as images, open(folder / "masks.npy", "wb") as masks:
        _write_header(images, (len(ids), size, size, 3))
        _write_header(masks, (len(ids), size, size))
        for count, (image, mask) in enumerate(pictures):
            assert image.shape == (size, size, 3)
            assert mask.shape == (size, size)
            soft += int(np.count_nonzero((mask != 0) & (mask != 255)))
            if mask.max() < 128:
                written.vanished.append(ids[count])
            written.checksums.append(verification.checksum(image, mask))
            for file, pixels in ((images, image), (masks, mask)):
                data = pixels.tobytes()
                file.write(data)
                digest.update(data)
        for file in (images, masks):
            file.flush()
            os.fsync(file.fileno())
    assert len(written.checksums) == len(ids), f"{len(written.checksums)} pictures for {len(ids)} ids"
    written.fingerprint, written.soft_share = digest.hexdigest(), soft / (len(ids) * size * size)
    return written


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})


def _write_ids(path: Path, name: str, ids: Sequence[str], known: Mapping[str, Sequence[str]]) -> None:
    """known: further columns by name, one text per id. Of the data sets of the suites, also the parts by each rule."""
    parts = {rule: [""] * len(ids) for rule in splits.RULES if name in splits.COUNTS}
    for rule, column in parts.items():
        split = splits.cut(ids, splits.COUNTS[name], rule)
        for part in ("train", "validation", "test"):
            for position in getattr(split, part):
                column[position] = part
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", *parts, *known])
        writer.writerows(zip(ids, *parts.values(), *known.values(), strict=True))
