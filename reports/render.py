"""The report of a results folder, as files."""

from pathlib import Path

from reports.comparison.findings import Findings
from reports.figures.predictions import Photographs
from reports.formats import EXPORTS
from reports.formats.contents import Contents
from reports.formats.paper_options import PLAIN, Paper
from results import files
from results.errors import unknown

FORMATS = tuple(EXPORTS)


def render(
    root: Path, output: Path, formats: set[str], pictures: Photographs | None = None, paper: Paper = PLAIN
) -> list[Path]:
    """Render the results folder `root` into `output`; returns the written files.

    `formats` is any of FORMATS: "md", "latex" and "csv" are the tables, "html" is the page with everything in it,
    "figures" are SVG and PNG files. `paper`: what the tables that papers print show. `pictures` fetches
    photographs for the figure of predictions. Damaged runs are
    listed on the page. Everything is read and computed once, and made before the first file is written; where one
    cannot be, none is. Raises RequestError for that and for an unknown format.
    """
    for name in sorted(formats - set(FORMATS)):
        raise unknown("format", name, FORMATS, "--format takes any of: {names}")
    contents = Contents(Findings.load(root), pictures, frozenset(formats), paper)
    made: dict[str, bytes] = {}
    for name, export in EXPORTS.items():
        if name in formats:
            made |= export(contents)
    written = [output / name for name in made]
    with files.replacing_all(written) as partials:
        for partial, content in zip(partials, made.values(), strict=True):
            partial.write_bytes(content)
    return written
