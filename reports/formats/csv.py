"""Tables as CSV, for machines: a file per table, a line per row of its grids."""

import csv
import io
from collections.abc import Iterable

from reports.formats.contents import Contents, table_files
from reports.tables.grid import NOTHING, Grid


def export(contents: Contents) -> dict[str, bytes]:
    """File name -> content."""
    return table_files(contents, "csv", to_csv)


def to_csv(grids: Iterable[Grid]) -> str:
    """One table for machines: context first, metrics as fractions in full precision, a word where there is none."""
    records, grids = [], list(grids)
    grouped = any(row.group for grid in grids for row in grid.rows)
    for grid in grids:
        for row in grid.rows:
            record = {**grid.context, "network": row.key, **({"group": row.group or NOTHING} if grouped else {})}
            for column, cell in zip(grid.columns, row.cells, strict=True):
                record |= cell.data if cell.data is not None else {column.key: cell.text}
            records.append(record)
    headings = list(dict.fromkeys(key for record in records for key in record))
    text = io.StringIO()
    writer = csv.DictWriter(text, headings, lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()
