"""What scatter plots of networks share: marks of published and measured mIoU, the panel, names and the caption."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from reports.comparison.join import Block, Row
from reports.comparison.names import DAGGER, DOUBLE_DAGGER, NOT_IN_THE_PAPER, dataset_label
from reports.figures.labels import Name, Point, write_names
from reports.figures.style import INK, NAME_SIZE, PANEL, PAPER

COLOURS = "cividis"  # made for colour-blind eyes; grows lighter with cost, so it survives a grey copy
GFLOPS = LogNorm(0.04, 20.0)


@dataclass(frozen=True)
class Mark:
    """One number of one network: mIoU in percent over what it costs, with half-lengths of the error bars."""

    x: float
    iou: float
    gflops: float | None
    sd: float | None = None
    x_spread: tuple[float, float] | None = None


@dataclass(frozen=True)
class Pair:
    """What was published and what was measured of one network; either may be missing."""

    name: str
    interpretation: bool
    published: Mark | None
    measured: Mark | None
    beyond: bool = False

    @property
    def marks(self) -> list[Mark]:
        return [mark for mark in (self.published, self.measured) if mark is not None]


def pair_of(
    row: Row,
    published_x: float | None,
    measured_x: float | None,
    reference_only: bool,
    spread: tuple[float, float] | None = None,
) -> Pair:
    """Both marks of a row at the given costs. Nothing is published where the number belongs to another data set.

    `spread`: half-lengths of the error bar of the measured cost.
    """
    published = None if reference_only else _published(row, published_x)
    return Pair(row.marked_label, row.interpretation, published, _measured(row, measured_x, spread), row.beyond)


def _published(row: Row, x: float | None) -> Mark | None:
    claim = row.comparisons.get("iou")
    if x is None or claim is None or claim.published is None:
        return None
    gflops = row.counts.get("gflops")
    return Mark(x, 100 * claim.published, gflops.published if gflops else None)


def _measured(row: Row, x: float | None, spread: tuple[float, float] | None = None) -> Mark | None:
    claim = row.comparisons.get("iou")
    if x is None or claim is None or claim.measured is None:
        return None
    gflops = row.counts.get("gflops")
    colour = (gflops.counted if gflops.counted is not None else gflops.published) if gflops else None
    sd = None if claim.measured.sd is None else 100 * claim.measured.sd
    return Mark(x, 100 * claim.measured.mean, colour, sd, spread)


def panel(pairs: Sequence[Pair], title: str, x_label: str) -> tuple[Figure, Axes]:
    """An empty plot with its limits, its colour bar and its legend."""
    figure = Figure(figsize=PANEL)
    FigureCanvasAgg(figure)  # measures texts a hundred times faster than a figure that has no canvas of its own
    ax = figure.add_axes((0.135, 0.105, 0.715, 0.775))
    ax.set(xscale="log", xlabel=x_label, ylabel="mIoU (%)")
    figure.text(0.012, 0.985, title, va="top", fontsize=8, fontweight="bold")
    _limits(ax, pairs)
    bar = figure.colorbar(ScalarMappable(GFLOPS, COLOURS), cax=figure.add_axes((0.875, 0.105, 0.022, 0.775)))
    bar.set_ticks([0.05, 0.1, 0.5, 1, 5, 10], labels=["0.05", "0.1", "0.5", "1", "5", "10"])
    bar.ax.minorticks_off()
    bar.outline.set_visible(False)
    bar.ax.set_title("GFLOPs", fontsize=6.5, fontweight="normal", loc="center", pad=4)
    handles = [_handle("o", "published"), _handle("D", "measured, mean ± sd")]
    if any(pair.interpretation for pair in pairs):
        handles.append(Line2D([], [], linestyle="", label=f"{DAGGER} our interpretation"))
    if any(pair.beyond for pair in pairs):
        handles.append(Line2D([], [], linestyle="", label=f"{DOUBLE_DAGGER} {NOT_IN_THE_PAPER.lower()}"))
    figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(0.0, 0.958),
        ncols=4,
        handlelength=1.2,
        handletextpad=0.2,
        columnspacing=1.0,
    )
    return figure, ax


def _handle(marker: str, words: str) -> Line2D:
    return Line2D([], [], linestyle="", marker=marker, color=PAPER, markeredgecolor=INK, markersize=4.5, label=words)


def _limits(ax: Axes, pairs: Sequence[Pair]) -> None:
    """Room around all marks, wide to the left, where the smallest networks crowd."""
    marks = [mark for pair in pairs for mark in pair.marks]
    x = np.array([mark.x for mark in marks])
    low = min(mark.iou - (mark.sd or 0) for mark in marks)
    high = max(mark.iou + (mark.sd or 0) for mark in marks)
    spread, room = np.log10(x.max() / x.min()), max(0.09 * (high - low), 0.4)
    ax.set_xlim(x.min() / 10 ** max(0.2 * spread, 0.2), x.max() * 10 ** max(0.1 * spread, 0.2))
    ax.set_ylim(low - room, high + room)
    narrow, wide = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.0), (1.0,)
    ax.xaxis.set_major_locator(LogLocator(subs=narrow if spread < 0.7 else (1.0, 2.0, 5.0) if spread < 1.3 else wide))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.grid(True, which="major")


def draw(ax: Axes, pairs: Sequence[Pair], fronts: Sequence[tuple[Point, Point]] = ()) -> None:
    """Circles for published, diamonds for measured, a line between the two, and the names."""
    for pair in pairs:
        if pair.published and pair.measured:
            ends = [pair.published, pair.measured]
            ax.plot([end.x for end in ends], [end.iou for end in ends], color=INK, linewidth=0.6, alpha=0.55, zorder=2)
    for pair in pairs:
        if pair.measured:
            _error_bars(ax, pair.measured)
        for mark, shape in ((pair.published, "o"), (pair.measured, "D")):
            if mark:
                _mark(ax, mark, shape)
    marks = [(mark.x, mark.iou) for pair in pairs for mark in pair.marks]
    names = [Name(pair.name, pair.marks[-1].x, pair.marks[-1].iou) for pair in pairs]
    write_names(ax, names, marks, [*_lines(pairs), *fronts], NAME_SIZE, INK)


def _mark(ax: Axes, mark: Mark, shape: str) -> None:
    color = PAPER if mark.gflops is None else colormaps[COLOURS](GFLOPS(mark.gflops))
    size = 4.6 if shape == "o" else 4.4
    ax.plot(mark.x, mark.iou, shape, color=color, markeredgecolor=INK, markeredgewidth=0.6, markersize=size, zorder=4)


def _error_bars(ax: Axes, mark: Mark) -> None:
    across = None if mark.x_spread is None else [[mark.x_spread[0]], [mark.x_spread[1]]]
    ax.errorbar(
        mark.x, mark.iou, yerr=mark.sd, xerr=across, color=INK, elinewidth=0.6, capsize=1.6, capthick=0.6, zorder=3
    )


def _lines(pairs: Sequence[Pair]) -> list[tuple[Point, Point]]:
    """The connecting lines and error bars, which names should not cover."""
    lines = []
    for pair in pairs:
        if pair.published and pair.measured:
            lines.append(((pair.published.x, pair.published.iou), (pair.measured.x, pair.measured.iou)))
        if pair.measured and pair.measured.sd:
            mark, sd = pair.measured, pair.measured.sd
            lines.append(((mark.x, mark.iou - sd), (mark.x, mark.iou + sd)))
        if pair.measured and pair.measured.x_spread:
            mark, (left, right) = pair.measured, pair.measured.x_spread
            lines.append(((mark.x - left, mark.iou), (mark.x + right, mark.iou)))
    return lines


def key(pairs: Sequence[Pair], block: Block) -> str:
    """How to read the marks, and what is missing, in sentences."""
    sentences = ["Circles are published values, diamonds measured means over seeds with standard deviation."]
    if any(len(pair.marks) == 2 for pair in pairs):
        sentences.append("A line joins the two of one network.")
    if not any(pair.measured for pair in pairs):
        where = dataset_label(block.dataset)
        sentences.append(f"Nothing is measured yet under the recipe “{block.recipe}” on {where}.")
    if block.reference_only:
        sentences.append("No published values exist for this data set.")
    if any(pair.interpretation for pair in pairs):
        sentences.append(f"{DAGGER} marks networks that are our interpretation of the paper.")
    if any(pair.beyond for pair in pairs):
        sentences.append(f"{DOUBLE_DAGGER} marks networks that are not in the paper.")
    if any(mark.gflops is None for pair in pairs for mark in pair.marks):
        sentences.append("An unfilled mark has no counted GFLOPs.")
    return " ".join(sentences)


def summary(pairs: Sequence[Pair]) -> str:
    """The ends of the scale in words, for those who do not see the picture."""
    kind = "measured" if any(pair.measured for pair in pairs) else "published"
    known = [(getattr(pair, kind).iou, pair.name) for pair in pairs if getattr(pair, kind)]
    (low, worst), (high, best) = min(known), max(known)
    return f"the highest {kind} mIoU is {high:.2f} % ({best}), the lowest {low:.2f} % ({worst})."
