"""The report as one HTML page: page.py says what it holds, environment.py how, templates/ where."""

from reports.formats.contents import Contents
from reports.formats.html.page import page


def export(contents: Contents) -> dict[str, bytes]:
    """File name -> content."""
    return {"index.html": page(contents).encode()}
