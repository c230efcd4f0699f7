"""All commands under one name, and how their mistakes end: one sentence and exit code 2."""

import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from benchmarks.cli import (
    check,
    cite,
    compare,
    data,
    evaluate,
    export,
    listing,
    measure,
    predict,
    report,
    run,
    surface,
    watch,
    weights,
)
from benchmarks.cli.foreign import SCRIPT
from benchmarks.cli.options import Command, RecipeCommand
from benchmarks.cli.session import Session
from results.errors import CURES, RequestError

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Reproduce AULUNet and the networks it is compared with, from raw ISIC data to tables. "
    "Exit codes: 0 fine, 1 a check or a training failed, 2 the request or the data is wrong, 130 stopped or paused.",
)
app.command(cls=RecipeCommand)(run.run)
app.command(cls=Command)(watch.watch)
app.command(cls=Command)(evaluate.evaluate)
app.command(cls=Command)(report.report)
app.command(cls=Command)(predict.predict)
app.command(cls=Command)(export.export)
app.command(cls=Command)(weights.weights)
app.command(cls=Command)(surface.surface)
app.command(cls=Command)(check.check)
app.command(cls=Command)(data.data)
app.command(cls=Command)(compare.compare)
app.command(cls=Command)(compare.diff)
app.command(cls=Command)(compare.merge)
app.command("list", cls=Command)(listing.list_)
app.command(cls=Command)(measure.count)
app.command(cls=Command)(measure.profile)
app.command(cls=Command)(measure.speed)
app.command(cls=Command)(cite.cite)


def _show_version(asked: bool) -> None:
    if asked:
        from results.installation import version

        typer.echo(f"{SCRIPT} {version() or '(version unknown: it is not installed)'}")
        raise typer.Exit


@app.callback()
def _for_all(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    context.ensure_object(Session)


def main() -> None:
    """The command line; a user's mistake ends in one sentence and exit code 2."""
    session = Session()
    completing = any(each.endswith("-completion") for each in sys.argv[1:2])  # of the script: `python -m` has none
    try:
        app(obj=session, prog_name=SCRIPT if completing else None)
    except RequestError as error:
        session.show_traceback(error)
        _end(str(error))
    except OSError as error:
        if error.errno not in CURES or error.filename is None:
            raise
        session.show_traceback(error)
        _end(f"{error.filename} cannot be used ({error.strerror}); {CURES[error.errno]}.")


def _end(sentence: str) -> None:
    line = " ".join(sentence.splitlines())  # names may hold line ends
    Console(stderr=True, soft_wrap=True).print(f"[red]Error:[/] {escape(line)}", highlight=False)
    sys.exit(2)
