"""Stored runs: validated when they are read, and what is damaged becomes a Problem."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import astuple, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd

from results import seal
from results.cell import CONFIG, FAILED, HISTORY, PER_IMAGE, REPORT, Cell
from results.errors import Damaged, Problem, RequestError
from results.files import RERUN
from results.metrics import COUNT_COLUMNS, METRICS, per_image_mean, pooled
from results.schema import Config, GivenUp, History, PerImage, Report

UNKNOWN = "unknown"
_Kind = TypeVar("_Kind", Config, Report)


@dataclass(frozen=True)
class Run:
    """A finished run, validated on reading; `metrics` are recomputed from per_image.csv, not taken from report.json."""

    cell: Cell
    folder: Path
    config: Config
    report: Report
    per_image: pd.DataFrame = field(repr=False)  # index: id; columns tp, fp, fn, tn (int64)

    @property
    def identity(self) -> str:
        """What the network was, as a hash; "unknown" for runs from before it was recorded."""
        return self.config.identity or UNKNOWN

    @cached_property
    def counts(self) -> np.ndarray:
        """(N, 4) int64: tp, fp, fn, tn of each scored image."""
        return self.per_image[list(COUNT_COLUMNS)].to_numpy(np.int64)

    @cached_property
    def metrics(self) -> dict[str, float]:
        """Pooled metrics as fractions."""
        return pooled(self.counts)

    @cached_property
    def truth(self) -> tuple[tuple[str, ...], tuple[int, ...]]:
        """What was scored: ids in their order, and the pixels of the lesion in each image."""
        lesion = (self.per_image["tp"] + self.per_image["fn"]).sort_index()
        return tuple(lesion.index), tuple(lesion)

    def history(self) -> pd.DataFrame:
        """One row per epoch, as `History` has them. Raises Damaged where the file cannot be used."""
        return History.read(self.folder / HISTORY).rows


@dataclass(frozen=True)
class Failure:
    """A seed that was given up: after which epoch, and why."""

    cell: Cell
    folder: Path
    epoch: int
    reason: str


@dataclass(frozen=True)
class Stored:
    """All that a results folder holds."""

    runs: list[Run]
    failures: list[Failure]
    problems: list[Problem]


def is_finished(cell: Cell, root: Path) -> bool:
    return (cell.folder(root) / REPORT).exists()


def is_done(cell: Cell, root: Path) -> bool:
    """Finished or given up: there is nothing left to train."""
    return is_finished(cell, root) or (cell.folder(root) / FAILED).exists()


def failure_of(cell: Cell, root: Path) -> Failure | None:
    """The recorded failure of this cell, if it was given up. Raises Damaged where that file cannot be used."""
    path = cell.folder(root) / FAILED
    if not path.exists():
        return None
    found = GivenUp.read(path)
    seal.check_folder(path.parent, found.files)
    return Failure(cell, path.parent, found.epoch, found.reason)


def check_finished(cell: Cell, root: Path) -> None:
    """Raises Damaged where the folder of a finished cell cannot be used; weights and masks are not looked at.

    A millisecond where report.json holds checksums: then the other files are what they were when it was written.
    """
    folder = cell.folder(root)
    report = _of_cell(Report, cell, folder / REPORT)
    if report.files is None:
        read_run(cell, folder, large=False)
    seal.check_folder(folder, report.files, large=False)


def load_runs(root: Path, *, large: bool = True) -> Stored:
    """Everything under `root`/runs. What is damaged becomes a Problem; unfinished folders are passed over.

    large: also compare weights and masks with their checksums, about a second per GB.
    """
    stored = Stored([], [], [])
    for folder in sorted(_seed_folders(root)):
        try:
            _load_one(folder, root, stored, large)
        except Damaged as damage:
            stored.problems.append(damage.problem)
    return stored


def unfinished(root: Path) -> Iterator[Cell]:
    """Cells that were begun, or are about to be, and are neither finished nor given up."""
    for folder in sorted(_seed_folders(root)):
        with suppress(ValueError):  # no cell's folder, which `load_runs` names
            cell = Cell.of_folder(folder)
            if not is_done(cell, root):
                yield cell


def poolable(root: Path) -> list[Run]:
    """The finished runs under `root`/runs whose seeds may be pooled; weights and masks are not looked at."""
    return of_one_identity(load_runs(root, large=False).runs)[0]


def of_one_identity(runs: list[Run]) -> tuple[list[Run], list[Problem]]:
    """Runs whose seeds may be pooled: of each data set, recipe and network, those of one identity, on the same images
    in the same parts; problems for others.

    Where there are several, a known one goes before unknown (runs from before it was recorded, which count as one),
    then the one with most runs, then the one that was finished last.
    """
    groups: dict[tuple[str, str, str], dict[_Alike, list[Run]]] = {}
    for run in runs:
        key = run.cell.dataset, run.cell.recipe, run.cell.network
        groups.setdefault(key, {}).setdefault(_Alike.of(run), []).append(run)

    def rank(alike: _Alike, mine: list[Run]) -> tuple:
        return alike.identity != UNKNOWN, len(mine), max(run.report.finished_at or "" for run in mine), alike

    kept, problems = [], []
    for found in groups.values():
        best = max(found, key=lambda each: rank(each, found[each]))
        for alike, mine in found.items():
            if alike == best or alike == best.before_splits_were_recorded:
                kept += mine
                continue
            problems += [Problem(run.folder, alike.unlike(best, run.cell), CURE) for run in mine]
    order = {id(run): at for at, run in enumerate(runs)}
    return sorted(kept, key=lambda run: order[id(run)]), problems


CURE = "move it away, or run this cell again"


@dataclass(frozen=True, order=True)
class _Alike:
    """What the runs of one column have in common."""

    identity: str
    fingerprint: str
    """Of the data; empty where it was not recorded."""
    split: str
    """Fingerprint of the split; empty where it was not recorded."""

    @classmethod
    def of(cls, run: Run) -> "_Alike":
        return cls(run.identity, run.config.fingerprint or "", run.config.split.fingerprint or "")

    @property
    def before_splits_were_recorded(self) -> "_Alike":
        """The same of earlier versions, whose splits follow from the images."""
        return replace(self, split="")

    def unlike(self, shown: "_Alike", cell: Cell) -> str:
        """What makes it another one than the shown, in words."""
        if self.identity != shown.identity:
            other = f"its network {cell.network} is another one (identity {self.identity})"
            return f"{other} than the shown ({shown.identity})"
        what, mine, theirs = ("data set", self.fingerprint, shown.fingerprint)
        if mine == theirs:
            what, mine, theirs = ("split", self.split, shown.split)
        mine, theirs = (each[:12] or "unknown" for each in (mine, theirs))
        return f"its {what} is another one (fingerprint {mine}) than the shown ({theirs})"


def _seed_folders(root: Path) -> Iterator[Path]:
    return (path for path in root.glob("runs/*/*/*/seed-*") if path.is_dir())


def _load_one(folder: Path, root: Path, stored: Stored, large: bool) -> None:
    """Raises Damaged for what cannot be used."""
    try:
        cell = Cell.of_folder(folder)
    except (ValueError, RequestError):
        message = "no cell has this folder: its name is not seed-<number>, or one above it is not encoded as ours are"
        raise Damaged(folder, message, "rename or remove it") from None
    given_up = failure_of(cell, root)
    if given_up is not None:
        stored.failures.append(given_up)
    elif is_finished(cell, root):
        stored.runs.append(read_run(cell, folder, large=large))


def read_run(cell: Cell, folder: Path, *, large: bool = True) -> Run:
    """The finished run in this folder, validated. Raises Damaged.

    large: also compare weights and masks with their checksums.
    """
    report = _of_cell(Report, cell, folder / REPORT)
    seal.check_folder(folder, report.files, large=large)
    config = _of_cell(Config, cell, folder / CONFIG)
    if not (folder / HISTORY).exists():
        raise Damaged(folder / HISTORY, "the file is missing", RERUN)
    run = Run(cell, folder, config, report, PerImage.read(folder / PER_IMAGE).by_id)
    _compare_counts(run)
    _compare_metrics(run)
    return run


def _of_cell(kind: type[_Kind], cell: Cell, path: Path) -> _Kind:
    """The document at `path`, which must speak of this cell. Raises Damaged."""
    document = kind.read(path)
    told = document.dataset, document.recipe, document.network, document.seed
    if told != astuple(cell):
        raise Damaged(path, "it speaks of {} / {} / {} / seed {}".format(*told), "move the folder to where it belongs")
    return document


def _compare_counts(run: Run) -> None:
    """per_image.csv must score what config.json says, every image at its size."""
    path, expected, size = run.folder / PER_IMAGE, run.config.split.sizes.test, run.config.size
    if len(run.per_image) != expected:
        message = f"it has {len(run.per_image)} rows where the test split has {expected}; it was truncated"
        raise Damaged(path, message, RERUN)
    pixels = np.unique(run.counts.sum(axis=1))
    if len(pixels) != 1:
        raise Damaged(path, "the four counts do not add up to the same number of pixels in every row", RERUN)
    if size is not None and pixels[0] != size**2:
        message = f"its counts are of {pixels[0]} pixels, not of the {size} x {size} that config.json says"
        raise Damaged(path, message, RERUN)


def _compare_metrics(run: Run) -> None:
    """report.json must say what per_image.csv says."""
    for name, claims, found in (
        ("metrics", run.report.metrics, run.metrics),
        ("per_image_mean", run.report.per_image_mean, per_image_mean(run.counts)),
    ):
        for metric in METRICS:
            claimed = claims.get(metric.name)
            if claimed is None and name == "per_image_mean":
                continue  # of a version that did not record it
            if claimed is None or abs(claimed - found[metric.name]) > 1e-9:
                message = f"its {name}.{metric.name} is {claimed}, not the {found[metric.name]!r} of per_image.csv"
                raise Damaged(run.folder / REPORT, message, RERUN)
