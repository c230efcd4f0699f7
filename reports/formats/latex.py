"""Tables as LaTeX with booktabs: a file per table, ready for \\input."""

import re
from collections.abc import Iterable, Sequence
from itertools import groupby

from reports.formats.contents import Contents, table_files
from reports.tables.grid import Column, Grid

WIDTH = 470.0  # points: the text of a page of two columns, less some air
LETTER, GAP = 3.5, 6.0  # points: of a digit or small letter at 7 pt, and between columns
PROSE, LEAST_PROSE = 180.0, 90.0  # points of a column of long text, and of one among many
LONG = 40  # rows beyond which a LaTeX table may break over pages
SMALL = "\\fontsize{7}{8.5}\\selectfont\\setlength{\\tabcolsep}{3pt}"
LETTERS = {
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
    "‡": r"$^{\ddagger}$",
}


def export(contents: Contents) -> dict[str, bytes]:
    """File name -> content."""
    return table_files(contents, "tex", to_latex)


def to_latex(grids: Iterable[Grid]) -> str:
    """booktabs tables for \\input; the first line says which packages they need."""
    needs = "% \\usepackage{array,booktabs,longtable}"
    return "\n\n".join([needs, *(_latex(grid) for grid in grids if grid.rows)]) + "\n"


def _latex(grid: Grid) -> str:
    title = re.sub(r"^Table \d+: ", "", grid.title)  # LaTeX numbers tables itself
    caption = f"\\caption{{{escape_latex(f'{title}. {grid.caption}')}}}\\label{{tab:{grid.name}}}"
    notes = "\n\\par\\smallskip" + "".join(f"\n{{\\raggedright {escape_latex(note)}\\par}}" for note in grid.notes)
    if len(grid.rows) > LONG:
        head, body = _latex_head(grid.columns), _latex_body(grid, range(len(grid.columns)))
        begin = f"\\begin{{longtable}}{{{_align(grid, grid.columns)}}}\n{caption}\\\\\n{head}\n\\endhead"
        return f"{{{SMALL}\n{begin}\n{body}\n\\bottomrule\n\\end{{longtable}}}}{notes}"
    tabulars = "\n\\par\\medskip\n".join(_tabular(grid, part) for part in _parts(grid))
    return f"\\begin{{table*}}[tp]\n\\centering{SMALL}\n{caption}\n{tabulars}{notes}\n\\end{{table*}}"


def _parts(grid: Grid) -> list[list[int]]:
    """Indices of columns that fit beside each other; the first column leads every part, and no group is torn unless it
    is wider than a page."""
    widths = [_width(grid, k) for k in range(len(grid.columns))]
    parts: list[list[int]] = [[0]]
    for _, members in groupby(range(1, len(grid.columns)), key=lambda k: grid.columns[k].group or k):
        group = list(members)
        pieces = [group] if widths[0] + sum(widths[k] for k in group) <= WIDTH else [[k] for k in group]
        for piece in pieces:
            if len(parts[-1]) > 1 and sum(widths[k] for k in parts[-1] + piece) > WIDTH:
                parts.append([0])
            parts[-1] += piece
    return parts


def _width(grid: Grid, k: int) -> float:
    """Points that a column takes, about."""
    column = grid.columns[k]
    if column.kind == "prose":
        return _prose(grid) + GAP
    texts = [column.full_heading, *(row.cells[k].text for row in grid.rows)]
    return LETTER * max(map(len, texts)) + GAP


def _prose(grid: Grid) -> float:
    """Points of each column of long text: the fewer there are, the wider."""
    number = sum(column.kind == "prose" for column in grid.columns)
    return max(LEAST_PROSE, min(PROSE, (WIDTH - 10 * GAP) / max(1, number)))


def _tabular(grid: Grid, part: Sequence[int]) -> str:
    columns = [grid.columns[k] for k in part]
    head, body = _latex_head(columns), _latex_body(grid, part)
    return f"\\begin{{tabular}}{{{_align(grid, columns)}}}\n{head}\n{body}\n\\bottomrule\n\\end{{tabular}}"


def _align(grid: Grid, columns: Sequence[Column]) -> str:
    kinds = {"text": "l", "number": "r", "prose": f">{{\\raggedright\\arraybackslash}}p{{{_prose(grid):.0f}pt}}"}
    return "".join(kinds[column.kind] for column in columns)


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


def escape_latex(text: str) -> str:
    """Text as LaTeX prints it."""
    return "".join(LETTERS.get(letter, letter) for letter in text)
