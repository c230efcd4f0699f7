"""Reading and writing files: the only code that puts one in place, always as a whole or not at all.

A file is written beside its place under the name `.<name>.<random>.partial` and then takes its place in one step, so
that readers see the old file or the whole new one, and so that two writers never write into each other's file. What a
killed process leaves behind has that name too: `partials` finds it.
"""

import json
import math
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from results.errors import Damaged

HOME = Path(__file__).resolve().parent
PARTIAL = ".partial"
RERUN = "delete its folder and run this cell again"  # the cure for a damaged file of a run
DEEPEST = 20  # levels of a JSON file; those of a results folder have five


# Writing


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file to write to, which takes the place of `path` when the block ends, and goes away when it raises."""
    with replacing_all([path]) as (partial,):
        yield partial


@contextmanager
def replacing_all(paths: Sequence[Path]) -> Iterator[list[Path]]:
    """As `replacing`, for several files: all are complete on disk before the first one takes its place.

    Each gets the mode that new files have here, whatever the library that writes it prefers.
    """
    partials: list[Path] = []
    try:
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            partials.append(_partial(path))
            partials[-1].touch(exist_ok=False)
        modes = [partial.stat().st_mode for partial in partials]
        yield list(partials)
        for partial, mode in zip(partials, modes, strict=True):
            partial.chmod(mode)
            with partial.open("rb+") as file:
                os.fsync(file.fileno())
        for partial, path in zip(partials, paths, strict=True):
            os.replace(partial, path)
    finally:
        for partial in partials:
            partial.unlink(missing_ok=True)


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """A name for a passing file in the folder of `path`, which is made; what has the name at the end goes away."""
    path.parent.mkdir(parents=True, exist_ok=True)
    passing = _partial(path)
    try:
        yield passing
    finally:
        passing.unlink(missing_ok=True)


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}{PARTIAL}")


def partials(root: Path) -> list[Path]:
    """Unfinished files below `root`: of a process that was killed, or of one that is writing just now."""
    return sorted(root.rglob(f".*{PARTIAL}"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write atomically: readers see the old file or the whole new one."""
    with replacing(path) as partial:
        partial.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write atomically, as UTF-8."""
    write_bytes(path, text.encode())


def write_json(path: Path, content: dict) -> None:
    """Write atomically, keys in the given order, numbers in full precision. Raises ValueError on NaN or infinity."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write atomically, floats in full (round-trip) precision."""
    write_text(path, table.to_csv(index=False, lineterminator="\n"))


# Reading


def own_or_packaged(root: Path, name: str) -> Path:
    """<root>/<name>, or this package's where there is none: of what belongs to code or data sets and not to runs."""
    own = root / name
    return own if own.exists() else HOME / name


def read_json(path: Path, cure: str = RERUN) -> dict[str, Any]:
    """The object in a JSON file; its numbers are finite. Raises Damaged, with this cure, for anything else."""
    try:
        content = json.loads(path.read_bytes().decode())
    except FileNotFoundError:
        raise Damaged(path, "it is missing", cure) from None
    except OSError as error:
        raise Damaged(path, f"it cannot be read ({error.strerror})", cure) from None
    except (ValueError, RecursionError) as error:
        raise Damaged(path, f"it is not JSON ({error})", cure) from None
    if not isinstance(content, dict):
        raise Damaged(path, "it is not a JSON object", cure)
    if fault := _fault(content):
        raise Damaged(path, fault, cure)
    return content


def _fault(content: dict[str, Any]) -> str:
    """What Python's reader takes and no other: a number that is not finite, a character that cannot be written."""
    todo: list[tuple[tuple[str, ...], Any]] = [((), content)]
    while todo:
        place, value = todo.pop()
        if len(place) > DEEPEST:
            return f"its {place[0]} is nested more than {DEEPEST} levels deep"
        if isinstance(value, float) and not math.isfinite(value):
            return f"its {'.'.join(place)} is {value}, not a finite number"
        if not _can_be_written(value) or not all(map(_can_be_written, place[-1:])):
            return f"its {place[0]!a} holds a character that does not exist"
        children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        todo += [((*place, str(key)), child) for key, child in children]
    return ""


def _can_be_written(value: Any) -> bool:
    try:
        return not isinstance(value, str) or value.encode() is not None
    except UnicodeEncodeError:
        return False
