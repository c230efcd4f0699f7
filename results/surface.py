"""surface.csv and surface.json: distances between the edges of a run's masks and the truth, measured afterwards.

They need the data set, which a report does not; so they are measured once, by `python -m benchmarks surface`.
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from results import seal
from results.cell import SURFACE
from results.document import Document, Positive
from results.errors import Damaged
from results.table import Column, Table

ROWS = "surface.csv"
CURE = "delete it and measure again: python -m benchmarks surface"


class Distances(Table):
    """surface.csv: one row per scored image, in pixels of the size that was trained on; F1 from 0 to 1."""

    COLUMNS = (
        Column("id", str),
        Column("hd95", float, low=0),
        Column("assd", float, low=0),
        Column("boundary_f1", float, low=0, high=1),
    )
    KEY = ("id",)
    CURE = CURE


class Surface(Document):
    """surface.json: what measured the distances, and of which masks."""

    CURE = CURE

    format: int
    library: str
    """Name and version."""
    tolerance: Positive
    """Pixels within which edges agree, for the F1."""
    predictions: str
    """Hex SHA-256 of predictions.tif."""
    rows: str
    """Hex SHA-256 of surface.csv."""
    digest: str | None = None
    """Hex SHA-256 of this document without this field."""


@dataclass(frozen=True)
class Measured:
    """The distances of one run."""

    about: Surface
    distances: pd.DataFrame
    """Index: id; columns hd95, assd, boundary_f1."""


def read(folder: Path, predictions: str | None = None) -> Measured | None:
    """What was measured of the run in a folder; None where nothing was. Raises Damaged.

    predictions: SHA-256 that predictions.tif must have, where it is known.
    """
    path = folder / SURFACE
    if not path.exists():
        return None
    about = Surface.read(path)
    if not (folder / ROWS).exists() or seal.of_file(folder / ROWS) != about.rows:
        raise Damaged(folder / ROWS, "it is not the file of which surface.json holds the SHA-256", CURE)
    if predictions is not None and predictions != about.predictions:
        raise Damaged(path, "it was measured on other masks than those of the run", CURE)
    return Measured(about, Distances.read(folder / ROWS).rows.set_index("id"))
