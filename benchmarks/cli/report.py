"""`report`: tables, figures and the page."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmarks.cli.options import Results, at_home, say_without_runs
from benchmarks.cli.session import Session, session_of
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
    style: Annotated[str, typer.Option(help="Of the plain table for a paper: narrow (one column) or wide.")] = "narrow",
    columns: Annotated[
        str | None,
        typer.Option(help="Of that table: any of params, gflops, iou, dsc, acc, spe, sen, published, with commas."),
    ] = None,
    networks: Annotated[
        str | None, typer.Option(help="Of that table: only these, with commas. Default: all of the paper.")
    ] = None,
    only: Annotated[
        str, typer.Option(help="Of that table: measured (networks with runs) or all rows of the paper's tables.")
    ] = "measured",
    verbose: Annotated[bool, typer.Option("--verbose", help="List every file that is written.")] = False,
    results: Results = None,
) -> None:
    """Render tables, figures and the page from published numbers and stored runs. Needs no torch."""
    from reports import render
    from reports.formats import paper_options
    from results.installation import report_folder, results_to_read

    chosen, root = {each.strip() for each in formats.split(",")}, results_to_read(results)
    say_without_runs(root)
    if only not in ("measured", "all"):
        raise RequestError(f"--only is {only!r}; give measured or all.")
    plain = paper_options.Paper(style, _words(columns), _words(networks), only == "measured")
    folder = output or report_folder()
    written = render.render(root, folder, chosen, photographs if pictures else None, plain)
    session = session_of(context)
    if verbose:
        for path in written:
            session.say_path(path)
    _conclude(written, folder, session)


def _words(text: str | None) -> tuple[str, ...]:
    return tuple(each.strip() for each in text.split(",") if each.strip()) if text else ()


def _conclude(written: Sequence[Path], folder: Path, session: Session) -> None:
    """One sentence, and the path to open."""
    page = next((path for path in written if path.name == "index.html"), None)
    session.say(f"{len(written)} files are written" + ("; open this one:" if page else " to this folder:"))
    session.say_path(page or folder)


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
