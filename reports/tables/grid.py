"""A table before it has a format: what stands in each cell, and what a machine should read there.

Every format is written from the same grids, so that no two formats disagree.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from reports.comparison.verdict import Verdict

NOT_MEASURED, NOT_PUBLISHED, NOT_COUNTED = "not measured", "not published", "not counted"
UNREADABLE, NOTHING = "unreadable", "n/a"
ABSENT = {NOT_MEASURED, NOT_PUBLISHED, NOT_COUNTED, UNREADABLE, NOTHING}


@dataclass(frozen=True)
class Column:
    """`kind`: "text", "number" or "prose" (long text). `group`: a heading over several neighbouring columns."""

    key: str
    heading: str
    unit: str = ""
    kind: str = "text"
    group: str = ""
    title: str = ""

    @property
    def full_heading(self) -> str:
        """Heading with its unit."""
        return f"{self.heading} ({self.unit})" if self.unit else self.heading


@dataclass(frozen=True)
class TableCell:
    """`text` is for people; `sort` orders rows (None last); `data` is for CSV, by default the text.

    `title` explains the cell where a format can (a tooltip).
    """

    text: str
    sort: float | str | None = None
    bold: bool = False
    verdict: Verdict | None = None
    title: str = ""
    data: Mapping[str, object] | None = None
    lead: str = ""
    """The first words of the text, where they are a verdict that a format can set off."""

    @property
    def absent(self) -> bool:
        """Whether a word stands where a value is missing."""
        return self.text in ABSENT


@dataclass(frozen=True)
class GridRow:
    """`key` names the network; rows of one `group` stand together under its heading."""

    key: str
    cells: Sequence[TableCell]
    group: str = ""
    measured: bool = True
    """Whether anything in it was measured by training; a page may hide rows where nothing was."""


@dataclass(frozen=True)
class Grid:
    """`name` is unique among all grids (an anchor, a LaTeX label); `context` goes into every CSV row."""

    name: str
    title: str
    caption: str
    columns: Sequence[Column]
    rows: Sequence[GridRow]
    notes: Sequence[str] = ()
    context: Mapping[str, object] = field(default_factory=dict)
    key: str = "network"
    """What the keys of the rows name, for machines."""


def record(columns: Sequence[Column], row: GridRow) -> dict[str, object]:
    """What a machine reads in a row: the data of its cells, or their texts."""
    found: dict[str, object] = {}
    for column, cell in zip(columns, row.cells, strict=True):
        found |= cell.data if cell.data is not None else {column.key: cell.text}
    return found


def percent(fraction: float) -> str:
    """A fraction in percent at the paper's digits: 0.8244 -> "82.44"."""
    return f"{100 * fraction:.2f}"


def thousandths(count: float) -> str:
    """A count at the paper's digits: 0.028636 -> "0.029"."""
    return f"{count:.3f}"


def slug(*words: str) -> str:
    """Words as one name of letters, digits and hyphens."""
    return re.sub(r"[^a-zA-Z0-9]+", "-", "-".join(words))
