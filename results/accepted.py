"""accepted.csv: measured means that were accepted, as fractions. reports/check/accepted.py writes and compares them."""

from pathlib import Path
from typing import Self

from results.metrics import EARLIER
from results.table import Column, Table


class Accepted(Table):
    """One row per data set, recipe, network and metric."""

    COLUMNS = (
        Column("dataset", str),
        Column("recipe", str),
        Column("network", str),
        Column("metric", str),
        Column("mean", float),  # over seeds
        Column("n", int, low=1),  # seeds
        Column("tolerance", float, low=0),  # how far a later mean may lie; a person may widen it
    )
    KEY = ("dataset", "recipe", "network", "metric")
    CURE = "record it again with --accept"

    @classmethod
    def read(cls, path: Path) -> Self:
        """As in Table; metrics under their present keys."""
        accepted = super().read(path)
        return cls(accepted.rows.assign(metric=accepted.rows["metric"].replace(EARLIER)))
