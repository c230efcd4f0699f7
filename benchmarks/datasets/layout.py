"""How the files of a data set lie and what they mean, as a TOML file says it: the user's own, or one of a known set.

    label = "Clinic"                     # in tables
    images = "photos/{id}.jpg"           # {id} stands for the id, * for anything within a name, ** for any folders
    masks = "drawn/{id}_*.png"
    ignore = ["*_old.png"]

    [mask]
    foreground = [1, 2]                  # grey levels, or numbers of a palette, that mean lesion

    [groups]
    file = "visits.csv"                  # which images no split may tear apart
    id = "image"
    group = "patient"

A set whose publisher cut it into parts has a table [[part]] for each, with images and masks of its own.
"""

import tomllib
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from results import files
from results.errors import RequestError, unknown

SUFFIX = ".toml"
Patterns = list[str]


class _Table(BaseModel):
    """A table of the file: no other keys, and values of the type they are said to have."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class MaskRule(_Table):
    """What the values of masks mean, where that cannot be guessed."""

    foreground: Annotated[list[Annotated[int, Field(ge=0, le=65535)]], Field(min_length=1)] | None = None
    """Grey levels, or numbers of a palette, that mean lesion; all others are skin."""
    threshold: Annotated[int, Field(ge=1, le=65535)] | None = None
    """The lowest grey level that means lesion."""
    inverted: bool = False
    """Whether dark is lesion."""
    empty: bool = False
    """Whether masks may mark nothing: images of healthy skin."""
    several: bool = False
    """Whether an image may have several masks, of which all together are its truth."""


class Groups(_Table):
    """A table of the images, as CSV, that tells which belong together."""

    file: str
    """Its name, anywhere in the data."""
    id: str
    """The column of the image's id."""
    group: str
    """The column of what a split may not tear apart: a patient, a lesion."""


class Part(_Table):
    """One part of a set that its publisher cut."""

    part: Literal["train", "validation", "test"]
    images: str | Patterns
    masks: str | Patterns
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    """Of the ids, ascending, each followed by a line end."""
    count: Annotated[int, Field(ge=1)] | None = None
    """How many images it has."""


class Layout(_Table):
    """A data set's file. Without patterns, pairs are found by convention."""

    label: str | None = None
    """The set's name in tables."""
    images: str | Patterns | None = None
    masks: str | Patterns | None = None
    ignore: str | Patterns = []
    """Pictures that are neither."""
    mask: MaskRule = MaskRule()
    groups: Groups | None = None
    part: list[Part] = []
    citation: str | None = None
    licence: str | None = None
    source: str | None = None
    """Where the set is published."""


def texts(patterns: str | Patterns | None) -> list[str]:
    """One or several patterns as a list."""
    return [patterns] if isinstance(patterns, str) else list(patterns or ())


def known() -> list[str]:
    """Names of the sets whose layout comes with this package."""
    folder = resources.files(__package__).joinpath("known")
    return sorted(each.name.removesuffix(SUFFIX) for each in folder.iterdir() if each.name.endswith(SUFFIX))


def of_known(name: str) -> Layout:
    """The layout of a known set."""
    file = resources.files(__package__).joinpath("known", f"{name}{SUFFIX}")
    return _validated(tomllib.loads(file.read_text(encoding="utf-8")), name)


def read(path: Path) -> Layout:
    """The layout in a file. Raises RequestError, which names the file and the key."""
    return _validated(files.read_toml(path, str(path), "name another --layout"), path)


def asked(name: str, source: Path, given: str | None) -> tuple[Layout, str]:
    """The layout of a set, and where it was found: `given`, a NAME.toml beside or in the source or in the working
    folder, or one that this package knows; an empty one and nothing where pairs are to be found by convention.

    given: a file, or the name of a known set. Raises RequestError for what cannot be read.
    """
    if given is not None:
        if given in known():
            return of_known(given), given
        path = Path(given).expanduser()
        if not path.exists() and path.suffix != SUFFIX:
            raise unknown("layout", given, known(), "--layout takes a TOML file, or one of {names}")
        return read(path), str(path)
    for folder in (source, source.parent, Path()):
        path = folder / f"{name}{SUFFIX}"
        if path.is_file():
            return read(path), str(path)
    return (of_known(name), name) if name in known() else (Layout(), "")


def _validated(content: dict[str, Any], where: object) -> Layout:
    try:
        layout = Layout.model_validate(content)
    except ValidationError as error:
        raise RequestError(f"{where}: {_fault(error)}.") from None
    if layout.part and (layout.images or layout.masks):
        raise RequestError(f"{where}: images and masks stand beside [[part]]; give each part its own.")
    if bool(layout.images) != bool(layout.masks):
        raise RequestError(f"{where}: it has patterns for one of images and masks; give both, or neither.")
    if layout.mask.foreground and layout.mask.threshold:
        raise RequestError(f"{where}: [mask] has foreground and threshold; give one of them.")
    for pattern in _all_patterns(layout):
        if pattern.count("{id}") != 1:
            raise RequestError(f"{where}: the pattern {pattern!r} needs {{id}} once, where the id of an image stands.")
    return layout


def _all_patterns(layout: Layout) -> Iterable[str]:
    yield from (*texts(layout.images), *texts(layout.masks))
    for part in layout.part:
        yield from (*texts(part.images), *texts(part.masks))


def _fault(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"] if not str(part).startswith(("list[", "str", "constrained")))
    if first["type"] != "extra_forbidden":
        return f"{place} is {first.get('input')!r}; {first['msg'][:1].lower()}{first['msg'][1:]}"
    tables: dict[str, type[_Table]] = {"mask": MaskRule, "groups": Groups, "part": Part}
    keys = tables.get(str(first["loc"][0]), Layout).model_fields if len(first["loc"]) > 1 else Layout.model_fields
    return str(unknown("key", str(first["loc"][-1]), keys, "there are {names}")).rstrip(".")
