"""`predict`: trained networks on a user's photographs."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from benchmarks.cli import completion
from benchmarks.cli.options import Device, Plugins, Results, at_home, load_plugins
from benchmarks.cli.session import session_of
from results.errors import RequestError

if TYPE_CHECKING:
    import torch

    from benchmarks.prediction.ensemble import Member
    from benchmarks.prediction.trained import Trained
    from results.runs import Run

TrainedOn = Annotated[
    str,
    typer.Option("--dataset", help="Data set that the weights were trained on.", autocompletion=completion.datasets),
]
Seeds = Annotated[
    str | None,
    typer.Option(
        metavar="LIST|all",
        help="Weights of these seeds of the runs in --results, as 1,2,3. Default: the one seed that ships.",
    ),
]
RunsOf = Annotated[
    str | None, typer.Option("--recipe", help="With --seeds: the recipe of the runs.", show_default=False)
]
Size = Annotated[int, typer.Option(help="With --weights: side that the pictures are scaled to, pixels.")]


def predict(
    context: typer.Context,
    photographs: Annotated[
        list[str],
        typer.Argument(
            metavar="PHOTOS...", help="Photographs, folders of them, or patterns as 'in/**/*.jpg'.", show_default=False
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            help="Folder for masks, overlays and the table.", file_okay=False, callback=at_home, show_default=False
        ),
    ],
    network: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NETWORK",
            help="The network; of several the mean counts. Default: aulunet_v3.",
            autocompletion=completion.networks,
        ),
    ] = None,
    dataset: TrainedOn = "isic2018",
    seeds: Seeds = None,
    recipe: RunsOf = None,
    weights: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Weights from a file, of the one --network, or a file that `export` wrote (.onnx); may be repeated.",
            callback=lambda paths: [each for each in map(at_home, paths or []) if each],
        ),
    ] = None,
    size: Size = 256,
    flips: Annotated[
        bool, typer.Option("--flips", help="Also ask about the three mirror images; the mean counts.")
    ] = False,
    overlays: Annotated[bool, typer.Option(help="Also draw the lesion's edge on each photograph.")] = True,
    device: Device = "auto",
    plugin: Plugins = None,
    results: Results = None,
) -> None:
    """Draw the lesion on photographs: a mask of each photograph's own size, an overlay, and a table of all.

    Several networks or seeds are averaged, and a map shows where they disagree. Masks are upright, as an EXIF
    orientation says. For research, not for diagnosis. Where a photograph cannot be read, the rest is done, and the exit
    code is 1.
    """
    from benchmarks.machine import device_named
    from benchmarks.prediction import predict as prediction
    from benchmarks.prediction.photographs import find

    session = session_of(context)
    load_plugins(plugin)
    found = find(photographs)
    members = _members(network, dataset, seeds, recipe, weights or [], size, results, device_named(device))
    for member in members:
        session.say(f"With {member.words}.")
    columns = (TextColumn("Predicting"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=len(found))
        outcome = prediction.predict(
            found, members, output, flips=flips, overlays=overlays, announce=lambda photograph: progress.advance(task)
        )
    for sentence in outcome.unreadable:
        session.warn("Left out", sentence)
    done = len(outcome.predictions)
    if done:
        session.say(f"{done} photograph{'s' if done > 1 else ''}; masks, and a table of them:")
        session.say_path(output / prediction.TABLE)
    if outcome.unreadable:
        raise typer.Exit(1)


def _members(
    networks: list[str] | None,
    dataset: str,
    seeds: str | None,
    recipe: str | None,
    weights: Sequence[Path],
    size: int,
    results: Path | None,
    device: "torch.device",
) -> "list[Member]":
    """What predicts. Raises RequestError where the options do not say one thing."""
    from benchmarks.prediction.onnx_file import ENDING, OnnxMember

    if recipe and not seeds:
        raise RequestError(
            "--recipe goes with --seeds; without them the weights that ship are used, whose card names it."
        )
    if weights:
        if seeds:
            raise RequestError("--weights and --seeds both say which weights; give one of them.")
        exported = [path for path in weights if path.suffix == ENDING]
        others = [path for path in weights if path.suffix != ENDING]
        if others and (networks is None or len(networks) != 1):
            raise RequestError("--weights goes with one --network, which they are of.")
        from benchmarks.prediction.trained import load_file

        plain = [load_file(path, (networks or [""])[0], size).to(device) for path in others]
        return [*plain, *(OnnxMember(path, threads=1) for path in exported)]
    return list(_trained(networks or ["aulunet_v3"], dataset, seeds, recipe, results, device))


def _trained(
    networks: Sequence[str],
    dataset: str,
    seeds: str | None,
    recipe: str | None,
    results: Path | None,
    device: "torch.device",
) -> "list[Trained]":
    """Networks with the weights that ship, or those of the seeds that were asked for."""
    from benchmarks.prediction.trained import Trained, load
    from benchmarks.prediction.weights import of_run

    names = list(dict.fromkeys(networks))
    if seeds is None:
        return [load(name, dataset, results=results).to(device) for name in names]
    runs = [run for name in names for run in _runs(name, dataset, seeds, recipe, results)]
    return [Trained(of_run(run), run.config.size or 256).to(device) for run in runs]


def _runs(network: str, dataset: str, seeds: str, recipe: str | None, results: Path | None) -> "list[Run]":
    """Finished runs of these seeds whose weights are here. Raises RequestError where one is not."""
    from results.cell import WEIGHTS
    from results.installation import results_to_read
    from results.runs import poolable

    root = results_to_read(results)
    mine = [run for run in poolable(root) if (run.cell.network, run.cell.dataset) == (network, dataset)]
    mine = [run for run in mine if (run.folder / WEIGHTS).exists() and recipe in (None, run.cell.recipe)]
    recipes = sorted({run.cell.recipe for run in mine})
    if len(recipes) > 1:
        raise RequestError(f"{root} has weights of {network} by several recipes; give --recipe {' or '.join(recipes)}.")
    there = {str(run.cell.seed): run for run in mine}
    wanted = list(there) if seeds == "all" else [each.strip() for each in seeds.split(",")]
    if not wanted or (lacking := [each for each in wanted if each not in there]):
        known = f"of seeds {', '.join(there)} only" if there else "of no seed"
        raise RequestError(
            f"--seeds {seeds}: {root} holds weights of {network} on {dataset} {known}; give others, or copy "
            f"{WEIGHTS} of the run there{'' if not wanted else f' (lacking: {lacking[0]})'}."
        )
    return [there[each] for each in wanted]
