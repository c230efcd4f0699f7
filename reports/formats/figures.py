"""Figures as files: SVG and PNG of every drawing, JPEG of photographs."""

from reports.formats.contents import Contents


def export(contents: Contents) -> dict[str, bytes]:
    """File name -> content."""
    drawn = [picture for section in contents.figures.pictures.values() for picture in section]
    return {name: content for picture in drawn for name, content in picture.files.items()}
