"""A finished figure, and the one way from a drawing to SVG and PNG with the same bytes every time."""

import io
from dataclasses import dataclass

from matplotlib.figure import Figure

DPI = 200


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


def picture(figure: Figure, name: str, title: str, caption: str, alt: str, wide: bool = False) -> Picture:
    """Render a figure, inside `style()`, without dates or versions in the files."""
    svg, png = io.StringIO(), io.BytesIO()
    figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
    figure.savefig(png, format="png", dpi=DPI, metadata={"Software": None})
    return Picture(name, title, caption, alt, svg.getvalue(), png.getvalue(), wide=wide)
