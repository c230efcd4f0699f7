"""`watch`: the curves of what is training, in a terminal or for TensorBoard."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.live import Live
from rich.table import Table

from benchmarks.cli.options import Results, at_home
from benchmarks.cli.session import session_of
from results.errors import RequestError

if TYPE_CHECKING:
    import pandas as pd

    from results.cell import Cell

BARS = "▁▂▃▄▅▆▇█"
WIDTH = 40  # characters of a curve
INSTALL = 'pip install -e ".[tensorboard]"'


@dataclass(frozen=True)
class Curve:
    """A cell that is not finished, as far as its history goes."""

    cell: "Cell"
    epochs: int
    """Of the recipe."""
    history: "pd.DataFrame"


def watch(
    context: typer.Context,
    once: Annotated[bool, typer.Option("--once", help="Show the present state and end.")] = False,
    every: Annotated[float, typer.Option(min=0.5, max=3600, help="Seconds between two looks.")] = 5.0,
    tensorboard: Annotated[
        Path | None,
        typer.Option(
            help="Write all histories, finished ones too, into this folder as TensorBoard reads them, and end.",
            file_okay=False,
            callback=at_home,
        ),
    ] = None,
    results: Results = None,
) -> None:
    """Show the learning curves of what is training now, from the histories in the results folder. Ends by Ctrl-C."""
    from results.installation import results_to_read

    session, root = session_of(context), results_to_read(results)
    if tensorboard is not None:
        session.say(f"{_write_events(root, tensorboard)} histories are written; show them with")
        session.say_whole(f"tensorboard --logdir {tensorboard}")
        return
    if once:
        session.show(_table(curves(root)))
        return
    with Live(_table(curves(root)), console=session.console, auto_refresh=False) as live:
        while True:
            time.sleep(every)
            live.update(_table(curves(root)), refresh=True)


def curves(root: Path) -> list[Curve]:
    """Of every cell that was begun and has done an epoch. One that is damaged, or just being written, is left out."""
    from results.cell import CONFIG, HISTORY
    from results.errors import Damaged
    from results.runs import unfinished
    from results.schema import Config, History

    found = []
    for cell in unfinished(root):
        folder = cell.folder(root)
        try:
            settings = Config.read(folder / CONFIG).recipe_settings
            found.append(Curve(cell, int(str(settings.get("epochs", 0))), History.read(folder / HISTORY).rows))
        except (Damaged, ValueError):
            continue
    return found


def _table(found: list[Curve]) -> Table:
    table = Table("cell", "epoch", "training", "validation", "lowest", "IoU %", "validation loss")
    for curve in found:
        last, losses = curve.history.iloc[-1], curve.history["validation_loss"]
        lowest = "-" if losses.isna().all() else f"{losses.min():.4f} at {int(curve.history['epoch'][losses.idxmin()])}"
        table.add_row(
            str(curve.cell),
            f"{int(last['epoch'])} of {curve.epochs}",
            f"{last['train_loss']:.4f}",
            f"{last['validation_loss']:.4f}",
            lowest,
            f"{100 * last['validation_iou']:.2f}",
            sparkline(losses.tolist()),
        )
    if not found:
        table.add_row("Nothing is training here that has done an epoch.", *[""] * 6)
    return table


def sparkline(values: list[float], width: int = WIDTH) -> str:
    """A curve as one line of characters, low to high; means of equal parts where there are more values than width."""
    finite = [value for value in values if value == value]
    if not finite:
        return ""
    parts = [finite[len(finite) * k // width : len(finite) * (k + 1) // width] for k in range(width)]
    means = [sum(part) / len(part) for part in parts if part] if len(finite) > width else finite
    low, high = min(means), max(means)
    step = (high - low) / (len(BARS) - 1) or 1.0
    return "".join(BARS[round((value - low) / step)] for value in means)


def _write_events(root: Path, folder: Path) -> int:
    """One log for each cell with a history; how many there are."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise RequestError(f"--tensorboard needs the library tensorboard; {INSTALL}.") from None
    from results.cell import HISTORY
    from results.errors import Damaged
    from results.schema import History

    number = 0
    for path in sorted(root.glob(f"runs/*/*/*/seed-*/{HISTORY}")):
        try:
            history = History.read(path).rows
        except Damaged:
            continue
        with SummaryWriter(str(folder.joinpath(*path.parts[-5:-1]))) as writer:
            for row in history.to_dict("records"):
                for name, value in row.items():
                    if name != "epoch" and value == value:
                        writer.add_scalar(str(name), value, int(row["epoch"]))
        number += 1
    return number
