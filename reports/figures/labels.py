"""Names beside the marks of a scatter plot so that no name covers another name or a mark.

Every name tries the same ring of places around its mark, nearest first, and takes the cheapest one; a few rounds let
early names make room for late ones. Nothing is drawn at random, so the same points always give the same picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.text import Text

ROUNDS = 5  # of improvement, unless all names stand still earlier
RADII = (5.0, 8.0, 12.0, 17.0, 23.0, 30.0, 38.0, 48.0, 60.0, 75.0)  # points from the mark's centre to the name's box
DIRECTIONS = tuple(np.deg2rad((0, 180, 40, -40, 140, -140, 90, -90, 20, -20, 160, -160, 65, -65, 115, -115)))
MARK = 3.5  # points: half the side of the square that a mark is taken for
LINE = 1.5  # points: half the side of the squares that a line is taken for
LEADER_FROM = 8.5  # points: a name farther away than this gets a line to its mark
COVERING = 1e4  # cost of covering something with all of a name, against about one for each point of distance
CROSSING = 40.0  # cost of a leader's sample (there are eight) that lies on another name or mark
MISREAD = 15.0  # cost of standing nearer to another mark than to one's own
MARGIN = 0.7  # points of air around a name
Box = np.ndarray  # (4,): left, bottom, right, top in points
Point = tuple[float, float]


@dataclass(frozen=True)
class Name:
    """What to write beside the mark at (x, y) in data units."""

    text: str
    x: float
    y: float


def write_names(
    ax: Axes,
    names: Sequence[Name],
    marks: Sequence[Point],
    lines: Sequence[tuple[Point, Point]],
    size: float,
    color: str,
) -> list[Text]:
    """Write names into `ax` clear of each other, of all `marks` (those of the names belong to them too) and of `lines`.

    Marks and the ends of lines are in data units; the limits and scales of `ax` must be final. `size` is in points.
    Returns the texts in the order of `names`.
    """
    scale = 72.0 / ax.figure.dpi

    def in_points(point: Point) -> np.ndarray:
        return ax.transData.transform(point) * scale

    anchors = [in_points((name.x, name.y)) for name in names]
    sizes = [_size_of(ax, name.text, size) * scale for name in names]
    drawn = [box for line in lines for box in _along(in_points(line[0]), in_points(line[1]))]
    frame = np.array(ax.get_window_extent().extents) * scale
    places = _arrange(anchors, sizes, [in_points(mark) for mark in marks], drawn, frame)
    return [_write(ax, *placed, size, color) for placed in zip(names, anchors, places, strict=True)]


def _size_of(ax: Axes, text: str, size: float) -> np.ndarray:
    """(2,) width and height of a text, in pixels."""
    trial = ax.text(0.5, 0.5, text, fontsize=size, va="bottom", transform=ax.transAxes)
    extent = np.array(trial.get_window_extent().size)
    trial.remove()
    return extent


def _around(center: np.ndarray, half: float) -> Box:
    return np.concatenate([center - half, center + half])


def _along(start: np.ndarray, end: np.ndarray) -> list[Box]:
    """Small boxes on a line, every six points."""
    steps = max(int(np.hypot(*(end - start)) / 6), 1)
    return [_around(start + (end - start) * share, LINE) for share in np.linspace(0, 1, steps + 1)]


def _arrange(
    anchors: list[np.ndarray], sizes: list[np.ndarray], marks: list[np.ndarray], lines: list[Box], frame: Box
) -> list[Box]:
    """One box for each name: the cheapest place for it, given where the others are."""
    dots = np.array([_around(mark, MARK) for mark in marks])
    drawn = np.array(lines).reshape(-1, 4)
    rings = [_Ring(anchor, size) for anchor, size in zip(anchors, sizes, strict=True)]
    fixed = [
        ring.prices
        + ring.misread_as(marks)
        + ring.covering(drawn)
        + ring.covering(dots)
        + ring.crossing(dots)
        + ring.outside(frame)
        for ring in rings
    ]
    chosen: dict[int, int] = {}
    for _ in range(ROUNDS):
        before = dict(chosen)
        for i, ring in enumerate(rings):
            others = [(rings[j], place) for j, place in chosen.items() if j != i]
            names = np.array([other.boxes[place] for other, place in others]).reshape(-1, 4)
            leaders = np.concatenate([np.empty((0, 4)), *(other.leader_boxes(place) for other, place in others)])
            moving = ring.covering(names) + ring.crossing(names) + ring.covering(leaders)
            chosen[i] = int(np.argmin(fixed[i] + moving))
        if chosen == before:
            break
    return [ring.boxes[chosen[i]] for i, ring in enumerate(rings)]


class _Ring:
    """The K places that one name may take. All lengths in points.

    boxes (K, 4); prices (K,): distance first, then the order of DIRECTIONS; gaps (K,) from mark to box;
    leaders (K, 8, 2): samples of the line between the two, NaN where the box is too near to need one.
    """

    def __init__(self, anchor: np.ndarray, size: np.ndarray) -> None:
        directions = np.stack([np.cos(DIRECTIONS), np.sin(DIRECTIONS)], axis=1)
        offsets = np.array(RADII)[:, None, None] * directions + np.sign(directions.round(6)) * size / 2
        centers = anchor + offsets.reshape(-1, 2)
        self.anchor = anchor
        self.boxes = np.concatenate([centers - size / 2, centers + size / 2], axis=1)
        self.prices = (np.array(RADII)[:, None] + 0.2 * np.arange(len(DIRECTIONS))).ravel()
        self.gaps = _gaps(self.boxes, anchor)
        nearest = np.clip(anchor, self.boxes[:, :2], self.boxes[:, 2:])
        self.leaders = anchor + (nearest - anchor)[:, None] * np.linspace(0.1, 0.9, 8)[:, None]
        self.leaders[self.gaps <= LEADER_FROM] = np.nan

    def covering(self, others: np.ndarray) -> np.ndarray:
        """(K,) cost of covering (M, 4) boxes with the name."""
        low = np.maximum(self.boxes[:, None, :2] - MARGIN, others[:, :2])
        high = np.minimum(self.boxes[:, None, 2:] + MARGIN, others[:, 2:])
        area = np.prod(self.boxes[0, 2:] - self.boxes[0, :2])
        return COVERING * np.prod(np.clip(high - low, 0, None), axis=2).sum(axis=1) / area

    def crossing(self, others: np.ndarray) -> np.ndarray:
        """(K,) cost of leading the leader over (M, 4) boxes, other than those at the name's own mark."""
        elsewhere = others[~((others[:, :2] <= self.anchor) & (self.anchor <= others[:, 2:])).all(axis=1)]
        points = self.leaders[:, :, None]
        crossed = ((points > elsewhere[:, :2]) & (points < elsewhere[:, 2:])).all(axis=3).any(axis=2)
        return CROSSING * crossed.sum(axis=1)

    def misread_as(self, marks: list[np.ndarray]) -> np.ndarray:
        """(K,) cost of standing nearer to another mark than to the name's own, where no leader tells."""
        others = [_gaps(self.boxes, mark) for mark in marks if np.hypot(*(mark - self.anchor)) > 0.1]
        if not others:
            return np.zeros(len(self.boxes))
        return MISREAD * ((np.min(others, axis=0) < self.gaps) & (self.gaps <= LEADER_FROM))

    def outside(self, frame: Box) -> np.ndarray:
        """(K,) cost of sticking out of the frame."""
        low, high = frame[:2] + 2 - self.boxes[:, :2], self.boxes[:, 2:] - frame[2:] + 2
        return COVERING * (np.clip(low, 0, None) + np.clip(high, 0, None)).sum(axis=1)

    def leader_boxes(self, place: int) -> np.ndarray:
        """(M, 4) boxes that the leader to this place takes; none where it has no leader."""
        leader = self.leaders[place]
        points = leader[~np.isnan(leader).any(axis=1)]
        return np.concatenate([points - LINE, points + LINE], axis=1)


def _gaps(boxes: np.ndarray, point: np.ndarray) -> np.ndarray:
    """(K,) distance from a point to each box."""
    return np.hypot(*(np.clip(point, boxes[:, :2], boxes[:, 2:]) - point).T)


def _write(ax: Axes, name: Name, anchor: np.ndarray, place: Box, size: float, color: str) -> Text:
    """Write the name into its box, with a leader where it stands far from its mark."""
    nearest = np.clip(anchor, place[:2], place[2:])
    if float(np.hypot(*(nearest - anchor))) > LEADER_FROM:
        start, end = (ax.transData.inverted().transform(point * ax.figure.dpi / 72.0) for point in (anchor, nearest))
        ax.plot([start[0], end[0]], [start[1], end[1]], color=color, linewidth=0.5, linestyle=":", zorder=1.5)
    return ax.annotate(
        name.text,
        (name.x, name.y),
        xytext=tuple(place[:2] - anchor),
        textcoords="offset points",
        ha="left",
        va="bottom",
        fontsize=size,
        color=color,
    )
