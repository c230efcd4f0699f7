"""accepted.csv: measured means that were accepted, as fractions. reports/check/accepted.py writes and compares them."""

from pathlib import Path
from typing import Self

from results.errors import Damaged
from results.metrics import EARLIER, METRICS
from results.table import Column, Table


class Accepted(Table):
    """One row per data set, recipe, network and metric."""

    COLUMNS = (
        Column("dataset", str),
        Column("recipe", str),
        Column("network", str),
        Column("metric", str),
        Column("mean", float, low=0, high=1),  # over seeds
        Column("n", int, low=1),  # seeds
        Column("tolerance", float, low=0, high=1),  # how far a later mean may lie; a person may widen it
    )
    KEY = ("dataset", "recipe", "network", "metric")
    CURE = "restore it, or delete it and record it again with --accept"

    @classmethod
    def read(cls, path: Path) -> Self:
        """As in Table; metrics under their present keys. A file that was cut off is damaged, and so is an empty one."""
        rows = super().read(path).rows
        rows = rows.assign(metric=rows["metric"].replace(EARLIER))
        if rows.empty:
            raise Damaged(path, "it has no rows, so that nothing could fail", cls.CURE)
        for name, metrics in rows.groupby(list(cls.KEY[:-1]))["metric"]:
            if lacking := [metric.name for metric in METRICS if metric.name not in set(metrics)]:
                raise Damaged(path, f"{' / '.join(map(str, name))} has no {lacking[0]}; it was cut off", cls.CURE)
        return cls(rows)
