"""Measured pooled IoU of each network with its seeds and its interval, beside the published value."""

from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.comparison.join import Block
from reports.figures.picture import Picture, picture
from reports.figures.style import BLUE, INK, NAME_SIZE, PANEL, PAPER, style
from reports.statistics.block import RunBlock
from results.metrics import metric_named

MIOU = metric_named("iou")


@dataclass(frozen=True)
class Line:
    """What is drawn of one network, as fractions. `published` is None where it belongs to another data set."""

    label: str
    mean: float
    low: float
    high: float
    seeds: tuple[float, ...]
    published: float | None
    tolerance: float


def lines(block: Block, runs: RunBlock) -> list[Line]:
    """One per measured network, in the order of the block's rows; `runs`: those of the same data set and recipe."""
    known = {each.network: each for each in runs.intervals(MIOU)}
    found = []
    for row in (row for row in block.rows if row.network in known):
        interval, claim = known[row.network], row.comparisons[MIOU.name]
        found.append(
            Line(
                label=row.marked_label,
                mean=interval.mean,
                low=interval.low,
                high=interval.high,
                seeds=tuple(run.metrics[MIOU.name] for run in row.runs),
                published=None if block.reference_only else claim.published,
                tolerance=claim.tolerance,
            )
        )
    return found


def intervals(block: Block, runs: RunBlock | None, name: str, title: str) -> Picture | None:
    """None where nothing of the block is measured."""
    drawn = lines(block, runs) if runs else []
    if not drawn:
        return None
    with style():
        figure = Figure(figsize=(PANEL[0], 0.7 + 0.2 * len(drawn)))
        height, left = figure.get_figheight(), 0.17 + 0.0125 * max(len(line.label) for line in drawn)
        ax = figure.add_axes((left, 0.36 / height, 0.97 - left, 1 - 0.62 / height))
        figure.text(0.012, 1 - 0.055 / height, title, va="top", fontsize=8, fontweight="bold")
        for place, line in enumerate(drawn):
            _draw(ax, place, line)
        ax.set_yticks(range(len(drawn)), [line.label for line in drawn], fontsize=NAME_SIZE)
        ax.margins(x=0.03)
        ax.set(ylim=(len(drawn) - 0.4, -0.6), xlabel="pooled IoU of the test split (%)")
        ax.tick_params(axis="y", length=0)
        ax.grid(True, axis="x")
        caption = "Diamonds: mean over seeds; bars: 95 % interval over images and seeds; ticks: single seeds"
        claimed = "" if block.reference_only else "; circles: published, with the tolerance of the verdict in grey"
        alt = f"Measured IoU with 95 % intervals of {len(drawn)} networks, in the order of the table."
        return picture(figure, name, title, f"{caption}{claimed}.", alt)


def _draw(ax: Axes, place: int, line: Line) -> None:
    if line.published is not None:
        low, width = 100 * (line.published - line.tolerance), 200 * line.tolerance
        bar = ax.barh(place, width, left=low, height=0.62, color=INK, alpha=0.1, linewidth=0, zorder=1)
        bar.patches[0].sticky_edges.x.clear()
        ax.plot(100 * line.published, place, "o", color=PAPER, markeredgecolor=INK, markeredgewidth=0.7, markersize=4.6)
    ax.plot([100 * line.low, 100 * line.high], [place, place], color=BLUE, linewidth=1.4, zorder=3)
    seeds = [100 * seed for seed in line.seeds]
    ax.plot(seeds, [place] * len(seeds), "|", color=INK, markersize=5, markeredgewidth=0.6, zorder=4)
    mean = 100 * line.mean
    ax.plot(mean, place, "D", color=BLUE, markeredgecolor=INK, markeredgewidth=0.6, markersize=4, zorder=5)
