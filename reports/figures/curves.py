"""Learning curves of all networks of a block, from history.csv: losses above, validation IoU below."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from reports.comparison.join import Block
from reports.figures.picture import Picture, picture
from reports.figures.style import BLUE, INK, ORANGE, style
from results.catalogue import NETWORKS
from results.errors import Damaged, Problem
from results.runs import Run

COLUMNS = ("epoch", "train_loss", "validation_loss", "validation_iou")
POINTS = 100  # along the epoch axis: longer histories are averaged in equal parts
ACROSS = 4  # networks in one line
PLACE = (1.72, 1.88)  # inches that one network takes
MARGIN, HEADER = 0.55, 0.36  # inches to the left of the first panel and above all


@dataclass(frozen=True)
class History:
    """One network: (P,) epochs, and (P,) mean, low and high over seeds and the epochs of a part, by column."""

    name: str
    epoch: np.ndarray
    values: Mapping[str, tuple[np.ndarray, ...]]
    best: tuple[int, ...]
    own_loss: str = ""
    """What the training loss is where that is not the recipe's alone, and on another scale therefore."""


def histories(block: Block) -> tuple[list[History], list[Problem]]:
    """The readable histories of a block, and what is wrong with the others."""
    found, problems = [], []
    for row in block.rows:
        tables, runs = [], []
        for run in row.runs:
            try:
                tables.append(_read(run))
                runs.append(run)
            except Damaged as damage:
                message = f"no learning curve can be drawn from it ({damage.message})"
                problems.append(Problem(damage.path, message, damage.cure))
        if tables:
            own = NETWORKS[row.network].own_loss if row.network in NETWORKS else ""
            found.append(replace(_history(row.marked_label, tables, runs), own_loss=own))
    return found, problems


def _read(run: Run) -> pd.DataFrame:
    """Raises Damaged where the history is missing, damaged or empty."""
    table = run.history()[list(COLUMNS)].astype(float)
    return table.set_index("epoch")


def _history(name: str, tables: Sequence[pd.DataFrame], runs: Sequence[Run]) -> History:
    epochs = np.unique(np.concatenate([table.index.to_numpy() for table in tables]))
    starts = np.array([part[0] for part in np.array_split(np.arange(len(epochs)), min(POINTS, len(epochs)))])
    values = {}
    for column in COLUMNS[1:]:
        over_seeds = pd.concat([table[column] for table in tables], axis=1).reindex(epochs).to_numpy()
        known = np.isfinite(over_seeds)
        total = np.add.reduceat(np.where(known, over_seeds, 0).sum(axis=1), starts)
        number = np.add.reduceat(known.sum(axis=1), starts)
        mean = np.divide(total, number, out=np.full(len(starts), np.nan), where=number > 0)
        low = np.minimum.reduceat(np.where(known, over_seeds, np.inf).min(axis=1), starts)
        high = np.maximum.reduceat(np.where(known, over_seeds, -np.inf).max(axis=1), starts)
        values[column] = (mean, np.where(number > 0, low, np.nan), np.where(number > 0, high, np.nan))
    sizes = np.diff(np.append(starts, len(epochs)))
    best = tuple(run.report.best_epoch or 0 for run in runs)
    return History(name, np.add.reduceat(epochs, starts) / sizes, values, best)


def curves(found: Sequence[History], name: str, title: str) -> Picture | None:
    """Small multiples with common axes: a pair of panels for each network."""
    if not found:
        return None
    across, lines = min(ACROSS, len(found)), -(-len(found) // ACROSS)
    width, height = max(PLACE[0] * across + MARGIN, 3.7), HEADER + PLACE[1] * lines
    with style():
        figure = Figure(figsize=(width, height))
        ax = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(0, height))
        ax.axis("off")
        ax.text(0.05, height - 0.06, title, va="top", fontsize=8, fontweight="bold")
        losses, iou = _common_limits(found)
        epochs = (0.0, max(history.epoch[-1] for history in found))
        for place, history in enumerate(found):
            left = MARGIN + PLACE[0] * (place % across)
            bottom = PLACE[1] * (lines - 1 - place // across) + 0.36
            first, last = place % across == 0, place + across >= len(found)
            lower = _Panel(ax, (left, bottom, PLACE[0] - 0.14, 0.68), epochs, iou)
            upper = _Panel(ax, (left, bottom + 0.76, PLACE[0] - 0.14, 0.7), epochs, losses)
            _losses(upper, history, first, _comparable(history, found))
            _iou(lower, history, first, last)
        _legend(figure)
        caption = (
            "Lines: mean over seeds; bands: range over seeds. Upper panels: training loss (dashed) and validation loss "
            "(solid), ticks at the epochs that were selected; lower panels: IoU on the validation split. All panels "
            "share their axes."
        )
        if others := [history for history in found if not _comparable(history, found)]:
            named = "; ".join(f"{history.name}: {history.own_loss}" for history in others)
            caption += f" Training losses of another kind stand on the networks' own pages ({named})."
        alt = f"Learning curves of {len(found)} networks: losses and validation IoU over epochs."
        return picture(figure, name, title, caption, alt, wide=len(found) > 2)


def _comparable(history: History, found: Sequence[History]) -> bool:
    """Whether its training loss may share an axis with those of the others."""
    return len(found) == 1 or not history.own_loss


def _common_limits(found: Sequence[History]) -> tuple[tuple[float, float], tuple[float, float]]:
    """Ranges of loss and of IoU in percent that show all but the wildest one value in fifty, with some air."""
    losses = np.concatenate(
        [
            line
            for h in found
            for name in COLUMNS[1:3]
            if name != "train_loss" or _comparable(h, found)
            for line in h.values[name]
        ]
    )
    iou = 100 * np.concatenate([line for h in found for line in h.values["validation_iou"]])
    (loss_low, loss_high), (iou_low, iou_high) = np.nanpercentile(losses, (0, 98)), np.nanpercentile(iou, (2, 100))
    loss_air, iou_air = 0.15 * (loss_high - loss_low) + 1e-6, 0.1 * (iou_high - iou_low) + 1e-6
    return (loss_low - loss_air, loss_high + loss_air), (iou_low - iou_air, iou_high + iou_air)


class _Panel:
    """A small plot on a sheet whose unit is the inch. Sixty real axes would take several seconds; these take none."""

    def __init__(
        self, sheet: Axes, box: tuple[float, float, float, float], x: tuple[float, float], y: tuple[float, float]
    ) -> None:
        self.sheet, self.x, self.y = sheet, x, y
        self.left, self.bottom, self.width, self.height = box
        self.frame = Rectangle((self.left, self.bottom), self.width, self.height, transform=sheet.transData)
        self.ticks = [MaxNLocator(3, prune=prune).tick_values(*ends) for ends, prune in ((x, None), (y, "both"))]
        spine = [
            (self.left, self.bottom + self.height),
            (self.left, self.bottom),
            (self.left + self.width, self.bottom),
        ]
        sheet.plot(*zip(*spine, strict=True), color=INK, linewidth=0.6)
        across = [[self.place(value, y[0]), self.place(value, y[1])] for value in self._within(0)]
        along = [[self.place(x[0], value), self.place(x[1], value)] for value in self._within(1)]
        sheet.add_collection(LineCollection(across + along, colors=INK, linewidths=0.5, alpha=0.12))

    def _within(self, axis: int) -> list[float]:
        low, high = (self.x, self.y)[axis]
        return [float(value) for value in self.ticks[axis] if low <= value <= high]

    def place(self, x: Any, y: Any) -> tuple[Any, Any]:
        """Data to inches, for numbers and arrays alike."""
        across, up = (x - self.x[0]) / (self.x[1] - self.x[0]), (y - self.y[0]) / (self.y[1] - self.y[0])
        return self.left + self.width * across, self.bottom + self.height * up

    def curve(self, x: np.ndarray, values: tuple[np.ndarray, ...], color: str, line: str) -> None:
        """Mean, low and high over x."""
        mean, low, high = (self.place(x, value)[1] for value in values)
        across = self.place(x, 0.0)[0]
        band = self.sheet.fill_between(across, low, high, color=color, alpha=0.22, linewidth=0)
        (drawn,) = self.sheet.plot(across, mean, line, color=color)
        for artist in (band, drawn):
            artist.set_clip_path(self.frame)

    def label_x(self, words: str) -> None:
        for value in self._within(0):
            self.sheet.text(
                self.place(value, 0)[0], self.bottom - 0.04, f"{value:g}", ha="center", va="top", fontsize=6.2
            )
        if words:
            self.sheet.text(self.left + self.width / 2, self.bottom - 0.18, words, ha="center", va="top")

    def label_y(self, words: str) -> None:
        for value in self._within(1):
            self.sheet.text(
                self.left - 0.04, self.place(0, value)[1], f"{value:g}", ha="right", va="center", fontsize=6.2
            )
        middle = self.bottom + self.height / 2
        self.sheet.text(self.left - 0.4, middle, words, rotation=90, ha="center", va="center")


def _losses(panel: _Panel, history: History, first: bool, training: bool) -> None:
    if training:
        panel.curve(history.epoch, history.values["train_loss"], ORANGE, "--")
    panel.curve(history.epoch, history.values["validation_loss"], BLUE, "-")
    selected = panel.place(np.array(history.best, dtype=float), panel.y[0])[0]
    foot = [panel.bottom + 0.05] * len(history.best)
    panel.sheet.plot(selected, foot, "|", color=INK, markersize=6, markeredgewidth=0.8)
    title = panel.bottom + panel.height + 0.04
    panel.sheet.text(panel.left, title, history.name, va="bottom", fontsize=6.8, fontweight="bold")
    if first:
        panel.label_y("loss")


def _iou(panel: _Panel, history: History, first: bool, last: bool) -> None:
    panel.curve(history.epoch, tuple(100 * line for line in history.values["validation_iou"]), BLUE, "-")
    panel.label_x("epoch" if last else "")
    if first:
        panel.label_y("IoU (%)")


def _legend(figure: Figure) -> None:
    handles = [
        Line2D([], [], color=ORANGE, linestyle="--", label="training"),
        Line2D([], [], color=BLUE, label="validation"),
        Line2D([], [], linestyle="", marker="|", color=INK, label="selected epoch"),
    ]
    figure.legend(handles=handles, loc="upper right", ncols=3, handlelength=2.2, columnspacing=1.2, borderaxespad=0.3)
