"""The failures of a check as GitHub workflow commands."""

from collections.abc import Iterable
from pathlib import Path

from reports.check.item import Item


def to_annotations(failures: Iterable[Item]) -> list[str]:
    """An error for each failure; what is documented needs nobody's attention again."""
    return [
        f"::error file={_property(_relative(item.path))},title={_property(item.name)}::{_escaped(item.message)}"
        for item in failures
    ]


def _relative(path: Path) -> str:
    inside = path.is_absolute() and path.is_relative_to(Path.cwd())
    return (path.relative_to(Path.cwd()) if inside else path).as_posix()


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")
