"""How the page's templates are filled: pictures as part of the page, groups of columns and rows, symbols, paths."""

import base64
import re
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from reports.comparison.verdict import Verdict
from reports.figures.picture import Picture
from reports.figures.style import INK, PAPER
from reports.tables.grid import Column, Grid, GridRow, slug
from reports.tables.provenance import anchor

TEMPLATES = Path(__file__).resolve().parent / "templates"
SYMBOLS = {  # beside the word and never instead of it
    Verdict.REPRODUCED: "✓",
    Verdict.ABOVE: "▲",
    Verdict.BELOW: "▼",
    Verdict.CONTRADICTED: "✕",
    Verdict.INCOMPLETE: "◐",
    Verdict.NOT_MEASURED: "○",
    Verdict.NO_CLAIM: "·",
}


def environment(root: Path) -> Environment:
    """The templates with their filters; `root`: the results folder, to which paths are shown."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        inline=inline,
        slug=slug,
        symbol=SYMBOLS.__getitem__,
        column_groups=_column_groups,
        row_groups=_row_groups,
        number=_number,
        anchor=_anchor,
        network_page=network_page,
        picture_files=_picture_files,
        shown=lambda path: _shown(path, root),
    )
    made.tests["unmeasured"] = lambda grid: bool(grid.rows) and not any(row.measured for row in grid.rows)
    return made


def network_page(name: str) -> str:
    """The file of a network's own page."""
    return f"network-{slug(name).strip('-').lower()}.html"


def _picture_files(picture: Picture, formats: Iterable[str]) -> list[tuple[str, str]]:
    """What a figure can be downloaded as, where the files are written beside the page."""
    return [(name.rpartition(".")[2].upper(), name) for name in picture.files] if "figures" in formats else []


def table_links(stem: str, formats: Iterable[str]) -> list[tuple[str, str]]:
    """What a table can be downloaded as, where the files are written beside the page."""
    kinds = (("csv", "CSV", "csv"), ("latex", "TeX", "tex"), ("md", "Markdown", "md"))
    return [(words, f"{stem}.{suffix}") for name, words, suffix in kinds if name in formats]


def inline(picture: Picture) -> Markup:
    """A picture as part of the page: drawings take the page's colours, photographs travel inside the file."""
    if picture.jpeg:
        data = base64.b64encode(picture.jpeg).decode()
        return Markup('<img src="data:image/jpeg;base64,{}" alt="{}" loading="lazy">').format(data, picture.alt)
    svg = picture.inline[picture.inline.index("<svg") :]
    svg = re.sub(r"(-?\d+\.\d{2})\d+", r"\1", svg)  # hundredths of a point
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    own = slug(picture.name)
    svg = re.sub(r'\bid="', f'id="{own}-', svg)
    svg = re.sub(r'(xlink:href="#|url\(#)', rf"\g<1>{own}-", svg)
    svg = svg.replace(INK, "currentColor").replace(PAPER, "var(--page)")
    head = f'<svg role="img" aria-label="{escape(picture.alt)}" '
    return Markup(re.sub(r'<svg (?:width|height)="[^"]*" ?|<svg ', head, svg, count=1))


def _number(text: str) -> str:
    """The text of a cell without the verdict that a mark will stand for; what belongs together stays on one line."""
    bare = text.removesuffix(f" ({Verdict.CONTRADICTED})")
    return re.sub(
        r" ± | (?=\(\d)|(?<=not) (?=measured)", lambda found: found[0].replace(" ", "\N{NO-BREAK SPACE}"), bare
    )


def _shown(path: Path, root: Path) -> str:
    """A path as the reader can find it, without the folders that only one machine has."""
    return path.relative_to(root.parent).as_posix() if path.is_relative_to(root.parent) else path.name


def _column_groups(grid: Grid) -> list[tuple[str, list[tuple[int, Column]]]]:
    """Neighbouring columns under one heading, each with its place in the row."""
    placed = enumerate(grid.columns)
    return [(group, list(members)) for group, members in groupby(placed, key=lambda pair: pair[1].group)]


def _row_groups(grid: Grid) -> list[tuple[str, list[GridRow]]]:
    return [(group, list(members)) for group, members in groupby(grid.rows, key=lambda row: row.group)]


def _anchor(grid: Grid, row: GridRow) -> str:
    """Where the runs of a row stand on the page, if there are any."""
    return anchor(str(grid.context.get("dataset", "")), str(grid.context.get("recipe", "")), row.key)
