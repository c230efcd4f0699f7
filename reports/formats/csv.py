"""Tables as CSV, for machines: a file per table, a line per row of its grids."""

import csv
import io
from collections.abc import Iterable

from reports.formats.contents import Contents, table_files
from reports.tables.grid import NOTHING, Grid, record


def export(contents: Contents) -> dict[str, bytes]:
    """File name -> content."""
    return table_files(contents, "csv", to_csv)


def to_csv(grids: Iterable[Grid]) -> str:
    """One table for machines: context first, metrics as fractions in full precision, a word where there is none."""
    records, grids = [], list(grids)
    grouped = any(row.group for grid in grids for row in grid.rows)
    for grid in grids:
        for row in grid.rows:
            group = {"group": row.group or NOTHING} if grouped else {}
            records.append({**grid.context, grid.key: row.key, **group, **record(grid.columns, row)})
    headings = list(dict.fromkeys(key for each in records for key in each))
    text = io.StringIO()
    writer = csv.DictWriter(text, headings, lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()
