"""What the parts of the data sets share: two small tables of ids and numbers, never pictures.

    <root>/near_duplicates.csv  pairs of a test image and a training or validation image that look alike
    <root>/shared_ids.csv       how many ids each part of one data set shares with each part of the other

Written by `python -m benchmarks data NAME --near-duplicates`; the report reads them. Both belong to the data sets, so a
results folder without them falls back on those of this checkout.
"""

from pathlib import Path
from typing import Self

import pandas as pd

from results import files
from results.errors import Damaged
from results.table import Column, Table

PAIRS_FILE, SHARED_FILE = "near_duplicates.csv", "shared_ids.csv"
CURE = "delete it and write it again: python -m benchmarks data isic2018 --near-duplicates, and isic2017 likewise"
NEAR_DUPLICATE = "near-duplicate"
SAME_LESION = "same lesion"
NONE = "none"  # of a split that was searched in vain: one row without ids
KINDS = (NEAR_DUPLICATE, SAME_LESION, NONE)
PARTS = ("train", "validation", "test")


class Pairs(Table):
    """near_duplicates.csv: one row per pair; of a split that was searched in vain one row without ids."""

    COLUMNS = (
        Column("dataset", str),
        Column("fingerprint", str),  # first 12 digits of the set that was searched
        Column("split", str),
        Column("test_images", int, low=0),  # in the test part of that split
        Column("test_id", str),
        Column("other_id", str),
        Column("other_part", str),  # train or validation
        Column("kind", str, choices=KINDS),
        Column("threshold", str),  # the rule of that kind, in words
        Column("distance", int, low=0, high=64, empty=True),  # of the perceptual hashes, bits of 64
        Column("correlation", float, low=-1.001, high=1.001, empty=True),  # of the grey images, rounded
        Column("detail", float, low=-1.001, high=1.001, empty=True),  # correlation of their fine structure, rounded
        Column("orientation", str),  # of the other image
    )
    CURE = CURE


class Shared(Table):
    """shared_ids.csv: one row per part of one data set and part of the other, under one split rule."""

    COLUMNS = (
        Column("split", str),
        Column("dataset", str),
        Column("part", str, choices=PARTS),
        Column("images", int, low=0),  # in that part
        Column("other_dataset", str),
        Column("other_part", str, choices=PARTS),
        Column("shared", int, low=0),  # ids that are in both parts
    )
    KEY = ("split", "dataset", "part", "other_dataset", "other_part")
    CURE = CURE

    @classmethod
    def read(cls, path: Path) -> Self:
        """As in Table; every part of the one data set is compared with every part of the other."""
        table = super().read(path)
        for name, rows in table.rows.groupby(["split", "dataset", "other_dataset"]):
            if len(rows) != len(PARTS) ** 2:
                raise Damaged(path, f"{' / '.join(map(str, name))} has {len(rows)} rows, not {len(PARTS) ** 2}", CURE)
        return table


PAIR_COLUMNS, SHARED_COLUMNS = tuple(Pairs.names()), tuple(Shared.names())


def write_pairs(root: Path, dataset: str, rows: list[dict]) -> Path:
    """Replace the rows of one data set in near_duplicates.csv, keeping those of others; returns the path."""
    path = root / PAIRS_FILE
    before = Pairs.read(path).rows.to_dict("records") if path.exists() else []
    kept = [row for row in before if row["dataset"] != dataset]
    table = pd.DataFrame([*kept, *rows], columns=list(PAIR_COLUMNS))
    Pairs(table.sort_values(["dataset", "split"], kind="stable")).write(path)
    return path


def write_shared(root: Path, rows: list[dict]) -> Path:
    """Write shared_ids.csv; returns the path."""
    path = root / SHARED_FILE
    Shared(pd.DataFrame(rows, columns=list(SHARED_COLUMNS))).write(path)
    return path


def pairs(root: Path) -> pd.DataFrame:
    """PAIR_COLUMNS of all searched sets; empty where nothing was searched. Raises Damaged for a damaged file."""
    return _rows(Pairs, files.own_or_packaged(root, PAIRS_FILE))


def shared(root: Path) -> pd.DataFrame:
    """SHARED_COLUMNS of all parts; empty where there is no such file. Raises Damaged for a damaged one."""
    return _rows(Shared, files.own_or_packaged(root, SHARED_FILE))


def _rows(table: type[Table], path: Path) -> pd.DataFrame:
    return table.read(path).rows if path.exists() else pd.DataFrame(columns=table.names())
