"""Splits of the user's own: a file of ids per part, kept beside the runs, where any process finds it again.

    CSV     columns id and part
    JSON    {"train": [...], "validation": [...], "test": [...]}; "val" will do
    nnU-Net splits_final.json: a list of {"train": [...], "val": [...]}; FILE#2 is its third. Its val part selects the
            epoch and is scored, as nnU-Net does

A file is frozen as <results folder>/splits/NAME.json; NAME is the file's own with eight digits of a hash of its
content, so that an edited file is another split.
"""

import csv
import hashlib
import io
import json
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from benchmarks.datasets.judging import listed
from benchmarks.datasets.splits import FILE, PARTS, Split, made, torn
from benchmarks.datasets.store import PreparedSet
from results.document import Document
from results.errors import RequestError

FOLDER = "splits"
SUFFIXES = (".csv", ".json", ".tsv")
_PARTS = {part: part for part in PARTS} | {"val": "validation", "valid": "validation", "training": "train"}
Ids = Annotated[tuple[str, ...], Field(strict=False)]  # JSON has lists
_read: dict[str, "Parts"] = {}
"""By name: what this process has read."""


class Parts(Document):
    """A frozen split: ids of each part. Without a validation part, the test part selects the epoch."""

    CURE = "put the file back that it was made of, or give that with --split"
    format: int
    train: Ids
    validation: Ids = ()
    test: Ids


def is_file(text: str) -> bool:
    """Whether a --split names a file rather than a rule."""
    path = Path(text.partition("#")[0])
    return path.suffix.lower() in SUFFIXES or path.is_file()


def read(text: str) -> str:
    """The name of the split in a file, FILE or FILE#NUMBER, from now on known to this process.

    Raises RequestError, naming the file and the id, for what is no split.
    """
    where, _, number = text.partition("#")
    path = Path(where).expanduser()
    try:
        content = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise RequestError(f"--split {where} cannot be read ({error.strerror}); name another file.") from error
    except UnicodeDecodeError as error:
        raise RequestError(f"--split {where} is no text; give CSV or JSON.") from error
    parts = _of_json(content, path, number) if path.suffix.lower() == ".json" else _of_csv(content, path)
    stem = re.sub(r"[^\w.-]+", "_", path.stem, flags=re.ASCII)[:60] + (f"-{number}" if number else "")
    name = f"{stem}-{hashlib.sha256(json.dumps(parts.content(), sort_keys=True).encode()).hexdigest()[:8]}"
    _read[name] = parts
    return name


def freeze(name: str, root: Path) -> None:
    """Keep a split that was read beside the runs; nothing happens where it is none, or lies there."""
    path = root / FOLDER / f"{name}.json"
    if name in _read and not path.exists():
        _read[name].write(path)


def cut(prepared: PreparedSet, rule: str, root: Path) -> Split:
    """The split of a prepared set by a rule, or by a file that is frozen under `root` or known to this process."""
    return use(prepared, rule, root) if FILE.fullmatch(rule) else prepared.split(rule)


def use(prepared: PreparedSet, name: str, root: Path) -> Split:
    """The split of that name, of this process or beside the runs, cut for a prepared set, which knows it from now on.

    Raises RequestError where there is none, and where it does not fit the set.
    """
    path = root / FOLDER / f"{name}.json"
    if name not in _read and not path.exists():
        raise RequestError(
            f"There is no split {name} in {path.parent}; give the file that it was made of with --split."
        )
    split = _cut(prepared, name, _read[name] if name in _read else Parts.read(path))
    prepared.add(split)
    return split


def left_out(prepared: PreparedSet, split: Split) -> int:
    """How many images of the set stand in no part."""
    return len(prepared.ids) - len({*split.train.tolist(), *split.validation.tolist(), *split.test.tolist()})


def _cut(prepared: PreparedSet, name: str, parts: Parts) -> Split:
    places = {each: at for at, each in enumerate(prepared.ids)}
    found: dict[str, list[int]] = {}
    for part in PARTS:
        ids = getattr(parts, part)
        if strange := [each for each in ids if each not in places]:
            raise RequestError(
                f"The split {name} names {len(strange)} ids that {prepared.name} does not have: {listed(strange)}; "
                "correct them in its file."
            )
        found[part] = sorted(places[each] for each in ids)
    if apart := torn(prepared.groups, found):
        raise RequestError(
            f"The split {name} tears {len(apart)} groups of {prepared.name} apart, whose images must stay together: "
            f"{listed(apart)}; put all images of a group into one part."
        )
    if parts.validation:
        return made(name, prepared.ids, found)
    return made(name, prepared.ids, found | {"validation": found["test"]}, selected_on="test")


def _of_csv(content: str, path: Path) -> Parts:
    delimiter = "\t" if path.suffix.lower() == ".tsv" or "\t" in content.partition("\n")[0] else ","
    rows = csv.DictReader(io.StringIO(content, newline=""), delimiter=delimiter)
    columns = [str(each) for each in rows.fieldnames or ()]
    if not {"id", "part"} <= set(columns):
        raise RequestError(f"{path} has the columns {', '.join(columns) or 'of none'}; a split has id and part.")
    return _checked(((str(row["part"]).strip().lower(), str(row["id"]).strip()) for row in rows), path)


def _of_json(content: str, path: Path, number: str) -> Parts:
    try:
        found = json.loads(content)
    except ValueError as error:
        raise RequestError(f"{path} is no JSON ({error}); mend it there.") from error
    if isinstance(found, list):
        found = _one_of(found, path, number)
    elif number:
        raise RequestError(f"{path} holds one split; leave out #{number}.")
    if not isinstance(found, dict) or not all(
        isinstance(ids, list) and all(isinstance(each, str) for each in ids) for ids in found.values()
    ):
        raise RequestError(f"{path} holds no lists of ids by part; a split has train, validation and test.")
    return _checked(((str(part).lower(), each) for part, ids in found.items() for each in ids), path)


def _one_of(found: list[Any], path: Path, number: str) -> Any:
    """Of nnU-Net's list of folds."""
    if not number and len(found) != 1:
        raise RequestError(
            f"{path} holds {len(found)} splits; say which, from {path.name}#0 to {path.name}#{len(found) - 1}."
        )
    if number and not (number.isdecimal() and int(number) < len(found)):
        raise RequestError(f"{path} has no split #{number}; they go from #0 to #{len(found) - 1}.")
    fold = found[int(number or 0)]
    if isinstance(fold, dict) and set(fold) == {"train", "val"}:
        return {"train": fold["train"], "test": fold["val"]}
    return fold


def _checked(rows: Iterable[tuple[str, str]], path: Path) -> Parts:
    """Of pairs of part and id."""
    found: dict[str, list[str]] = {part: [] for part in PARTS}
    for part, each in rows:
        if part not in _PARTS:
            raise RequestError(f"{path} has the part {part!r}; the parts are train, validation and test.")
        found[_PARTS[part]].append(each)
    if twice := [each for each, count in Counter(each for ids in found.values() for each in ids).items() if count > 1]:
        raise RequestError(f"{path} names {len(twice)} ids twice: {listed(twice)}; leave each in one part, once.")
    if empty := [part for part in ("train", "test") if not found[part]]:
        raise RequestError(f"{path} has no {empty[0]} part; a split needs one.")
    kept = {part: tuple(sorted(ids)) for part, ids in found.items() if ids}
    return Parts(format=1, **kept)
