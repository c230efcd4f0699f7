"""Reading and writing files: the only code that puts one in place, always as a whole or not at all.

A file is written beside its place under the name `.<name>.<random>.partial` and then takes its place in one step, so
that readers see the old file or the whole new one, and so that two writers never write into each other's file. What a
killed process leaves behind has that name too: `partials` finds it.
"""

import errno
import glob
import json
import math
import os
import reprlib
import secrets
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pandas as pd

from results.errors import Damaged, RequestError, Unwritable

HOME = Path(__file__).resolve().parent
PARTIAL = ".partial"
STALE = 3600.0  # seconds after which nobody is writing a partial file any more
RERUN = "delete its folder and run this cell again"  # the cure for a damaged file of a run
LARGEST, WHOLE = 1e100, 2**63 - 1  # numbers and whole numbers that a file may hold, without their sign
DEEPEST = 20  # levels of a JSON file; those of a results folder have five


# Writing


def read_toml(path: Path, shown: str, cure: str) -> dict[str, Any]:
    """The tables of a TOML file that a user wrote. shown: how a sentence names it. Raises RequestError."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RequestError(f"{shown} cannot be read ({error.strerror}); {cure}.") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RequestError(f"{shown} is no TOML ({error}); mend it there.") from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file to write to, which takes the place of `path` when the block ends, and goes away when it raises."""
    with replacing_all([path]) as (partial,):
        yield partial


@contextmanager
def replacing_all(paths: Sequence[Path], kept_as: Sequence[Path] = ()) -> Iterator[list[Path]]:
    """As `replacing`, for several files: all are complete on disk before the first one takes its place.

    kept_as: under which names the files in their places remain, one for each of `paths`; none: they do not. Between
    two steps a file may lie under that name alone.

    Each gets the mode that new files have here, whatever the library that writes it prefers. Folders are made, and
    partial files of the same names that are older than `STALE` go. Raises Unwritable where the system refuses, or the
    block says that it did: then all is as it was before.
    """
    partials: list[Path] = []
    folders: list[Path] = []
    place = paths[0] if paths else HOME
    try:
        for place in paths:
            _make_folder(place.parent, folders)
            partials.append(_begun(place))
        modes = [partial.stat().st_mode for partial in partials]
        yield list(partials)
        for k, partial in enumerate(partials):
            place = paths[k]
            partial.chmod(modes[k])
            with partial.open("rb+") as file:
                os.fsync(file.fileno())
        for place, partial, kept in zip_longest(paths, partials, kept_as):
            if kept is not None and place.exists():
                os.replace(place, kept)
            os.replace(partial, place)
        folders.clear()
    except Exception as error:
        refused = Unwritable.of(_place_of(error, place, partials, paths), error)
        if refused is None:
            raise
        raise refused from error
    finally:
        for partial in partials:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
        _remove(folders)


def _remove(folders: list[Path]) -> None:
    """Remove new folders, each before the one that it lies in."""
    for folder in reversed(folders):
        with suppress(OSError):  # another process uses it already
            folder.rmdir()


def _make_folder(folder: Path, made: list[Path]) -> None:
    """Make a folder and those above it, and append the new ones to `made`."""
    for each in reversed((folder, *folder.parents)):
        if not each.exists():
            each.mkdir(exist_ok=True)
            made.append(each)
    folder.mkdir(exist_ok=True)  # raises where it is a file


def _begun(path: Path) -> Path:
    """An empty partial file of a name of its own; what killed processes left of the same file goes."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    partial = _partial(path)
    partial.touch(exist_ok=False)
    _sweep(path, partial.stat().st_mtime)
    return partial


def _place_of(error: Exception, place: Path, partials: Sequence[Path], paths: Sequence[Path]) -> Path:
    """What an error is about: the file that it names, under the name that this should have got, else `place`."""
    told = getattr(error, "filename", None)
    known = {str(partial): path for partial, path in zip(partials, paths, strict=False)}
    if not isinstance(told, str | Path) or str(told).endswith(PARTIAL):
        return known.get(str(told), place)
    return Path(told)


def _sweep(path: Path, now: float) -> None:
    """Remove what killed processes left of a file. now: by the clock of the file system."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*{PARTIAL}"):
        with suppress(OSError):  # another process sweeps too
            if now - left.stat().st_mtime > STALE:
                left.unlink()


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """A name for a passing file in the folder of `path`, which is made; what has the name at the end goes away.

    Raises Unwritable where the system refuses; then no new folder is left either.
    """
    folders: list[Path] = []
    passing = _partial(path)
    try:
        _make_folder(path.parent, folders)
        yield passing
        folders.clear()
    except OSError as error:
        raise Unwritable.of(path, error) from error  # type: ignore[misc]  # it is one, of an OSError
    finally:
        with suppress(OSError):
            passing.unlink(missing_ok=True)
        _remove(folders)


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}{PARTIAL}")


def move(path: Path, place: Path) -> None:
    """Put a file into the place of another, if there is one. Raises Unwritable where the system refuses."""
    try:
        os.replace(path, place)
    except OSError as error:
        raise Unwritable.of(place, error) from error  # type: ignore[misc]  # it is one, of an OSError


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
    write_text(path, json_text(content))


def json_text(content: dict) -> str:
    """An object as it stands in a file."""
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write atomically, floats in full (round-trip) precision."""
    write_text(path, table.to_csv(index=False, lineterminator="\n"))


# Reading


def own_or_packaged(root: Path, name: str) -> Path:
    """<root>/<name>, or this package's where there is none: of what belongs to code or data sets and not to runs."""
    own = root / name
    return own if own.exists() else HOME / name


def read_bytes(path: Path, cure: str) -> bytes:
    """The content of a file. Raises Damaged, with this cure, where there is none, or something else in its place."""
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise Damaged(path, "it is no file", cure)
        return path.read_bytes()
    except FileNotFoundError:
        raise Damaged(path, "the file is missing", cure) from None
    except OSError as error:
        raise Damaged(path, f"it cannot be read ({error.strerror})", cure) from None


def read_json(path: Path, cure: str = RERUN) -> dict[str, Any]:
    """The object in a JSON file; its numbers are finite. Raises Damaged, with this cure, for anything else."""
    whole = read_bytes(path, cure)
    try:
        content = json.loads(whole.decode(), object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise Damaged(path, f"it is not JSON ({error})", cure) from None
    if not isinstance(content, dict):
        raise Damaged(path, "it is not a JSON object", cure)
    if fault := _fault(content):
        raise Damaged(path, fault, cure)
    return content


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object. Raises ValueError where a key stands twice, of which Python's reader takes the last."""
    content = dict(pairs)
    if len(content) != len(pairs):
        twice = next(name for k, (name, _) in enumerate(pairs) if name in dict(pairs[:k]))
        raise ValueError(f"the key {twice!a} stands twice in one object")
    return content


def _fault(content: dict[str, Any]) -> str:
    """What Python's reader takes and no other: numbers without end or beyond use, a character that is none."""
    todo: list[tuple[tuple[str, ...], Any]] = [((), content)]
    while todo:
        place, value = todo.pop()
        if len(place) > DEEPEST:
            return f"its {place[0]} is nested more than {DEEPEST} levels deep"
        if isinstance(value, float) and not math.isfinite(value):
            return f"its {'.'.join(place)} is {value}, not a finite number"
        if isinstance(value, int | float) and abs(value) > (LARGEST if isinstance(value, float) else WHOLE):
            return f"its {'.'.join(place)} is {reprlib.repr(value)}, larger than anything that is measured"
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
