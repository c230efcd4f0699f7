"""A user's photographs: which files are meant, and what is in them, upright and in RGB."""

import glob
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.datasets import decoding, meaning
from benchmarks.datasets.pixels import resized
from results.errors import RequestError
from results.installation import expanded

ENDINGS = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff")
SHOWN = 1600  # pixels of the longer side of a photograph on which a prediction is drawn


@dataclass(frozen=True)
class Photograph:
    """A file, and the name that everything made of it gets."""

    path: Path
    name: str
    """With the folders below the one that was asked for; of its own among all that were."""


def find(asked: Iterable[str]) -> list[Photograph]:
    """Files, the pictures in folders and below them, and what glob patterns match, each once and in this order.

    A folder's files are those that end like pictures; a file that is named is taken whatever its name. Raises
    RequestError for a path that there is not, and for a folder or a pattern without pictures.
    """
    found: dict[Path, Path] = {}
    for each in asked:
        for path, below in _below(each):
            found.setdefault(path.absolute(), below)
    names: set[str] = set()
    return [Photograph(path, _own_name(below, names)) for path, below in found.items()]


def _below(asked: str) -> list[tuple[Path, Path]]:
    """(path, path below what was asked for) of each file."""
    path = expanded(Path(asked))
    if path.is_dir():
        inside = sorted(each for each in path.rglob("*") if each.suffix.lower() in ENDINGS and each.is_file())
        if not inside:
            raise RequestError(f"{asked} holds no picture ({', '.join(ENDINGS)}); name a folder that does.")
        return [(each, each.relative_to(path)) for each in inside]
    if path.exists():
        return [(path, Path(path.name))]
    matched = sorted(Path(each) for each in glob.glob(str(path), recursive=True))
    files = [each for each in matched if each.is_file()]
    if not files:
        raise RequestError(f"There is no file {asked}; give photographs, folders of them, or a pattern as 'in/*.jpg'.")
    return [(each, Path(each.name)) for each in files]


def _own_name(below: Path, taken: set[str]) -> str:
    """The path without its ending; with it, or with a number, where another photograph has that name already."""
    plain = below.with_suffix("").as_posix()
    choices = chain((plain, f"{plain}-{below.suffix[1:]}"), (f"{plain}-{number}" for number in count(2)))
    name = next(each for each in choices if each.lower() not in taken)
    taken.add(name.lower())
    return name


@dataclass(frozen=True, eq=False)
class Prepared:
    """A photograph at the sizes that are needed, so that the large original need not be kept."""

    photograph: Photograph
    width: int
    """Of the upright photograph, pixels."""
    height: int
    small: dict[int, np.ndarray]
    """S -> (S, S, 3) uint8, for each size that a network works at."""
    shown: np.ndarray | None
    """(h, w, 3) uint8, its longer side SHOWN pixels at most."""


def prepare(photograph: Photograph, sizes: Iterable[int], *, show: bool) -> Prepared:
    """Read one file. Its EXIF orientation is obeyed, as by every program that shows it.

    Raises RequestError that names the file, what is wrong with it, and the cure.
    """
    try:
        with decoding.quiet():
            stored = decoding.decode(photograph.path.read_bytes())
            image = meaning.photograph(stored)
            image = decoding.oriented(image) or image
    except decoding.Unusable as fault:
        raise RequestError(f"{photograph.path} {fault}.") from None
    except OSError as error:
        raise RequestError(f"{photograph.path} cannot be read ({error.strerror}).") from None
    small = {size: np.asarray(resized(image, size)) for size in dict.fromkeys(sizes)}
    return Prepared(photograph, image.width, image.height, small, _shown(image) if show else None)


def _shown(image: Image.Image) -> np.ndarray:
    ratio = min(1.0, SHOWN / max(image.size))
    if ratio == 1:
        return np.asarray(image)
    return np.asarray(
        image.resize(
            (max(1, round(image.width * ratio)), max(1, round(image.height * ratio))), Image.Resampling.BILINEAR
        )
    )
