"""What the parts of the data sets share: two small tables of ids and numbers, never pictures.

    <root>/near_duplicates.csv  pairs of a test image and a training or validation image that look alike
    <root>/shared_ids.csv       how many ids each part of one data set shares with each part of the other

Written by `python -m benchmarks data NAME --near-duplicates`; the report reads them. Both belong to the data sets, so a
results folder without them falls back on those of this checkout.
"""

from pathlib import Path

import pandas as pd

from results import files
from results.errors import RequestError

PAIRS_FILE, SHARED_FILE = "near_duplicates.csv", "shared_ids.csv"
CURE = "delete it and write it again: python -m benchmarks data isic2018 --near-duplicates, and isic2017 likewise"
NEAR_DUPLICATE = "near-duplicate"
SAME_LESION = "same lesion"
NONE = "none"  # of a split that was searched in vain: one row without ids
KINDS = (NEAR_DUPLICATE, SAME_LESION, NONE)
PAIR_COLUMNS = (
    "dataset",
    "fingerprint",  # first 12 digits of the set that was searched
    "split",
    "test_images",  # in the test part of that split
    "test_id",
    "other_id",
    "other_part",  # train or validation
    "kind",  # one of KINDS
    "threshold",  # the rule of that kind, in words
    "distance",  # of the perceptual hashes, bits of 64
    "correlation",  # of the grey images
    "detail",  # correlation of their fine structure
    "orientation",  # of the other image
)
SHARED_COLUMNS = ("split", "dataset", "part", "images", "other_dataset", "other_part", "shared")


def write_pairs(root: Path, dataset: str, rows: list[dict]) -> Path:
    """Replace the rows of one data set in near_duplicates.csv, keeping those of others; returns the path."""
    path = root / PAIRS_FILE
    before = _read(path, PAIR_COLUMNS) if path.exists() else pd.DataFrame(columns=list(PAIR_COLUMNS))
    kept = before[before["dataset"] != dataset].to_dict("records")
    table = pd.DataFrame([*kept, *rows], columns=list(PAIR_COLUMNS))
    files.write_csv(path, table.sort_values(["dataset", "split"], kind="stable"))
    return path


def write_shared(root: Path, rows: list[dict]) -> Path:
    """Write shared_ids.csv; returns the path."""
    path = root / SHARED_FILE
    files.write_csv(path, pd.DataFrame(rows, columns=list(SHARED_COLUMNS)))
    return path


def pairs(root: Path) -> pd.DataFrame:
    """PAIR_COLUMNS of all searched sets; empty where nothing was searched. Raises RequestError for a damaged file."""
    return _read(path_of(root, PAIRS_FILE), PAIR_COLUMNS)


def shared(root: Path) -> pd.DataFrame:
    """SHARED_COLUMNS of all parts; empty where there is no such file. Raises RequestError for a damaged one."""
    return _read(path_of(root, SHARED_FILE), SHARED_COLUMNS)


def path_of(root: Path, name: str) -> Path:
    """The file of this results folder, or this checkout's where it has none."""
    own = root / name
    return own if own.exists() else files.HOME / name


def _read(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, dtype={"fingerprint": str})
    except FileNotFoundError:
        return pd.DataFrame(columns=list(columns))
    except (OSError, ValueError) as error:
        raise RequestError(f"{path} cannot be read ({error}); {CURE}.") from None
    if tuple(table.columns) != columns:
        raise RequestError(f"{path} does not have the columns {', '.join(columns)}; {CURE}.")
    if "kind" in columns and not set(table["kind"]) <= set(KINDS):
        raise RequestError(f"{path} has a kind of pair that is not one of {', '.join(KINDS)}; {CURE}.")
    return table
