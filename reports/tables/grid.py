"""A table before it has a format: what stands in each cell, and what a machine should read there.

One `Grid` is rendered to Markdown, LaTeX and CSV here and to HTML by the page's templates, so that no two formats
disagree.
"""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from reports.comparison.join import Verdict

NOT_MEASURED, NOT_PUBLISHED, NOT_COUNTED = "not measured", "not published", "not counted"
UNREADABLE, NOTHING = "unreadable", "n/a"
WIDE = 14  # columns beyond which a LaTeX table is stacked in parts
LONG = 40  # rows beyond which a LaTeX table may break over pages
_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "±": r"$\pm$",
    "†": r"$^{\dagger}$",
}


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
class Cell:
    """`text` is for people; `sort` orders rows (None last); `data` is for CSV, by default the text.

    `title` explains the cell where a format can (a tooltip).
    """

    text: str
    sort: float | str | None = None
    bold: bool = False
    verdict: Verdict | None = None
    title: str = ""
    data: Mapping[str, object] | None = None


@dataclass(frozen=True)
class GridRow:
    """`key` names the network; rows of one `group` stand together under its heading."""

    key: str
    cells: Sequence[Cell]
    group: str = ""


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


def to_markdown(grids: Iterable[Grid]) -> str:
    """One section a grid: title, caption, table, notes."""
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


def to_csv(grids: Iterable[Grid]) -> str:
    """One table for machines: context first, metrics as fractions in full precision, a word where there is none."""
    records = []
    for grid in grids:
        for row in grid.rows:
            record = {**grid.context, "network": row.key, **({"group": row.group} if row.group else {})}
            for column, cell in zip(grid.columns, row.cells, strict=True):
                record |= cell.data if cell.data is not None else {column.key: cell.text}
            records.append(record)
    headings = list(dict.fromkeys(key for record in records for key in record))
    text = io.StringIO()
    writer = csv.DictWriter(text, headings, lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()


def to_latex(grids: Iterable[Grid]) -> str:
    """booktabs tables for \\input; the first line says which packages they need."""
    needs = "% \\usepackage{booktabs,graphicx,longtable}"
    return "\n\n".join([needs, *(_latex(grid) for grid in grids if grid.rows)]) + "\n"


def _latex(grid: Grid) -> str:
    title = re.sub(r"^Table \d+: ", "", grid.title)  # LaTeX numbers tables itself
    caption = f"\\caption{{{escape_latex(f'{title}. {grid.caption}')}}}\\label{{tab:{grid.name}}}"
    notes = "\n\\par\\smallskip" + "".join(
        f"\n{{\\raggedright\\footnotesize {escape_latex(note)}\\par}}" for note in grid.notes
    )
    if len(grid.rows) > LONG:
        head, body = _latex_head(grid.columns), _latex_body(grid, range(len(grid.columns)))
        begin = f"\\begin{{longtable}}{{{_align(grid.columns)}}}\n{caption}\\\\\n{head}\n\\endhead"
        return f"{begin}\n{body}\n\\bottomrule\n\\end{{longtable}}{notes}"
    tabulars = "\n\\par\\medskip\n".join(_tabular(grid, part) for part in _parts(grid.columns))
    return f"\\begin{{table*}}[tp]\n\\centering\n{caption}\n{tabulars}{notes}\n\\end{{table*}}"


def _parts(columns: Sequence[Column]) -> list[list[int]]:
    """Indices of columns that fit beside each other; the first column leads every part, and no group is torn."""
    parts: list[list[int]] = [[0]]
    for _, members in groupby(range(1, len(columns)), key=lambda k: columns[k].group or k):
        group = list(members)
        if len(parts[-1]) + len(group) > WIDE:
            parts.append([0])
        parts[-1] += group
    return parts


def _tabular(grid: Grid, part: Sequence[int]) -> str:
    columns = [grid.columns[k] for k in part]
    head, body = _latex_head(columns), _latex_body(grid, part)
    table = f"\\begin{{tabular}}{{{_align(columns)}}}\n{head}\n{body}\n\\bottomrule\n\\end{{tabular}}"
    return f"\\resizebox{{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}}{{!}}{{%\n{table}}}"


def _align(columns: Sequence[Column]) -> str:
    return "".join({"text": "l", "number": "r", "prose": "p{7cm}"}[column.kind] for column in columns)


def _latex_head(columns: Sequence[Column]) -> str:
    groups = [(group, len(list(members))) for group, members in groupby(columns, key=lambda column: column.group)]
    lines = [r"\toprule"]
    if any(group for group, _ in groups):
        spans, rules, at = [], "", 1
        for group, n in groups:
            spans.append(f"\\multicolumn{{{n}}}{{c}}{{{escape_latex(group)}}}" if group else "&" * (n - 1))
            rules += f"\\cmidrule(lr){{{at}-{at + n - 1}}}" if group else ""
            at += n
        lines += [" & ".join(spans) + r" \\", rules]
    headings = " & ".join(escape_latex(column.full_heading) for column in columns)
    return "\n".join([*lines, headings + r" \\", r"\midrule"])


def _latex_body(grid: Grid, part: Sequence[int]) -> str:
    lines = []
    for number, (group, rows) in enumerate(groupby(grid.rows, key=lambda row: row.group)):
        if group:
            lines += [r"\midrule"] if number else []
            lines.append(f"\\multicolumn{{{len(part)}}}{{l}}{{\\emph{{{escape_latex(group)}}}}} \\\\")
        for cells in ([row.cells[k] for k in part] for row in rows):
            texts = [f"\\textbf{{{escape_latex(c.text)}}}" if c.bold else escape_latex(c.text) for c in cells]
            lines.append(" & ".join(texts) + r" \\")
    return "\n".join(lines)


def percent(fraction: float) -> str:
    """A fraction as printed: 0.8244 -> "82.44"."""
    return f"{100 * fraction:.2f}"


def slug(*words: str) -> str:
    """Words as one name of letters, digits and hyphens."""
    return re.sub(r"[^a-zA-Z0-9]+", "-", "-".join(words))


def escape_latex(text: str) -> str:
    """Text as LaTeX prints it."""
    return "".join(_LATEX.get(letter, letter) for letter in text)
