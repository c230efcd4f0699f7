"""Tables as LaTeX with booktabs: a file per table, ready for \\input."""

import re
from collections.abc import Iterable, Sequence
from itertools import groupby

from reports.formats.contents import Contents, table_files
from reports.tables.grid import Column, Grid

WIDE = 14  # columns beyond which a LaTeX table is stacked in parts
LONG = 40  # rows beyond which a LaTeX table may break over pages
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


def escape_latex(text: str) -> str:
    """Text as LaTeX prints it."""
    return "".join(LETTERS.get(letter, letter) for letter in text)
