"""`check`: for CI; whether counts and stored runs agree with the published numbers and with accepted values."""

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from benchmarks.cli.options import Results, at_home, say_without_runs
from benchmarks.cli.session import session_of
from results.errors import RequestError


def check(
    context: typer.Context,
    junit: Annotated[
        Path | None, typer.Option(help="Also write the outcome as JUnit XML.", dir_okay=False, callback=at_home)
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option(help="CSV of accepted measured values; one that moved fails.", dir_okay=False, callback=at_home),
    ] = None,
    accept: Annotated[bool, typer.Option("--accept", help="Record the stored values in --baseline instead.")] = False,
    results: Results = None,
) -> None:
    """Compare counts and stored runs with the published numbers and accepted values; exit 1 where one contradicts."""
    from reports.check import accepted
    from reports.check.check import check as compared
    from reports.evidence import load_everything
    from results import files
    from results.installation import results_to_read

    session, root = session_of(context), results_to_read(results)
    say_without_runs(root)
    if accept:
        if baseline is None:
            raise RequestError("--accept needs --baseline FILE, the file to record the values in.")
        for sentence in accepted.accept(load_everything(root).runs, baseline):
            session.say(sentence)
        return
    result = compared(root, _live_counts(), baseline)
    session.say_whole(result.text())
    if os.environ.get("GITHUB_ACTIONS") == "true":
        for annotation in result.annotations():
            session.say_whole(annotation)
    if junit is not None:
        files.write_text(junit, result.junit())
    raise typer.Exit(result.exit_status)


def _live_counts() -> dict[str, dict[str, int]] | None:
    """What the networks count now, by name and column; None where torch is absent. Says what it does on stderr."""
    from benchmarks.measuring.live_counts import live_counts

    with Console(stderr=True).status("Counting the networks") as status:
        return live_counts(
            lambda name, position, number: status.update(f"Counting {escape(name)}, {position} of {number}")
        )
