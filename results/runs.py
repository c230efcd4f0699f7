"""Stored runs: validated when they are read, and what is damaged becomes a Problem."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from results.cell import Cell
from results.errors import RequestError
from results.files import read_json
from results.metrics import COUNT_COLUMNS, METRICS, pooled

UNKNOWN = "unknown"
FORMAT = 1  # of report.json; a reader refuses what it does not know


@dataclass(frozen=True)
class Problem:
    """Something in the results folder that cannot be used: where, what, and the cure."""

    path: Path
    message: str
    cure: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}; {self.cure}."


@dataclass(frozen=True)
class Run:
    """A finished run, validated on reading; `metrics` are recomputed from per_image.csv, not taken from report.json."""

    cell: Cell
    folder: Path
    config: dict
    report: dict
    per_image: pd.DataFrame = field(repr=False)  # index: id; columns tp, fp, fn, tn (int64)

    @property
    def identity(self) -> str:
        """What the network was, as a hash; "unknown" for runs from before it was recorded."""
        return str(self.config.get("identity") or UNKNOWN)

    @cached_property
    def counts(self) -> np.ndarray:
        """(N, 4) int64: tp, fp, fn, tn of each scored image."""
        return self.per_image[list(COUNT_COLUMNS)].to_numpy(np.int64)

    @cached_property
    def metrics(self) -> dict[str, float]:
        """Pooled metrics as fractions."""
        return pooled(self.counts)

    def history(self) -> pd.DataFrame:
        """One row an epoch."""
        return pd.read_csv(self.folder / "history.csv")


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
    return (cell.folder(root) / "report.json").exists()


def failure_of(cell: Cell, root: Path) -> Failure | None:
    """The recorded failure of this cell, if it was given up."""
    path = cell.folder(root) / "failed.json"
    if not path.exists():
        return None
    content = read_json(path)
    return Failure(cell, path.parent, int(content["epoch"]), str(content["reason"]))


def load_runs(root: Path) -> Stored:
    """Everything under `root`/runs. What is damaged becomes a Problem; unfinished folders are passed over."""
    stored = Stored([], [], [])
    for folder in sorted(_seed_folders(root)):
        try:
            _load_one(folder, root, stored)
        except _Damaged as damage:
            stored.problems.append(damage.problem)
    return stored


def of_one_identity(runs: list[Run]) -> tuple[list[Run], list[Problem]]:
    """Runs whose seeds may be pooled: of each data set, recipe and network, those of one identity; problems for others.

    Where there are several, a known one goes before unknown (runs from before it was recorded, which count as one),
    then the one with most runs, then the one that was finished last.
    """
    groups: dict[tuple[str, str, str], dict[str, list[Run]]] = {}
    for run in runs:
        key = run.cell.dataset, run.cell.recipe, run.cell.network
        groups.setdefault(key, {}).setdefault(run.identity, []).append(run)

    def rank(identity: str, alike: list[Run]) -> tuple:
        return identity != UNKNOWN, len(alike), max(str(run.report.get("finished_at", "")) for run in alike), identity

    chosen = {key: max(found, key=lambda each: rank(each, found[each])) for key, found in groups.items()}
    kept, problems = [], []
    for run in runs:
        identity = chosen[run.cell.dataset, run.cell.recipe, run.cell.network]
        if run.identity == identity:
            kept.append(run)
            continue
        message = f"its network {run.cell.network} is another one (identity {run.identity}) than the shown ({identity})"
        problems.append(Problem(run.folder, message, "move it away, or run this cell again"))
    return kept, problems


def _seed_folders(root: Path) -> Iterator[Path]:
    return (path for path in root.glob("runs/*/*/*/seed-*") if path.is_dir())


class _Damaged(Exception):
    def __init__(self, path: Path, message: str, cure: str = "delete this folder and run its cell again") -> None:
        super().__init__(message)
        self.problem = Problem(path, message, cure)


def _load_one(folder: Path, root: Path, stored: Stored) -> None:
    try:
        cell = Cell.of_folder(folder)
    except ValueError:
        raise _Damaged(folder, "the folder's name is not seed-<number>", "rename or remove it") from None
    try:
        given_up = failure_of(cell, root)
    except (RequestError, KeyError, ValueError) as error:
        raise _Damaged(folder / "failed.json", f"it cannot be read ({error})") from None
    if given_up is not None:
        stored.failures.append(given_up)
    elif is_finished(cell, root):
        stored.runs.append(_read_run(cell, folder))


def _read_run(cell: Cell, folder: Path) -> Run:
    try:
        report, config = read_json(folder / "report.json"), read_json(folder / "config.json")
    except RequestError as error:
        raise _Damaged(folder, f"its record cannot be read ({error})") from None
    if report.get("format") != FORMAT:
        raise _Damaged(
            folder / "report.json",
            f"it has format {report.get('format')!r}, this version reads format {FORMAT}",
            "render it with the version that wrote it, or run the cell again",
        )
    claimed = [report.get(name) for name in ("dataset", "recipe", "network", "seed")]
    if claimed != [cell.dataset, cell.recipe, cell.network, cell.seed]:
        raise _Damaged(folder / "report.json", f"it speaks of {claimed}", "move the folder to where it belongs")
    if any(config.get(name) != report.get(name) for name in ("dataset", "recipe", "network", "seed")):
        raise _Damaged(folder / "config.json", "it does not speak of the cell that report.json speaks of")
    if not (folder / "history.csv").exists():
        raise _Damaged(folder / "history.csv", "the file is missing")
    per_image = _read_per_image(folder / "per_image.csv", config)
    run = Run(cell, folder, config, report, per_image)
    _compare_metrics(run)
    return run


def _read_per_image(path: Path, config: dict) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, dtype={"id": str})
        counts = table.set_index("id")[list(COUNT_COLUMNS)].astype(np.int64)
    except FileNotFoundError:
        raise _Damaged(path, "the file is missing") from None
    except (ValueError, KeyError, pd.errors.ParserError) as error:
        raise _Damaged(path, f"it is not a table of id, tp, fp, fn, tn ({error})") from None
    try:
        expected = config["split"]["sizes"]["test"]
    except (KeyError, TypeError):
        raise _Damaged(path.with_name("config.json"), "it does not tell the sizes of the splits") from None
    if len(counts) != expected:
        raise _Damaged(path, f"it has {len(counts)} rows where the test split has {expected}; it was truncated")
    if counts.index.duplicated().any() or (counts < 0).any(axis=None):
        raise _Damaged(path, "an id stands twice or a count is negative")
    if counts.sum(axis=1).nunique() != 1:
        raise _Damaged(path, "the four counts do not add up to the same number of pixels in every row")
    return counts


def _compare_metrics(run: Run) -> None:
    """report.json must say what per_image.csv says."""
    for metric in METRICS:
        claimed = (run.report.get("metrics") or {}).get(metric.name)
        if not isinstance(claimed, int | float) or not np.isfinite(claimed):
            raise _Damaged(run.folder / "report.json", f"its metric {metric.name!r} is {claimed!r}, not a number")
        if abs(claimed - run.metrics[metric.name]) > 1e-9:
            raise _Damaged(
                run.folder / "report.json",
                f"its {metric.name} {claimed!r} is not the {run.metrics[metric.name]!r} that per_image.csv gives",
            )
