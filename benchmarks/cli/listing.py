"""`list`: what there is."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from benchmarks.cli import completion
from benchmarks.cli.options import Plugins, Results, load_plugins
from benchmarks.cli.session import Session, session_of
from results.errors import unknown


def list_(
    context: typer.Context,
    what: Annotated[str, typer.Argument(help="networks, suites or runs.", autocompletion=completion.lists)],
    plugin: Plugins = None,
    results: Results = None,
) -> None:
    """Show what there is: networks with their true parameter counts, suites, or stored runs."""
    from results.installation import results_root

    session = session_of(context)
    if what == "networks":
        load_plugins(plugin)
        session.show(_networks())
    elif what == "suites":
        session.show(_suites())
    elif what == "runs":
        session.show(_runs(results_root(results), session))
    else:
        raise unknown("list of", what, completion.lists(), "`list` takes networks, suites or runs")


def _networks() -> Table:
    from benchmarks.networks import registry

    table = Table("name", "label", "parameters", "venue", "compared with", "sizes")
    for name in registry.names():
        entry = registry.entry(name)
        parameters = sum(parameter.numel() for parameter in registry.outline(entry).parameters())
        table.add_row(name, entry.label, f"{parameters:,}", entry.venue, entry.upstream or "-", entry.sizes)
    return table


def _suites() -> Table:
    from benchmarks.protocol.suites import SUITES

    table = Table("suite", "what", "data", "networks", "seeds", "recipe")
    for suite in SUITES.values():
        sets, networks = ", ".join(suite.datasets), ", ".join(suite.networks)
        table.add_row(suite.name, suite.description, sets, networks, str(len(suite.seeds)), suite.recipe)
    return table


def _runs(root: Path, session: Session) -> Table:
    """Finished runs and failed ones; what is damaged is said beside the table."""
    from results.runs import load_runs

    stored = load_runs(root)
    table = Table("data set", "recipe", "network", "seed", "IoU %", "best epoch", "device", "finished")
    for each in stored.runs:
        cell, record = each.cell, each.report
        best, device, when = (str(told or "-") for told in (record.best_epoch, record.device, record.finished_at))
        shown = f"{each.metrics['iou'] * 100:.2f}"
        table.add_row(cell.dataset, cell.recipe, cell.network, str(cell.seed), shown, best, device, when)
    for failure in stored.failures:
        cell = failure.cell
        table.add_row(cell.dataset, cell.recipe, cell.network, str(cell.seed), "failed", f"{failure.epoch}", "-", "-")
    for problem in stored.problems:
        session.warn("Damaged", str(problem))
    return table
