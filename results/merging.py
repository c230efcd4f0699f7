"""Taking another results folder's runs in: validated first, never over what is there, all of them or none."""

import filecmp
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from results.cell import CLAIM, Cell
from results.errors import Problem, RequestError, Unwritable
from results.files import PARTIAL
from results.runs import Run, load_runs, of_one_identity

LEFT = (CLAIM, "checkpoint*.safetensors", f"*{PARTIAL}")  # of a process, not of a result


@dataclass(frozen=True)
class Merging:
    """What would be taken in, and what stands against it."""

    new: list[Run]
    same: list[Run]
    """That are there already, file by file."""
    against: list[Problem]
    """Damaged runs, other runs of the same cell, and runs that cannot stand in one column with those that are there."""


def plan(source: Path, root: Path) -> Merging:
    """Hold the runs of a results folder against those of `root`. Raises RequestError where there are none."""
    if source.resolve() == root.resolve():
        raise RequestError(f"{source} is the results folder itself; name the one whose runs are to be taken in.")
    theirs, ours = load_runs(source), load_runs(root, large=False)
    if not theirs.runs and not theirs.problems:
        raise RequestError(f"{source} holds no finished runs; name the folder that holds runs/.")
    there = {run.cell: run for run in ours.runs}
    new, same, against = [], [], list(theirs.problems)
    for run in theirs.runs:
        folder = run.cell.folder(root)
        if run.cell in there and _equal(run.folder, folder):
            same.append(run)
        elif folder.exists():
            against.append(Problem(run.folder, f"{folder} is another run of the same cell", "keep one of the two"))
        else:
            new.append(run)
    return Merging(new, same, [*against, *_torn(ours.runs, new, source)])


def _torn(ours: list[Run], new: list[Run], source: Path) -> list[Problem]:
    """Runs that could not stand in one column: of another network, data set or split under the same name."""
    shown, problems = of_one_identity([*ours, *new])
    folders = {run.folder for run in new}
    found = [problem for problem in problems if problem.path in folders]
    before = {run.folder for run in of_one_identity(ours)[0]}
    if before - {run.folder for run in shown}:
        message = "runs that are shown now would not be any more: these are of another network, data set or split"
        found.append(Problem(source, message, "keep one of the two kinds"))
    return found


def take(merging: Merging, root: Path) -> list[Cell]:
    """Copy the new runs. Raises RequestError where something stands against it, and Unwritable; then none is there."""
    if merging.against:
        number = len(merging.against)
        raise RequestError(
            f"{number} run{'s stand' if number > 1 else ' stands'} against it, the first is: {merging.against[0]} "
            "Nothing was taken in."
        )
    done: list[Path] = []
    try:
        for run in merging.new:
            _copy(run.folder, run.cell.folder(root), done)
    except OSError as error:
        for folder in done:
            shutil.rmtree(folder, ignore_errors=True)
        raise Unwritable.of(root, error) from error  # type: ignore[misc]  # it is one, of an OSError
    return [run.cell for run in merging.new]


def _copy(source: Path, folder: Path, done: list[Path]) -> None:
    """The whole folder takes its place in one step."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = folder.with_name(f".{folder.name}{PARTIAL}")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        shutil.copytree(source, partial, ignore=shutil.ignore_patterns(*LEFT))
        partial.rename(folder)
        done.append(folder)
    finally:
        with suppress(OSError):
            shutil.rmtree(partial)


def _equal(first: Path, second: Path) -> bool:
    """Whether both folders hold the same results; files that may be left away, such as weights, may be in one only."""
    names = {path.relative_to(first) for path in first.rglob("*") if path.is_file()}
    names &= {path.relative_to(second) for path in second.rglob("*") if path.is_file()}
    return all(filecmp.cmp(first / name, second / name, shallow=False) for name in names if name.name != CLAIM)
