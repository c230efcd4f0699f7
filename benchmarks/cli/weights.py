"""`weights`: keep the weights of one seed of each network, with a card, so that others can use them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from benchmarks.cli.options import Networks, Results, at_home
from benchmarks.cli.session import session_of
from results.errors import RequestError

if TYPE_CHECKING:
    from reports.comparison.findings import Findings
    from results.runs import Run
    from results.weights import Card


def weights(
    context: typer.Context,
    network: Networks = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="Of the runs of this recipe. Default: of each network's best, the paper's own before others."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Results folder to keep them in. Default: the one that is read.", file_okay=False, callback=at_home
        ),
    ] = None,
    over: Annotated[
        Path | None,
        typer.Option(
            help="Results folder whose seeds the card quotes, where it is another one: for weights that were trained "
            "again, of a run whose own are lost.",
            file_okay=False,
            callback=at_home,
        ),
    ] = None,
    results: Results = None,
) -> None:
    """Keep the weights of the best-validated seed of each network and data set, with a card, under weights/."""
    from reports.card import card_text
    from reports.comparison.findings import Findings
    from results import files
    from results import weights as shipped
    from results.cell import WEIGHTS
    from results.citations import bibtex
    from results.installation import results_to_read

    session, root = session_of(context), results_to_read(results)
    findings, lacking = Findings.load(root), []
    quoted = findings if over is None else Findings.load(results_to_read(over))
    table = Table("network", "data set", "recipe", "seed", "IoU %", "kB")
    for runs in _best(findings.evidence.runs, network, recipe):
        chosen = min(runs, key=lambda run: (run.report.validation_loss, run.cell.seed))
        source = chosen.folder / WEIGHTS
        if not source.exists():
            lacking.append(f"{chosen.cell} has the lowest validation loss, but {source} is not here; copy it there.")
            continue
        card = _card(chosen, quoted)
        place = shipped.folder(output or root, card.dataset, card.network)
        content = source.read_bytes()
        with files.replacing_all([place / name for name in (shipped.MODEL, shipped.CARD, shipped.README)]) as partials:
            text = card_text(card, bibtex([card.network]))
            for partial, part in zip(
                partials, (content, files.json_text(card.content()).encode(), text.encode()), strict=True
            ):
                partial.write_bytes(part)
        iou = f"{100 * card.metrics['iou']:.2f}"
        table.add_row(card.network, card.dataset, card.recipe, str(card.seed), iou, f"{len(content) / 1e3:.0f}")
    if table.row_count:
        session.show(table)
    for sentence in lacking:
        session.warn("Left out", sentence)
    if lacking:
        raise typer.Exit(1)


def _best(runs: "list[Run]", networks: list[str] | None, recipe: str | None) -> "list[list[Run]]":
    """The runs of each network and data set under its best recipe. Raises RequestError where there are none."""
    from reports.evidence import by_network

    chosen: dict[tuple[str, str], list[Run]] = {}
    for (dataset, name, network), mine in by_network(runs).items():
        wanted = (recipe is None or name == recipe) and (not networks or network in networks)
        if not wanted or any(run.report.validation_loss is None for run in mine):
            continue
        before = chosen.get((dataset, network))
        if before is None or _rank(mine) > _rank(before):
            chosen[dataset, network] = mine
    if not chosen:
        raise RequestError("There is no finished run that was asked for; `list runs` shows those that there are.")
    return list(chosen.values())


def _rank(runs: "list[Run]") -> tuple[bool, int, int]:
    """The paper's recipe first, then the larger pictures, then the longer training."""
    from reports.comparison.verdict import RECIPE

    settings = runs[0].config.recipe_settings
    return runs[0].cell.recipe == RECIPE, int(runs[0].config.size or 0), int(str(settings.get("epochs", 0)))


def _note(chosen: "Run", runs: "list[Run]") -> str:
    """Where the quoted run of this seed is another training than the one that the weights are of."""
    stored = next((run for run in runs if run.cell.seed == chosen.cell.seed), None)
    if stored is None or (stored.per_image.equals(chosen.per_image)):
        return ""
    return (
        f"The weights are of a second training of seed {chosen.cell.seed}, because those of the stored run were not "
        f"kept: on another processor arithmetic rounds otherwise, and a training goes another way. Its validation loss "
        f"is {chosen.report.validation_loss:.4f} (stored run: {stored.report.validation_loss:.4f}), its IoU "
        f"{100 * chosen.metrics['iou']:.2f} % ({100 * stored.metrics['iou']:.2f} %)."
    )


def _card(chosen: "Run", findings: "Findings") -> "Card":
    """findings: of all seeds that the card quotes."""
    from benchmarks.datasets import layout
    from benchmarks.networks.identity import identity
    from reports.comparison.names import dataset_label
    from results import seal
    from results.cell import WEIGHTS
    from results.metrics import METRICS
    from results.weights import Card, OverSeeds

    cell, config, report = chosen.cell, chosen.config, chosen.report
    block = findings.run_block(cell.dataset, cell.recipe)
    if block is None or cell.network not in block.networks:
        raise RequestError(
            f"--over holds no run of {cell.network} on {cell.dataset} by {cell.recipe}; name another one."
        )
    runs = sorted(block.networks[cell.network], key=lambda run: run.cell.seed)
    over = {}
    for metric in METRICS:
        each = next(each for each in block.intervals(metric) if each.network == cell.network)
        over[metric.name] = OverSeeds(mean=each.mean, low=each.low, high=each.high, seeds=each.seeds)
    published = next((name for name in (cell.dataset, f"{cell.dataset}_official") if name in layout.known()), None)
    known = layout.of_known(published) if published else None
    return Card(
        format=Card.FORMAT,
        network=cell.network,
        label=config.label or cell.network,
        dataset=cell.dataset,
        dataset_label=dataset_label(cell.dataset),
        recipe=cell.recipe,
        seed=cell.seed,
        validation_losses={str(run.cell.seed): run.report.validation_loss or 0.0 for run in runs},
        size=config.size or 256,
        parameters=report.parameters or 0,
        best_epoch=report.best_epoch or 1,
        split=config.split,
        fingerprint=config.fingerprint or "",
        identity=chosen.config.identity or identity(cell.network),  # of runs before it was recorded: what they fit
        metrics=chosen.metrics,
        over_seeds=over,
        weights=seal.of_file(chosen.folder / WEIGHTS),
        engine=config.engine,
        code=config.code,
        note=_note(chosen, runs),
        licence=(config.data and config.data.licence) or (known and known.licence) or "",
        citation=(config.data and config.data.citation) or (known and known.citation) or "",
    ).sealed()
