"""Everything that the report shows, as files."""

from collections.abc import Callable, Sequence
from pathlib import Path

from reports.comparison.compare import load_everything, table
from reports.evidence import TABLES
from reports.figures.gallery import illustrate
from reports.figures.qualitative import Photographs
from reports.formats.html.page import page
from reports.tables.grid import Grid, to_csv, to_latex, to_markdown
from reports.tables.paper import all_grids
from results import files
from results.errors import RequestError

WRITERS: dict[str, tuple[str, Callable[[Sequence[Grid]], str]]] = {
    "md": ("md", to_markdown),
    "latex": ("tex", to_latex),
    "csv": ("csv", to_csv),
}
FORMATS = (*WRITERS, "html", "figures")


def render(root: Path, output: Path, formats: set[str], pictures: Photographs | None = None) -> list[Path]:
    """Render the results folder `root` into `output`; returns the written files.

    `formats` is any of FORMATS: "md", "latex" and "csv" are the tables, "html" is the page with everything in it,
    "figures" are SVG and PNG files. `pictures` fetches photographs for the qualitative figure. Damaged runs are listed
    on the page. Raises RequestError for an unknown format.
    """
    unknown = sorted(formats - set(FORMATS))
    if unknown:
        raise RequestError(f"There is no format {unknown[0]!r}; --format takes any of: {', '.join(FORMATS)}.")
    evidence = load_everything(root)
    grids = all_grids(evidence)
    contents: dict[str, bytes] = {}
    for name in sorted(formats & set(WRITERS)):
        suffix, write = WRITERS[name]
        contents |= {f"{stem}.{suffix}": write(found).encode() for stem, found in grids.items() if found}
    if formats & {"html", "figures"}:
        tables = [table(name, evidence) for name in TABLES]
        gallery = illustrate(evidence, tables, grids, pictures)
        if "figures" in formats:
            drawn = [picture for section in gallery.pictures.values() for picture in section]
            contents |= {name: content for picture in drawn for name, content in picture.files.items()}
        if "html" in formats:
            contents["index.html"] = page(evidence, tables, grids, gallery).encode()
    for name, content in contents.items():
        files.write_bytes(output / name, content)
    return [output / name for name in contents]
