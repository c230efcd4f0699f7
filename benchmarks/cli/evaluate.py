"""`evaluate`: score stored weights on another data set than they were trained on, without training."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from benchmarks.cli import completion
from benchmarks.cli.options import Device, Networks, Plugins, Results, at_home, load_plugins
from benchmarks.cli.session import Session, session_of
from results.errors import RequestError

if TYPE_CHECKING:
    import torch

    from results.external import External
    from results.runs import Run


def evaluate(
    context: typer.Context,
    on: Annotated[
        str,
        typer.Option("--on", metavar="NAME", help="Data set to score on.", autocompletion=completion.datasets),
    ],
    suite: Annotated[
        str | None,
        typer.Option(
            metavar="SUITE|FILE",
            help="Weights of the runs of this suite. Default: of all that are stored.",
            autocompletion=completion.suites,
        ),
    ] = None,
    network: Networks = None,
    recipe: Annotated[
        str | None,
        typer.Option(help="Weights trained by this recipe, by the name that its runs have.", show_default=False),
    ] = None,
    part: Annotated[str, typer.Option(help="What to score: all of it, or test, its test part under --split.")] = "all",
    split: Annotated[
        str | None,
        typer.Option(help="The split whose test part is scored. Default: paper.", autocompletion=completion.splits),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            "--weights",
            metavar="FILE",
            help="Weights from elsewhere, of the one --network: a file of this suite's or of the authors' own; no code "
            "in it is run.",
            callback=at_home,
        ),
    ] = None,
    size: Annotated[int, typer.Option(help="With --weights: side of the images, pixels.")] = 256,
    device: Device = "auto",
    plugin: Plugins = None,
    results: Results = None,
) -> None:
    """Score stored weights on another data set; images that they were trained or selected on are left out."""
    from benchmarks.datasets.loading import check_request
    from benchmarks.machine import device_named
    from results.installation import results_root

    session, root, chosen = session_of(context), results_root(results), device_named(device)
    load_plugins(plugin)
    check_request(on, size)
    if part not in ("all", "test"):
        raise RequestError(f"--part is {part!r}; give all or test.")
    rule = (split or "paper") if part == "test" else None
    if split and part == "all":
        raise RequestError("--split says which images are the test part; give --part test too, or leave it out.")
    if weights is not None:
        if suite or recipe or network is None or len(network) != 1:
            raise RequestError("--weights goes with one --network, which it is of, and neither --suite nor --recipe.")
        _show([_from_elsewhere(weights, network[0], on, size, part, rule, root, chosen, session)], session)
        return
    found, problems = _of_runs(_chosen(root, suite, network, recipe), on, part, rule, chosen, session)
    _show(found, session)
    session.say("`python -m benchmarks report` has a table of what was trained where and tested where.")
    for problem in problems:
        session.warn("Failed", problem)
    if problems:
        raise typer.Exit(1)


def _chosen(root: Path, suite: str | None, networks: list[str] | None, recipe: str | None) -> "list[Run]":
    """The finished runs that are asked for. Raises RequestError where there are none."""
    from benchmarks.networks import registry
    from benchmarks.protocol import files
    from results.runs import poolable

    runs = poolable(root)
    if suite is not None:
        asked = files.suite(suite)
        name = recipe or files.recipe(asked.recipe).name
        runs = [each for each in runs if each.cell.dataset in asked.datasets and each.cell.recipe == name]
        runs = [each for each in runs if networks or each.cell.network in asked.networks]
    for name in networks or []:
        registry.entry(name)
    runs = [each for each in runs if not networks or each.cell.network in networks]
    runs = [each for each in runs if recipe is None or each.cell.recipe == recipe]
    if not runs:
        raise RequestError(f"{root} holds no finished run that was asked for; `list runs` shows those that it has.")
    return runs


def _of_runs(
    runs: "list[Run]", on: str, part: str, rule: str | None, device: "torch.device", session: Session
) -> "tuple[list[External], list[str]]":
    """Score the weights of each run that is not scored yet; what was and is scored, and what failed."""
    from benchmarks import datasets
    from benchmarks.datasets import split_files
    from benchmarks.prediction import weights as stored
    from benchmarks.runner import external
    from results.external import FOLDER, place

    found, problems = [], []
    others = [run for run in runs if run.cell.dataset != on]
    if not others:
        raise RequestError(
            f"All that was asked for was trained on {on} and has its own test part there; choose another --on."
        )
    if left := len(runs) - len(others):
        session.say(f"{left} runs were trained on {on} itself and have their own test part there: left aside.")
    for run in others:
        try:
            weights, settings = stored.of_run(run), external.recipe_of(run)
            test = external.Test(datasets.load(on, settings.size), part, rule)
            folder = place(run.folder / FOLDER, on, part)
            about = external.done(folder, weights.sha256, test)
            if about is None:
                own = datasets.load(run.cell.dataset, settings.size)
                seen = external.known_of(own, split_files.cut(own, settings.split, run.folder.parents[4]))
                about = external.evaluate(weights, test, settings, folder, device, seen)
            session.say(f"{run.cell}: IoU {100 * about.metrics['iou']:.2f} % on {on}")
            found.append(about)
        except datasets.NotPrepared:
            raise
        except RequestError as error:
            problems.append(f"{run.cell}: {error}")
    return found, problems


def _from_elsewhere(
    path: Path,
    network: str,
    on: str,
    size: int,
    part: str,
    rule: str | None,
    root: Path,
    device: "torch.device",
    session: Session,
) -> "External":
    """Score a file of weights."""
    from benchmarks import datasets
    from benchmarks.networks import registry
    from benchmarks.prediction import weights as stored
    from benchmarks.protocol import recipe as recipes
    from benchmarks.runner import external
    from results.external import FROM_ELSEWHERE, place

    entry = registry.entry(network)
    settings = recipes.named("paper").changed(size=size)
    if not entry.accepts(size):
        raise RequestError(f"{network} takes {entry.sizes}, not --size {size}; choose another size or network.")
    weights = stored.of_file(path, network)
    test = external.Test(datasets.load(on, size), part, rule)
    session.say(f"{path} is {weights.source} (SHA-256 {weights.sha256[:12]}): not trained here.")
    home = root / FROM_ELSEWHERE / f"{network.replace('/', '_').replace(':', '_')}-{weights.sha256[:8]}"
    return external.evaluate(weights, test, settings, place(home, f"{on}-{size}", part), device)


def _show(found: "list[External]", session: Session) -> None:
    if not found:
        return
    table = Table("network", "on", "part", "images left out", "IoU %", "DSC %")
    for each in found:
        scores = (f"{100 * each.metrics[name]:.2f}" for name in ("iou", "dsc"))
        table.add_row(each.network, each.dataset, each.part, str(len(each.left_out)), *scores)
    session.show(table)
