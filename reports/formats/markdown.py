"""Tables as Markdown: a file per table, a section per grid."""

from collections.abc import Iterable, Sequence
from itertools import groupby

from reports.formats.contents import Contents, table_files
from reports.tables.grid import Grid


def export(contents: Contents) -> dict[str, bytes]:
    """File name -> content."""
    return table_files(contents, "md", to_markdown)


def to_markdown(grids: Iterable[Grid]) -> str:
    """One section per grid: title, caption, table, notes."""
    return "\n".join(_markdown(grid) for grid in grids)


def _markdown(grid: Grid) -> str:
    headings = [" ".join(filter(None, (column.group, column.full_heading))) for column in grid.columns]
    lines = [f"## {grid.title}", "", grid.caption, ""]
    if not grid.rows:
        return "\n".join([*lines, *(f"- {note}" for note in grid.notes), ""])
    lines += [_pipes(headings), _pipes(["---:" if column.kind == "number" else "---" for column in grid.columns])]
    for group, rows in groupby(grid.rows, key=lambda row: row.group):
        if group:
            lines.append(_pipes([f"*{group}*", *[""] * (len(headings) - 1)]))
        for row in rows:
            texts = [cell.text.replace("|", r"\|") for cell in row.cells]
            lines.append(_pipes([f"**{text}**" if c.bold else text for text, c in zip(texts, row.cells, strict=True)]))
    return "\n".join([*lines, "", *(f"- {note}" for note in grid.notes), ""])


def _pipes(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
