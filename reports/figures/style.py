"""What all figures share: the look, and one way from a figure to SVG and PNG with the same bytes every time."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from reports.comparison.join import Row

INK = "#1b2330"  # text, axes and outlines; the page turns it into the colour of its text
PAPER = "#ffffff"  # what is not filled; the page turns it into the colour of its background
BLUE, ORANGE = "#2a7ab9", "#d55e00"  # told apart by colour-blind eyes, and never by colour alone
DPI = 200
READING = "†"  # beside the name of a network that is our reading of the paper
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


@dataclass(frozen=True)
class Picture:
    """A finished figure. `name` is its file stem, `alt` what it shows in one sentence, `wide` asks for a full line.

    Drawings come as SVG and PNG, photographs as JPEG alone.
    """

    name: str
    title: str
    caption: str
    alt: str
    svg: str = ""
    png: bytes = b""
    jpeg: bytes = b""
    wide: bool = False

    @property
    def files(self) -> dict[str, bytes]:
        """File name -> content."""
        contents = {"svg": self.svg.encode(), "png": self.png, "jpg": self.jpeg}
        return {f"{self.name}.{suffix}": content for suffix, content in contents.items() if content}


def label(row: Row) -> str:
    """A network's name in figures."""
    return f"{row.label}{READING}" if row.reading else row.label


@contextmanager
def style() -> Iterator[None]:
    """The look of all figures, whatever the user's matplotlibrc says."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        yield


def picture(figure: Figure, name: str, title: str, caption: str, alt: str, wide: bool = False) -> Picture:
    """Render a figure, inside `style()`, without dates or versions in the files."""
    svg, png = io.StringIO(), io.BytesIO()
    figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
    figure.savefig(png, format="png", dpi=DPI, metadata={"Software": None})
    return Picture(name, title, caption, alt, svg.getvalue(), png.getvalue(), wide=wide)
