"""The report of a results folder, as files."""

import os
from pathlib import Path

from reports.comparison.findings import Findings
from reports.figures.predictions import Photographs
from reports.formats import EXPORTS
from reports.formats.contents import Contents
from results.errors import unknown

FORMATS = tuple(EXPORTS)


def render(root: Path, output: Path, formats: set[str], pictures: Photographs | None = None) -> list[Path]:
    """Render the results folder `root` into `output`; returns the written files.

    `formats` is any of FORMATS: "md", "latex" and "csv" are the tables, "html" is the page with everything in it,
    "figures" are SVG and PNG files. `pictures` fetches photographs for the figure of predictions. Damaged runs are
    listed on the page. Everything is read and computed once, and made before the first file is written. Raises
    RequestError for an unknown format.
    """
    for name in sorted(formats - set(FORMATS)):
        raise unknown("format", name, FORMATS, "--format takes any of: {names}")
    contents = Contents(Findings.load(root), pictures)
    files: dict[str, bytes] = {}
    for name, export in EXPORTS.items():
        if name in formats:
            files |= export(contents)
    return [_write(output / name, content) for name, content in files.items()]


def _write(path: Path, content: bytes) -> Path:
    """Write atomically: readers see the old file or the whole new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(content)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return path
