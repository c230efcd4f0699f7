"""What a report is written as: one file per format, each with a function `export`.

A new format is a module with `export(contents) -> {file name: content}` and its line in EXPORTS.
"""

from collections.abc import Callable, Mapping

from reports.formats import csv, figures, html, latex, markdown, paper
from reports.formats.contents import Contents

Export = Callable[[Contents], dict[str, bytes]]
EXPORTS: Mapping[str, Export] = {  # by the word that --format takes
    "md": markdown.export,
    "latex": lambda contents: latex.export(contents) | paper.export(contents),
    "csv": csv.export,
    "html": html.export,
    "figures": figures.export,
}
