"""`export`: a trained network as a file for other programs."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from benchmarks.cli import completion
from benchmarks.cli.options import Plugins, Results, at_home, load_plugins
from benchmarks.cli.predict import Size, TrainedOn
from benchmarks.cli.session import session_of
from results.errors import RequestError, unknown

if TYPE_CHECKING:
    import numpy as np

    from benchmarks.prediction.export import Exported
    from benchmarks.prediction.trained import Trained

FORMATS = {"onnx": ".onnx", "int8": "-int8.onnx", "torch": ".pt2"}
CHECKED, CALIBRATED = 32, 64  # pictures that a file is held against, and that the ranges of 8 bits are taken from


def export(
    context: typer.Context,
    output: Annotated[
        Path, typer.Option(help="Folder for the files.", file_okay=False, callback=at_home, show_default=False)
    ],
    network: Annotated[
        str, typer.Option(metavar="NETWORK", help="The network.", autocompletion=completion.networks)
    ] = "aulunet_v3",
    dataset: TrainedOn = "isic2018",
    formats: Annotated[
        str,
        typer.Option(
            "--format",
            help="Any of onnx, int8 (ONNX whose convolutions and products have 8 bits) and torch (torch.export), with "
            "commas between.",
        ),
    ] = "onnx",
    on: Annotated[
        list[str] | None,
        typer.Option(
            "--on",
            metavar="PHOTOS",
            help="Photographs, folders or patterns that the file is tried on; may be repeated. Default: test images of "
            "--dataset, which is prepared then.",
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Weights from a file. Default: those that ship.", callback=at_home),
    ] = None,
    size: Size = 256,
    plugin: Plugins = None,
    results: Results = None,
) -> None:
    """Write a trained network as a file for other programs, and keep it only where it does the same.

    A file takes uint8 RGB (batch, 3, height, width) and gives probabilities of lesion: all scaling of pixels is inside.
    It is run on real pictures: float32 files may differ by 0.001 in a probability, 8-bit ones may flip 1 % of pixels.
    """
    from benchmarks.prediction import export as exporting
    from benchmarks.prediction import onnx_file
    from benchmarks.prediction.trained import load, load_file

    session = session_of(context)
    load_plugins(plugin)
    chosen = list(dict.fromkeys(each.strip() for each in formats.split(",")))
    for each in chosen:
        if each not in FORMATS:
            raise unknown("format", each, FORMATS, "--format takes any of: {names}")
    if chosen != ["torch"]:
        onnx_file.needed()
    trained = load_file(weights, network, size) if weights else load(network, dataset, results=results)
    pictures, calibration = _pictures(trained, dataset, on)
    stem = trained.name.replace("/", "_").replace(":", "_") + (
        "" if trained.card is None else f"-{trained.card.dataset}"
    )
    makers = {
        "onnx": lambda path: exporting.to_onnx(trained, path, pictures),
        "int8": lambda path: exporting.to_int8(trained, path, pictures, calibration),
        "torch": lambda path: exporting.to_torch(trained, path, pictures),
    }
    failed: list[str] = []
    for each in chosen:
        path = output / f"{stem}{FORMATS[each]}"
        try:
            with Console(stderr=True).status(f"Exporting {escape(path.name)}"):
                made: Exported = makers[each](path)
        except exporting.NotKept as error:
            failed.append(str(error))
            continue
        session.say_path(path)
        session.say(f"  {path.stat().st_size / 1e3:.0f} kB; {_varies(made.dynamic)}; {made.agreement}.")
    for sentence in failed:
        session.warn("Failed", sentence)
    if failed:
        raise typer.Exit(1)


def _varies(dynamic: tuple[str, ...]) -> str:
    return f"{' and '.join(dynamic)} may vary" if dynamic else "one picture at a time, of one size"


def _pictures(trained: "Trained", dataset: str, on: Sequence[str] | None) -> "tuple[np.ndarray, np.ndarray]":
    """Pictures (N, S, S, 3) uint8 that a file is held against, and others that 8 bits are calibrated on.

    Raises RequestError where there are none.
    """
    import numpy as np

    from benchmarks import datasets
    from benchmarks.prediction.photographs import find, prepare

    if on:
        small = [prepare(each, [trained.size], show=False).small[trained.size] for each in find(on)]
        return np.stack(small[:CHECKED]), np.stack(small[-CALIBRATED:])
    try:
        prepared = datasets.load(dataset, trained.size)
    except RequestError as error:
        raise RequestError(
            f"{str(error).removesuffix('.')}; or name photographs to try the file on with --on."
        ) from None
    split = prepared.split("paper")
    return prepared.images[np.sort(split.test[:CHECKED])], prepared.images[np.sort(split.train[:CALIBRATED])]
