"""The look of all figures."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib

INK = "#1b2330"  # text, axes and outlines; the page turns it into the colour of its text
PAPER = "#ffffff"  # what is not filled; the page turns it into the colour of its background
BLUE, ORANGE = "#2a7ab9", "#d55e00"  # told apart by colour-blind eyes, and never by colour alone
PANEL = (3.6, 4.1)  # inches: two panels fill the text width of a two-column page
NAME_SIZE = 6.2  # points
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # ships with matplotlib: the same glyphs on every machine
    "font.size": 7.0,
    "axes.titlesize": 8.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 7.0,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.facecolor": "none",
    "axes.axisbelow": True,
    "grid.color": INK,
    "grid.alpha": 0.12,
    "grid.linewidth": 0.5,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "text.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 6.5,
    "lines.linewidth": 1.0,
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "svg.fonttype": "path",
    "svg.hashsalt": "lesion-benchmarks",
}


@contextmanager
def style() -> Iterator[None]:
    """The look of all figures, whatever the user's matplotlibrc says."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        yield
