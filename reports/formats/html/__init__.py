"""The report as HTML, one page and one for each network: page.py and network_pages.py say what they hold,
environment.py how, templates/ where."""

from reports.formats.contents import Contents
from reports.formats.html.network_pages import network_pages
from reports.formats.html.page import page


def export(contents: Contents) -> dict[str, bytes]:
    """File name -> content."""
    pages = {"index.html": page(contents)} | network_pages(contents)
    return {name: text.encode() for name, text in pages.items()}
