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
    what: Annotated[
        str,
        typer.Argument(help="networks, datasets, splits, suites, recipes or runs.", autocompletion=completion.lists),
    ],
    plugin: Plugins = None,
    results: Results = None,
) -> None:
    """Show what there is: networks with their parameter counts, data sets, splits, suites, recipes, stored runs."""
    from results.installation import results_to_read

    session = session_of(context)
    load_plugins(plugin)
    shown = {
        "networks": _networks,
        "datasets": _datasets,
        "splits": _splits,
        "suites": _suites,
        "recipes": _recipes,
        "runs": lambda: _runs(results_to_read(results), session),
    }
    if what not in shown:
        raise unknown("list of", what, shown, "`list` takes one of {names}")
    session.show(shown[what]())


def _datasets() -> Table:
    """What is known and what is prepared, with what each asks to be cited by."""
    from benchmarks.datasets import layout, loading, store

    table = Table("name", "images", "prepared at, px", "citation", "licence")
    for name in loading.names():
        abouts = [store.described(store.cache_folder() / name / str(size)) for size in loading.prepared_sizes(name)]
        about = next((each for each in abouts if each is not None), None)
        published = next((each for each in (name, f"{name}_official") if each in layout.known()), None)
        known = layout.of_known(published) if published else None
        images = loading.counted(name, 8) if about or name in loading.OURS else "-"
        sizes = ", ".join(str(each.size) for each in abouts if each) or ("drawn" if name == "synthetic" else "not yet")
        texts = [getattr(about, key, None) or getattr(known, key, None) or "-" for key in ("citation", "licence")]
        table.add_row(name, str(images), sizes, *texts)
    return table


def _splits() -> Table:
    from benchmarks.datasets.splits import NAMED

    table = Table("split", "what")
    for name, what in NAMED.items():
        table.add_row(name, what)
    table.add_row("fold-K-of-N", "the K-th of N equal parts tests, a tenth of the others validates; fold-*-of-N: all N")
    table.add_row("FILE", "CSV with columns id and part, JSON with train, validation and test, or nnU-Net's FILE#FOLD")
    return table


def _recipes() -> Table:
    from benchmarks.protocol import settings
    from benchmarks.protocol.recipe import RECIPES

    table = Table("recipe", "what it changes of `paper`")
    for name, recipe in RECIPES.items():
        changed = {key: getattr(recipe, key) for key in settings.NAMES}
        paper = RECIPES["paper"]
        different = [f"{key} {value}" for key, value in changed.items() if value != getattr(paper, key)]
        table.add_row(name, ", ".join(different) or "nothing: the authors' released configuration")
    return table


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
