"""A finished figure, and the one way from a drawing to SVG and PNG with the same bytes every time."""

import io
from dataclasses import dataclass

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

DPI = 200
SMALLEST = 5.0  # points


@dataclass(frozen=True)
class Picture:
    """A finished figure. `name` is its file stem, `alt` what it shows in one sentence, `wide` asks for a full line.

    Drawings come as SVG, PDF and PNG, photographs as JPEG alone.
    """

    name: str
    title: str
    caption: str
    alt: str
    svg: str = ""
    inline: str = ""
    """The drawing for a page: its words are text, in a third of the bytes, and not shapes."""
    pdf: bytes = b""
    png: bytes = b""
    jpeg: bytes = b""
    wide: bool = False

    @property
    def files(self) -> dict[str, bytes]:
        """File name -> content."""
        contents = {"svg": self.svg.encode(), "pdf": self.pdf, "png": self.png, "jpg": self.jpeg}
        return {f"{self.name}.{suffix}": content for suffix, content in contents.items() if content}


def picture(figure: Figure, name: str, title: str, caption: str, alt: str, wide: bool = False) -> Picture:
    """Render a figure, inside `style()`, without dates or versions in the files. Words that would be cut are folded."""
    fold_words(figure)
    svg, inline, pdf, png = io.StringIO(), io.StringIO(), io.BytesIO(), io.BytesIO()
    undated = {"Date": None, "Creator": None}
    figure.savefig(svg, format="svg", metadata=undated)
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        figure.savefig(inline, format="svg", metadata=undated)
    figure.savefig(pdf, format="pdf", metadata={"CreationDate": None, "Creator": None, "Producer": None})
    figure.savefig(png, format="png", dpi=DPI, metadata={"Software": None})
    return Picture(
        name, title, caption, alt, svg.getvalue(), inline.getvalue(), pdf.getvalue(), png.getvalue(), wide=wide
    )


def fold_words(figure: Figure) -> None:
    """Break a text that reaches beyond the figure's right edge at a space, and make it smaller where that is not
    enough."""
    for text in cut(figure):
        words = text.get_text().split(" ")
        for number in range(len(words) - 1, 0, -1):
            text.set_text(" ".join(words[:number]) + "\n" + " ".join(words[number:]))
            if text not in cut(figure):
                break
        while text in cut(figure) and float(text.get_fontsize()) > SMALLEST:
            text.set_fontsize(float(text.get_fontsize()) - 0.25)


def cut(figure: Figure) -> list[Text]:
    """Texts that reach beyond the left or right edge of the figure: titles, words of axes, names beside marks."""
    figure.draw_without_rendering()  # labels of axes have their place only then
    renderer = FigureCanvasAgg(figure).get_renderer()
    texts = list(figure.texts)
    for axes in figure.axes:
        texts += [*axes.texts, axes.title, axes.xaxis.label, axes.yaxis.label]
    found = []
    for text in texts:
        if text.get_visible() and text.get_text().strip():
            box = text.get_window_extent(renderer)
            if box.x0 < -1 or box.x1 > figure.bbox.width + 1:
                found.append(text)
    return found
