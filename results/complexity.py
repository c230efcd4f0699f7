"""complexity.csv: what each network costs, by counters that are named. benchmarks/measuring/complexity.py counts.

Counts belong to the code and not to the runs: a results folder without the file falls back on that of this checkout.
"""

from pathlib import Path
from typing import Self

import pandas as pd

from results import files
from results.table import Column, Table

FILE = "complexity.csv"
COUNTS = ("parameters", "thop_parameters", "thop_macs", "ptflops_macs", "fvcore_macs", "flops")
COLUMNS = ("network", *COUNTS, "input", "notes")


class ComplexityTable(Table):
    """One row per network: its counts, the input that was counted, and what a counter did not see, in words.

    * parameters: elements of all parameters.
    * thop_parameters, thop_macs: what the paper's counter sees; its "GFLOPs" are thop_macs / 1e9.
    * ptflops_macs: what ptflops counts of modules alone; earlier files lack it.
    * fvcore_macs: multiply-accumulates that fvcore counts.
    * flops: true floating-point operations, 2 per multiply-accumulate.

    A count is empty where its counter failed.
    """

    COLUMNS = (
        Column("network", str),
        *(Column(name, int, low=0, empty=True, required=name != "ptflops_macs") for name in COUNTS),
        Column("input", str, required=False),
        Column("notes", str, required=False),
    )
    KEY = ("network",)
    CURE = "delete it and run python -m benchmarks count"

    @classmethod
    def read(cls, path: Path) -> Self:
        """As in Table; columns that an older file lacks are there, empty."""
        table = super().read(path)
        for name in ("input", "notes"):
            if name not in table.rows:
                table.rows[name] = ""
        if "ptflops_macs" not in table.rows:
            table.rows["ptflops_macs"] = pd.array([None] * len(table.rows), dtype="Int64")
        return table

    @property
    def by_network(self) -> dict[str, dict[str, int]]:
        """network -> counts by column, without those that a counter failed to give."""
        return {
            str(row["network"]): {name: int(row[name]) for name in COUNTS if not pd.isna(row[name])}
            for row in self.rows.to_dict("records")
        }


def update(path: Path, counted: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Put rows into the file, in the order of `names`, and return its content.

    counted: COLUMNS of the networks that were counted. Rows of other networks stay as they are; where there is no file
    they are those of this checkout, so that the file holds every network. Rows of networks that are not in `names` go.
    Raises Damaged for a file that cannot be read.
    """
    source, rows = path if path.exists() else files.HOME / FILE, counted
    if source.exists() and not set(names) <= set(counted["network"]):
        stored = ComplexityTable.read(source).rows
        rows = pd.concat([stored[~stored["network"].isin(counted["network"])], counted])
    rows = rows[rows["network"].isin(names)]
    rows = rows.sort_values("network", key=lambda column: column.map(names.index)).reset_index(drop=True)
    ComplexityTable(rows).write(path)
    return rows
