"""What all CSV files of the results folder share: columns of a declared kind, and sentences for what is wrong."""

import csv
import io
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd

from results import files
from results.errors import Damaged

NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Column:
    """One column of a CSV file."""

    name: str
    kind: type
    """int, float (always finite) or str."""
    low: float = -files.LARGEST
    high: float = files.LARGEST
    """Bounds of a number, both allowed."""
    empty: bool = False
    """Whether a number may be left out."""
    required: bool = True
    """Whether a file must have the column."""
    choices: tuple[str, ...] = ()
    """All that a text may be; empty: anything."""


class Table:
    """A CSV file as `rows`, a table with a column for each of its columns; unknown columns are kept as text."""

    COLUMNS: ClassVar[tuple[Column, ...]]
    KEY: ClassVar[tuple[str, ...]] = ()
    """Columns that together name a row: no two rows have the same."""
    CURE: ClassVar[str] = files.RERUN
    TYPED: ClassVar[bool] = False
    """Whether a person types the file, whose last line may lack its end."""
    EARLIER: ClassVar[Mapping[str, str]] = NOTHING
    """Names of columns in files from before they were renamed, and their present ones."""

    def __init__(self, rows: pd.DataFrame) -> None:
        self.rows = rows

    @classmethod
    def names(cls) -> list[str]:
        """Of the columns, in the order of the file."""
        return [column.name for column in cls.COLUMNS]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises Damaged, which names the file, the column and the cure, where it is missing or cannot be used."""
        header, lines = read_lines(path, cls.CURE, cls.EARLIER, whole=not cls.TYPED)
        if lacking := [column.name for column in cls.COLUMNS if column.required and column.name not in header]:
            raise Damaged(path, f"it is not a table of {', '.join(cls.names())}: it has no {lacking[0]}", cls.CURE)
        known = {column.name: column for column in cls.COLUMNS}
        cells = dict(zip(header, zip(*lines, strict=True), strict=True)) if lines else dict.fromkeys(header, ())
        try:
            rows = pd.DataFrame({name: _values(known.get(name), texts) for name, texts in cells.items()})
        except ValueError as error:
            raise Damaged(path, str(error), cls.CURE) from None
        if cls.KEY and (twice := rows.duplicated(list(cls.KEY))).any():
            name = " / ".join(str(rows[column][twice.idxmax()]) for column in cls.KEY)
            raise Damaged(path, f"{name} stands twice", cls.CURE)
        return cls(rows)

    def write(self, path: Path) -> None:
        """Write atomically, floats in full precision."""
        files.write_csv(path, self.rows)


def read_lines(
    path: Path, cure: str, earlier: Mapping[str, str] = NOTHING, *, whole: bool = False
) -> tuple[list[str], list[list[str]]]:
    """Header and lines of a CSV file as text, all of one length. Raises Damaged, with this cure.

    earlier: former names of columns, and the present ones, which are returned. whole: refuse a last line without its
    end, which was cut off.
    """
    content = files.read_bytes(path, cure)
    try:
        text = content.decode()
        header, *lines = list(csv.reader(io.StringIO(text, newline=""), strict=True)) or [[]]
    except (ValueError, csv.Error) as error:  # ValueError: not UTF-8
        raise Damaged(path, f"it is not a table ({error})", cure) from None
    header, lines = [earlier.get(name, name) for name in header], [line for line in lines if line]
    if whole and text and not text.endswith("\n"):
        raise Damaged(path, "its last line was cut off", cure)
    if len(set(header)) != len(header):
        raise Damaged(path, "it is not a table: a column stands twice", cure)
    for number, line in enumerate(lines, start=2):
        if len(line) != len(header):
            raise Damaged(path, f"line {number} has {len(line)} values where the table has {len(header)}", cure)
    return header, lines


def _values(column: Column | None, texts: Sequence[str]) -> Any:
    """The texts of a column as what it holds. Raises ValueError with a sentence where one of them is something else."""
    if column is None or column.kind is str:
        if column is not None and column.choices and (unknown := sorted(set(texts) - set(column.choices))):
            raise ValueError(f"{column.name} is {reprlib.repr(unknown[0])}, not one of {', '.join(column.choices)}")
        return pd.Series(texts, dtype=str)
    given = [text for text in texts if text] if column.empty else texts
    try:
        if "_" in "".join(given):  # Python reads 1_2 as 12
            raise ValueError
        values = np.array(given, dtype=str).astype(np.int64 if column.kind is int else np.float64)
        good = bool((np.isfinite(values) & (values >= column.low) & (values <= column.high)).all())
    except (ValueError, OverflowError):
        good = False
    if not good:
        number, text = next((k, text) for k, text in enumerate(texts, start=2) if not _is(column, text))
        raise ValueError(f"{column.name} is {reprlib.repr(text)} in line {number}, not {_kind(column)}")
    if not column.empty:
        return values
    filled = iter(values.tolist())
    with_gaps = [next(filled) if text else None for text in texts]
    return pd.array(with_gaps, dtype="Int64") if column.kind is int else np.array(with_gaps, dtype=np.float64)


def _is(column: Column, text: str) -> bool:
    """Whether one text is what the column holds."""
    if not text or "_" in text:
        return column.empty and not text
    try:
        value = np.array([text]).astype(np.int64 if column.kind is int else np.float64)[0]
    except (ValueError, OverflowError):
        return False
    return bool(np.isfinite(value) and column.low <= value <= column.high)


def _kind(column: Column) -> str:
    """ "a whole number", "a number from 0 to 1"."""
    word = "a whole number" if column.kind is int else "a number"
    if column.high != files.LARGEST:
        return f"{word} from {column.low:g} to {column.high:g}"
    return word if column.low == -files.LARGEST else f"{word} of at least {column.low:g}"
