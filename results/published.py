"""The paper's tables, its documented contradictions, and what the authors of later networks published.

A person types all of it; this code never writes it.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd

from results.catalogue import BEYOND, NETWORKS
from results.errors import Damaged, Problem
from results.metrics import DEFINITIONS, EARLIER, METRICS
from results.table import Column, Table, read_lines

PUBLISHED = Path(__file__).resolve().parent / "published"
TABLES = ("table1", "table2", "table3")
RESTORE, CORRECT = "restore it from the repository", "correct the cell"
KEY = ("dataset", "model")
TEXTS = (*KEY, "label", "venue", "source", "dilations", "gate")
_METRICS = tuple(metric.name for metric in METRICS)
NUMBERS = ("params_m", "gflops", *_METRICS, *(f"{name}_std" for name in _METRICS), "branches", "akf", "rgf", "lsg")
"""Millions, 1e9 multiply-accumulates, percent; then what a row of Table 2 or 3 has of the network's parts."""
TYPED = {f"{old}{part}": f"{new}{part}" for old, new in EARLIER.items() for part in ("", "_std")}
"""Columns of the files, which quote the paper, and their keys here."""
COUNTERS = ("parameters", "thop_parameters", "thop_macs", "twice_thop_macs", "ptflops_macs")
"""What a published count of a network that is not in the paper is made by."""
COUNTED = ("params_m", "gflops")
REQUIRED = (*KEY, "label", "params_m", "gflops", "source")


@dataclass(frozen=True)
class PublishedTable:
    """A table as printed: `rows` with TEXTS and NUMBERS, as far as the file has them; NaN where unreadable or empty."""

    path: Path
    rows: pd.DataFrame
    problems: list[Problem] = field(default_factory=list)
    """Cells and rows that cannot be used. They are missing in `rows`."""

    @classmethod
    def read(cls, name: str) -> "PublishedTable":
        """ "table1", "table2" or "table3". Raises Damaged where the file is missing or lacks a column."""
        path = PUBLISHED / f"{name}.csv"
        header, lines = read_lines(path, RESTORE, TYPED)
        if missing := sorted(set(REQUIRED) - set(header)):
            raise Damaged(path, f"it lacks the columns {missing}", RESTORE)
        table = cls(path, pd.DataFrame(lines, columns=header)[[name for name in header if name in TEXTS + NUMBERS]])
        return cls(path, table._checked(), table.problems)

    @classmethod
    def empty(cls, name: str) -> "PublishedTable":
        """In place of a file that cannot be used."""
        return cls(PUBLISHED / f"{name}.csv", pd.DataFrame(columns=[*KEY, "label"]))

    def _checked(self) -> pd.DataFrame:
        """The rows with numbers for texts; what is wrong is noted."""
        rows = self.rows[(self.rows[[*KEY, "label"]] != "").all(axis=1)]
        if len(rows) != len(self.rows):
            self._note("a row has no dataset, model or label", "correct the row")
        for row in rows[rows.duplicated(list(KEY))].itertuples():
            self._note(f"{row.model} on {row.dataset} stands twice", "remove one of the two lines")
        rows = rows.drop_duplicates(list(KEY)).reset_index(drop=True)
        columns = {}
        for name in rows.columns:
            texts = rows[name].where(rows[name] != "", np.nan)
            columns[name] = self._numbers(rows, name) if name in NUMBERS else texts
        return pd.DataFrame(columns)

    def _numbers(self, rows: pd.DataFrame, name: str) -> pd.Series:
        numbers = pd.to_numeric(rows[name], errors="coerce").astype(np.float64)
        numbers = numbers.where(np.isfinite(numbers))
        for row in rows[numbers.isna() & (rows[name] != "")].to_dict("records"):
            self._note(f"{name} of {row['model']} on {row['dataset']} is {row[name]!r}, not a number", CORRECT)
        return numbers

    def _note(self, message: str, cure: str) -> None:
        self.problems.append(Problem(self.path, message, cure))


@dataclass(frozen=True)
class Documented:
    """A disagreement with what is published that a person has looked into."""

    network: str
    column: str
    """params_m, gflops, seeds, or the key of a metric."""
    dataset: str
    """Empty: on every data set."""
    reason: str


class Contradictions(Table):
    """contradictions.csv: one row per documented disagreement."""

    COLUMNS = tuple(Column(name, str) for name in ("network", "column", "dataset", "reason"))
    CURE = RESTORE
    TYPED = True

    @classmethod
    def path(cls) -> Path:
        return PUBLISHED / "contradictions.csv"

    @property
    def documented(self) -> list[Documented]:
        return [Documented(*map(str, row)) for row in self.rows[self.names()].itertuples(index=False)]


@dataclass(frozen=True)
class Claim:
    """Something that the paper says in words, tied to rows of its tables."""

    name: str
    words: str
    kind: str
    """ "better": a higher metric than each of `against`; "fewer": less of a count, by `value` percent."""
    network: str
    against: tuple[str, ...]
    dataset: str
    """Empty for a count."""
    metric: str
    """Key of a metric, params_m or gflops."""
    value: str
    """As printed, percent; empty where the claim has no number."""
    source: str
    """Where the paper says it."""


class Claims(Table):
    """claims.csv: one row per claim."""

    COLUMNS = (
        *(Column(name, str) for name in ("name", "words")),
        Column("kind", str, choices=("better", "fewer")),
        Column("network", str, choices=tuple(NETWORKS)),
        *(Column(name, str) for name in ("against", "dataset")),
        Column("metric", str, choices=(*COUNTED, *(metric.name for metric in METRICS))),
        Column("value", str),
        Column("source", str),
    )
    KEY = ("name",)
    CURE = RESTORE
    TYPED = True

    @classmethod
    def path(cls) -> Path:
        return PUBLISHED / "claims.csv"

    @classmethod
    def read(cls, path: Path) -> Self:
        """As in Table. Raises Damaged for a network that there is not too, and for a number that is none."""
        table = super().read(path)
        for claim in table.claims:
            if unknown := [name for name in claim.against if name not in NETWORKS] or not claim.against:
                raise Damaged(path, f"against of {claim.name} names no network ({unknown})", CORRECT)
            if (claim.kind == "fewer") != bool(re.fullmatch(r"\d+(\.\d+)?", claim.value)):
                raise Damaged(
                    path, f"the value of {claim.name} is {claim.value!r}; fewer has a number, better none", CORRECT
                )
        return table

    @property
    def claims(self) -> list[Claim]:
        """All of them, in the order of the file."""
        rows = self.rows[self.names()].to_dict("records")
        return [Claim(**{**row, "against": tuple(str(row["against"]).split())}) for row in rows]


@dataclass(frozen=True)
class Printed:
    """A number that was published of a network which is not in the paper. A protocol of its own: for reference only."""

    network: str
    dataset: str
    """Empty for a count."""
    metric: str
    """params_m, gflops, or the key of a metric."""
    value: float
    """Millions, 1e9 operations, or a fraction."""
    digits: int
    """Decimals in print, of a percentage where it is one."""
    counter: str
    """One of COUNTERS for a count, else empty."""
    definition: str
    """What the number is, in words."""
    protocol: str
    """Split, selection and training, as far as they are known; empty for a count."""
    source: str
    second_hand: bool
    """Whether others list it and the authors' own text was not read."""


class BeyondTable(Table):
    """beyond.csv: one row per number that was published of a network which is not in the paper."""

    COLUMNS = (
        Column("network", str, choices=BEYOND),
        Column("dataset", str),
        Column("metric", str, choices=("params_m", "gflops", *(metric.name for metric in (*METRICS, *DEFINITIONS)))),
        Column("value", str),
        Column("counter", str, choices=("", *COUNTERS)),
        *(Column(name, str) for name in ("definition", "protocol", "source")),
        Column("second_hand", str, choices=("yes", "no")),
    )
    KEY = ("network", "dataset", "metric")
    CURE = RESTORE

    @classmethod
    def path(cls) -> Path:
        return PUBLISHED / "beyond.csv"

    @classmethod
    def read(cls, path: Path) -> Self:
        """As in Table. Raises Damaged for a value that is no plain number too, and for a count without a counter."""
        table = super().read(path)
        for row in table.rows.to_dict("records"):
            where = f"of {row['metric']} of {row['network']}"
            if not re.fullmatch(r"\d+(\.\d+)?", row["value"]):
                raise Damaged(path, f"the value {where} is {row['value']!r}, not a number", CORRECT)
            if (row["metric"] in COUNTED) != bool(row["counter"]):
                raise Damaged(
                    path, f"the counter {where} is {row['counter']!r}; counts have one, metrics none", CORRECT
                )
        return table

    @property
    def printed(self) -> list[Printed]:
        """All of them, in the order of the file."""
        return [_printed(row) for row in self.rows[self.names()].to_dict("records")]


def _printed(row: dict) -> Printed:
    text, scale = row.pop("value"), 1 if row["metric"] in COUNTED else 100
    digits = len(text.partition(".")[2])
    return Printed(**row | {"value": float(text) / scale, "digits": digits, "second_hand": row["second_hand"] == "yes"})


def published_table(table: str) -> pd.DataFrame:
    """The rows of "table1", "table2" or "table3"; percent and printed units, NaN where unreadable. Raises Damaged."""
    return PublishedTable.read(table).rows
