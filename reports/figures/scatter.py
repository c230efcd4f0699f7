"""Figure 2 of the paper with what was measured, and what it lacks: latency, learning curves, intervals."""

import itertools
from collections.abc import Mapping, Sequence
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

from reports.comparison.compare import DATASETS, Block, Row
from reports.evidence import Profile
from reports.figures.labels import Name, Point, write_names
from reports.figures.pictures import BLUE, INK, PAPER, READING, Picture, label, picture, style
from results.profiles import Spread

COLOURS = "cividis"  # made for colour-blind eyes; grows lighter with cost, so it survives a grey print
GFLOPS = LogNorm(0.04, 20.0)
PANEL = (3.6, 4.1)  # inches: two panels fill the text width of a two-column page
NAME_SIZE = 6.2  # points


@dataclass(frozen=True)
class Mark:
    """One number of one network: mIoU in percent over what it costs, with half-lengths of the error bars."""

    x: float
    miou: float
    gflops: float | None
    sd: float | None = None
    x_spread: tuple[float, float] | None = None


@dataclass(frozen=True)
class Pair:
    """What was claimed and what was measured of one network; either may be missing."""

    name: str
    published: Mark | None
    measured: Mark | None

    @property
    def marks(self) -> list[Mark]:
        return [mark for mark in (self.published, self.measured) if mark is not None]


def tradeoff(block: Block, name: str, title: str) -> Picture | None:
    """Parameters in millions against mIoU in percent, colour = GFLOPs; None where the block has nothing to draw."""
    pairs = [pair for row in block.rows if (pair := by_parameters(row, block.orientation)).marks]
    if not pairs:
        return None
    with style():
        figure, ax = _panel(pairs, title, "parameters (millions, log scale)")
        _draw(ax, pairs)
        caption = f"Parameters against mIoU, colour = GFLOPs. {_key(pairs, block)}"
        alt = f"Scatter plot of {len(pairs)} networks, parameters against mIoU: {_summary(pairs)}"
        return picture(figure, name, title, caption, alt)


def latency(block: Block, profile: Profile, device: str, name: str, title: str) -> Picture | None:
    """Latency at batch 1, measured on one machine's device, against mIoU, with the Pareto fronts."""
    measured = {row.network: row.latency_ms for row in profile.rows if row.device == device and row.latency_ms}
    rows = [row for row in block.rows if row.network in measured]
    pairs = [pair for row in rows if (pair := by_latency(row, measured[row.network], block.orientation)).marks]
    if not pairs:
        return None
    with style():
        figure, ax = _panel(pairs, title, f"latency of one image on {device.upper()} (ms, log scale)")
        fronts = _front(ax, [pair.published for pair in pairs], "--")
        fronts += _front(ax, [pair.measured for pair in pairs], "-")
        _draw(ax, pairs, fronts)
        staircase = (
            "Staircases are the Pareto fronts (dashed: published mIoU, solid: measured mIoU). " if fronts else ""
        )
        caption = f"Measured latency against mIoU, colour = GFLOPs, on {machine_words(profile, device)}. {staircase}"
        alt = f"Scatter plot of {len(pairs)} networks, latency against mIoU: {_summary(pairs)}"
        return picture(figure, name, title, caption + _key(pairs, block), alt)


def machine_words(profile: Profile, device: str) -> str:
    """The machine and how it was used, in words: latency is worth nothing without them."""
    machine, row = profile.machine, next(row for row in profile.rows if row.device == device)
    parts = [machine.name, machine.cpu or ""]
    if device != "cpu":
        parts.append(machine.device or device)
    if row.threads:
        parts.append(f"{row.threads} threads" if row.threads != 1 else "1 thread")
    parts.append(f"{row.size} px")
    if machine.torch:
        parts.append(f"torch {machine.torch}")
    return ", ".join(part for part in parts if part)


def by_parameters(row: Row, orientation: bool) -> Pair:
    """The published mark stands at the printed count, the measured one at ours, or at the other if one is missing."""
    params = row.counts.get("params_m")
    printed = params.printed if params else None
    counted = params.counted if params else None
    return Pair(label(row), _published(row, printed or counted, orientation), _measured(row, counted or printed))


def by_latency(row: Row, time: Spread, orientation: bool) -> Pair:
    """Both marks stand at the network's latency."""
    spread = (max(time.median - time.q25, 0.0), max(time.q75 - time.median, 0.0))
    published, measured = _published(row, time.median, orientation), _measured(row, time.median, spread)
    return Pair(label(row), published, measured)


def _published(row: Row, x: float | None, orientation: bool) -> Mark | None:
    """Nothing where the published number belongs to another data set."""
    claim = row.comparisons.get("miou")
    if orientation or x is None or claim is None or claim.published is None:
        return None
    gflops = row.counts.get("gflops")
    return Mark(x, 100 * claim.published, gflops.printed if gflops else None)


def _measured(row: Row, x: float | None, spread: tuple[float, float] | None = None) -> Mark | None:
    claim = row.comparisons.get("miou")
    if x is None or claim is None or claim.measured is None:
        return None
    gflops = row.counts.get("gflops")
    colour = (gflops.counted if gflops.counted is not None else gflops.printed) if gflops else None
    sd = None if claim.measured.sd is None else 100 * claim.measured.sd
    return Mark(x, 100 * claim.measured.mean, colour, sd, spread)


def _panel(pairs: Sequence[Pair], title: str, x_label: str) -> tuple[Figure, Axes]:
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
    if any(pair.name.endswith(READING) for pair in pairs):
        handles.append(Line2D([], [], linestyle="", label=f"{READING} our reading"))
    figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(0.0, 0.958),
        ncols=3,
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
    low = min(mark.miou - (mark.sd or 0) for mark in marks)
    high = max(mark.miou + (mark.sd or 0) for mark in marks)
    spread, room = np.log10(x.max() / x.min()), max(0.09 * (high - low), 0.4)
    ax.set_xlim(x.min() / 10 ** max(0.2 * spread, 0.2), x.max() * 10 ** max(0.1 * spread, 0.2))
    ax.set_ylim(low - room, high + room)
    narrow, wide = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.0), (1.0,)
    ax.xaxis.set_major_locator(LogLocator(subs=narrow if spread < 0.7 else (1.0, 2.0, 5.0) if spread < 1.3 else wide))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.grid(True, which="major")


def _draw(ax: Axes, pairs: Sequence[Pair], fronts: Sequence[tuple[Point, Point]] = ()) -> None:
    """Circles for published, diamonds for measured, a line between the two, and the names."""
    for pair in pairs:
        if pair.published and pair.measured:
            ends = [pair.published, pair.measured]
            ax.plot([end.x for end in ends], [end.miou for end in ends], color=INK, linewidth=0.6, alpha=0.55, zorder=2)
    for pair in pairs:
        if pair.measured:
            _error_bars(ax, pair.measured)
        for mark, shape in ((pair.published, "o"), (pair.measured, "D")):
            if mark:
                _mark(ax, mark, shape)
    marks = [(mark.x, mark.miou) for pair in pairs for mark in pair.marks]
    names = [Name(pair.name, pair.marks[-1].x, pair.marks[-1].miou) for pair in pairs]
    write_names(ax, names, marks, [*_lines(pairs), *fronts], NAME_SIZE, INK)


def _mark(ax: Axes, mark: Mark, shape: str) -> None:
    color = PAPER if mark.gflops is None else colormaps[COLOURS](GFLOPS(mark.gflops))
    size = 4.6 if shape == "o" else 4.4
    ax.plot(mark.x, mark.miou, shape, color=color, markeredgecolor=INK, markeredgewidth=0.6, markersize=size, zorder=4)


def _error_bars(ax: Axes, mark: Mark) -> None:
    across = None if mark.x_spread is None else [[mark.x_spread[0]], [mark.x_spread[1]]]
    ax.errorbar(
        mark.x, mark.miou, yerr=mark.sd, xerr=across, color=INK, elinewidth=0.6, capsize=1.6, capthick=0.6, zorder=3
    )


def _lines(pairs: Sequence[Pair]) -> list[tuple[Point, Point]]:
    """The connecting lines and error bars, which names should not cover."""
    lines = []
    for pair in pairs:
        if pair.published and pair.measured:
            lines.append(((pair.published.x, pair.published.miou), (pair.measured.x, pair.measured.miou)))
        if pair.measured and pair.measured.sd:
            mark, sd = pair.measured, pair.measured.sd
            lines.append(((mark.x, mark.miou - sd), (mark.x, mark.miou + sd)))
        if pair.measured and pair.measured.x_spread:
            mark, (left, right) = pair.measured, pair.measured.x_spread
            lines.append(((mark.x - left, mark.miou), (mark.x + right, mark.miou)))
    return lines


def pareto(marks: Sequence[Mark]) -> list[Mark]:
    """Those that no other beats in both cost and mIoU, from cheap to dear."""
    front: list[Mark] = []
    for mark in sorted(marks, key=lambda mark: (mark.x, -mark.miou)):
        if not front or mark.miou > front[-1].miou:
            front.append(mark)
    return front


def _front(ax: Axes, marks: Sequence[Mark | None], line: str) -> list[tuple[Point, Point]]:
    """Draw the Pareto front as a staircase to the plot's right edge, where there is one; its steps."""
    known = [mark for mark in marks if mark is not None]
    if len(known) < 2:
        return []
    front = pareto(known)
    corners = [(front[0].x, front[0].miou)]
    for mark in front[1:]:
        corners += [(mark.x, corners[-1][1]), (mark.x, mark.miou)]
    corners.append((ax.get_xlim()[1], corners[-1][1]))
    ax.plot(*zip(*corners, strict=True), color=INK, linestyle=line, linewidth=0.9, alpha=0.5, zorder=1)
    return list(itertools.pairwise(corners))


def _key(pairs: Sequence[Pair], block: Block) -> str:
    """How to read the marks, and what is missing, in sentences."""
    sentences = ["Circles are published values, diamonds measured means over seeds with standard deviation."]
    if any(len(pair.marks) == 2 for pair in pairs):
        sentences.append("A line joins the two of one network.")
    if not any(pair.measured for pair in pairs):
        where = DATASETS.get(block.dataset, block.dataset)
        sentences.append(f"Nothing is measured yet under the recipe “{block.recipe}” on {where}.")
    if block.orientation:
        sentences.append("No published values exist for this data set.")
    if any(pair.name.endswith(READING) for pair in pairs):
        sentences.append(f"{READING} marks networks that are our reading of the paper.")
    if any(mark.gflops is None for pair in pairs for mark in pair.marks):
        sentences.append("An unfilled mark has no counted GFLOPs.")
    return " ".join(sentences)


def _summary(pairs: Sequence[Pair]) -> str:
    """The ends of the scale in words, for those who do not see the picture."""
    kind = "measured" if any(pair.measured for pair in pairs) else "published"
    known = [(getattr(pair, kind).miou, pair.name) for pair in pairs if getattr(pair, kind)]
    (low, worst), (high, best) = min(known), max(known)
    return f"the highest {kind} mIoU is {high:.2f} % ({best}), the lowest {low:.2f} % ({worst})."


def intervals(block: Block, reach: Mapping[str, tuple[float, float]], name: str, title: str) -> Picture | None:
    """Measured mIoU of each network with its seeds and its interval, beside the published value.

    `reach`: network -> ends of the interval as fractions. None where no network of the block has one.
    """
    rows = [row for row in block.rows if row.network in reach]
    if not rows:
        return None
    with style():
        figure = Figure(figsize=(PANEL[0], 0.7 + 0.2 * len(rows)))
        height, left = figure.get_figheight(), 0.17 + 0.0125 * max(len(label(row)) for row in rows)
        ax = figure.add_axes((left, 0.36 / height, 0.97 - left, 1 - 0.62 / height))
        figure.text(0.012, 1 - 0.055 / height, title, va="top", fontsize=8, fontweight="bold")
        for place, row in enumerate(rows):
            _interval(ax, place, row, reach[row.network], block.orientation)
        ax.set_yticks(range(len(rows)), [label(row) for row in rows], fontsize=NAME_SIZE)
        ax.margins(x=0.03)
        ax.set(ylim=(len(rows) - 0.4, -0.6), xlabel="pooled mIoU of the test split (%)")
        ax.tick_params(axis="y", length=0)
        ax.grid(True, axis="x")
        caption = "Diamonds: mean over seeds; bars: 95 % interval over images and seeds; ticks: single seeds"
        claimed = "" if block.orientation else "; circles: published, with the tolerance of the verdict in grey"
        alt = f"Measured mIoU with 95 % intervals of {len(rows)} networks, in the order of the table."
        return picture(figure, name, title, f"{caption}{claimed}.", alt)


def _interval(ax: Axes, place: int, row: Row, reach: tuple[float, float], orientation: bool) -> None:
    """One line of the interval plot."""
    claim = row.comparisons["miou"]
    if claim.published is not None and not orientation:
        low, width = 100 * (claim.published - claim.tolerance), 200 * claim.tolerance
        bar = ax.barh(place, width, left=low, height=0.62, color=INK, alpha=0.1, linewidth=0, zorder=1)
        bar.patches[0].sticky_edges.x.clear()
        ax.plot(
            100 * claim.published, place, "o", color=PAPER, markeredgecolor=INK, markeredgewidth=0.7, markersize=4.6
        )
    ax.plot([100 * end for end in reach], [place, place], color=BLUE, linewidth=1.4, zorder=3)
    seeds = [100 * run.metrics["miou"] for run in row.runs]
    ax.plot(seeds, [place] * len(seeds), "|", color=INK, markersize=5, markeredgewidth=0.6, zorder=4)
    if claim.measured:
        mean = 100 * claim.measured.mean
        ax.plot(mean, place, "D", color=BLUE, markeredgecolor=INK, markeredgewidth=0.6, markersize=4, zorder=5)
