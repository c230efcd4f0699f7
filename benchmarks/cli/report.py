"""`report`: tables, figures and the page."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmarks.cli.options import Results, at_home, say_without_runs
from benchmarks.cli.session import session_of
from results.errors import RequestError

if TYPE_CHECKING:
    import numpy as np


def report(
    context: typer.Context,
    formats: Annotated[
        str, typer.Option("--format", help="Any of html, md, latex, csv, figures (SVG and PNG), with commas between.")
    ] = "html,md,latex,csv,figures",
    output: Annotated[
        Path | None,
        typer.Option(
            help="Folder to write to. Default: reports/rendered/ of this checkout, else lesion-report/ of the working "
            "folder.",
            file_okay=False,
            show_default=False,
            callback=at_home,
        ),
    ] = None,
    pictures: Annotated[
        bool, typer.Option(help="Show predictions on photographs, where the data set is prepared on this machine.")
    ] = True,
    results: Results = None,
) -> None:
    """Render tables, figures and the page from published numbers and stored runs. Needs no torch."""
    from reports import render
    from results.installation import report_folder, results_to_read

    chosen, root = {each.strip() for each in formats.split(",")}, results_to_read(results)
    say_without_runs(root)
    written = render.render(root, output or report_folder(), chosen, photographs if pictures else None)
    for path in written:
        session_of(context).say_path(path)


def photographs(
    dataset: str, ids: Sequence[str], size: int | None = None
) -> "dict[str, tuple[np.ndarray, np.ndarray]]":
    """Photographs (H, W, 3) uint8 and truths (H, W) bool by id. Raises RequestError where they cannot be had here."""
    from benchmarks import datasets

    try:
        prepared = datasets.load(dataset, size or 256)
    except ImportError as error:
        raise RequestError(f"The pictures of {dataset} need the library {error.name}; install it with pip.") from None
    rows = {name: row for row, name in enumerate(prepared.ids)}
    return {name: (prepared.images[rows[name]], prepared.masks[rows[name]] >= 128) for name in ids if name in rows}
