"""Latency against mIoU on one machine, with the Pareto fronts of what was published and of what was measured."""

import itertools
from collections.abc import Sequence

from matplotlib.axes import Axes

from reports.comparison.join import Block, Row
from reports.evidence import Profile
from reports.figures.labels import Point
from reports.figures.picture import Picture, picture
from reports.figures.scatter import Mark, Pair, draw, key, pair_of, panel, summary
from reports.figures.style import INK, style
from results.profiles import Spread


def latency(block: Block, profile: Profile, device: str, name: str, title: str) -> Picture | None:
    """Latency at batch 1, measured on one machine's device, against mIoU, with the Pareto fronts."""
    measured = {row.network: row.latency_ms for row in profile.rows if row.device == device and row.latency_ms}
    rows = [row for row in block.rows if row.network in measured]
    pairs = [pair for row in rows if (pair := by_latency(row, measured[row.network], block.reference_only)).marks]
    if not pairs:
        return None
    with style():
        figure, ax = panel(pairs, title, f"latency of one image on {device.upper()} (ms, log scale)")
        fronts = _front(ax, [pair.published for pair in pairs], "--")
        fronts += _front(ax, [pair.measured for pair in pairs], "-")
        draw(ax, pairs, fronts)
        staircase = (
            "Staircases are the Pareto fronts (dashed: published mIoU, solid: measured mIoU). " if fronts else ""
        )
        caption = f"Measured latency against mIoU, colour = GFLOPs, on {machine_words(profile, device)}. {staircase}"
        alt = f"Scatter plot of {len(pairs)} networks, latency against mIoU: {summary(pairs)}"
        return picture(figure, name, title, caption + key(pairs, block), alt)


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


def by_latency(row: Row, time: Spread, reference_only: bool) -> Pair:
    """Both marks stand at the network's latency."""
    spread = (max(time.median - time.q25, 0.0), max(time.q75 - time.median, 0.0))
    return pair_of(row, time.median, time.median, reference_only, spread)


def pareto(marks: Sequence[Mark]) -> list[Mark]:
    """Those that no other beats in both cost and mIoU, from cheap to dear."""
    front: list[Mark] = []
    for mark in sorted(marks, key=lambda mark: (mark.x, -mark.iou)):
        if not front or mark.iou > front[-1].iou:
            front.append(mark)
    return front


def _front(ax: Axes, marks: Sequence[Mark | None], line: str) -> list[tuple[Point, Point]]:
    """Draw the Pareto front as a staircase to the plot's right edge, where there is one; its steps."""
    known = [mark for mark in marks if mark is not None]
    if len(known) < 2:
        return []
    front = pareto(known)
    corners = [(front[0].x, front[0].iou)]
    for mark in front[1:]:
        corners += [(mark.x, corners[-1][1]), (mark.x, mark.iou)]
    corners.append((ax.get_xlim()[1], corners[-1][1]))
    ax.plot(*zip(*corners, strict=True), color=INK, linestyle=line, linewidth=0.9, alpha=0.5, zorder=1)
    return list(itertools.pairwise(corners))
