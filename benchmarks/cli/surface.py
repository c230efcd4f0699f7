"""`surface`: measure the edges of stored masks."""

from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from benchmarks.cli.options import Networks, Results
from benchmarks.cli.session import session_of
from results.errors import RequestError


def surface(
    context: typer.Context,
    dataset: Annotated[str | None, typer.Option(help="Only runs on this data set.", show_default=False)] = None,
    network: Networks = None,
    results: Results = None,
) -> None:
    """Measure how far the edges of stored masks are from the truth: HD95, ASSD, boundary F1. Needs the data set."""
    from benchmarks import datasets
    from benchmarks.measuring import surface as measuring
    from results.cell import PREDICTIONS
    from results.installation import results_to_read
    from results.runs import load_runs

    session, root = session_of(context), results_to_read(results)
    measuring.needed()
    runs = [run for run in load_runs(root).runs if (run.folder / PREDICTIONS).exists()]
    runs = [run for run in runs if dataset in (None, run.cell.dataset) and (not network or run.cell.network in network)]
    if not runs:
        raise RequestError(
            f"{root} holds no finished run with {PREDICTIONS} that was asked for; versions before 0.7 kept none."
        )
    with Console(stderr=True).status("") as status:
        for number, run in enumerate(runs, start=1):
            status.update(f"{escape(str(run.cell))}, {number} of {len(runs)}")
            if not measuring.done(run):
                measuring.measure(run, datasets.load(run.cell.dataset, run.config.size or 256))
    session.say(f"{len(runs)} runs are measured. `python -m benchmarks report` has the table.")
