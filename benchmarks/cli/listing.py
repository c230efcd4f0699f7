"""`list`: what there is."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from benchmarks.cli import completion
from benchmarks.cli.options import Plugins, Results, load_plugins
from benchmarks.cli.session import Session, session_of
from results.errors import unknown

if TYPE_CHECKING:
    from results.cell import Cell


def list_(
    context: typer.Context,
    what: Annotated[str, typer.Argument(help="networks, suites or runs.", autocompletion=completion.lists)],
    plugin: Plugins = None,
    results: Results = None,
) -> None:
    """Show what there is: networks with their true parameter counts, suites, or stored runs."""
    from results.installation import results_to_read

    session = session_of(context)
    if what == "networks":
        load_plugins(plugin)
        session.show(_networks())
    elif what == "suites":
        session.show(_suites())
    elif what == "runs":
        session.show(_runs(results_to_read(results), session))
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
    """Finished runs, failed ones, and unfinished ones with who works on them; what is damaged is said beside."""
    from results import claims
    from results.runs import load_runs, unfinished

    stored = load_runs(root, large=False)
    table = Table("data set", "recipe", "network", "seed", "IoU %", "best epoch", "device", "finished, or held by")

    def add(cell: "Cell", *columns: str) -> None:
        table.add_row(cell.dataset, cell.recipe, cell.network, str(cell.seed), *columns)

    for each in stored.runs:
        record = each.report
        best, device, when = (str(told or "-") for told in (record.best_epoch, record.device, record.finished_at))
        add(each.cell, f"{each.metrics['iou'] * 100:.2f}", best, device, when)
    for failure in stored.failures:
        add(failure.cell, "failed", f"{failure.epoch}", "-", "-")
    now = claims.clock(root) if root.is_dir() else 0.0
    for cell in unfinished(root):
        held = claims.found(cell, root)
        if held is None or held.is_over(now):
            add(cell, "unfinished", "-", "-", "nobody")
        else:
            add(cell, "training", "-", "-", f"{held}, last seen {max(0, now - held.beat):.0f} s ago")
    for problem in stored.problems:
        session.warn("Damaged", str(problem))
    return table
