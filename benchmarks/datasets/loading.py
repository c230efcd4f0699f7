"""Opening a prepared set at the size asked for; smaller sizes are derived once, synthetic pictures are drawn once."""

import functools
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.datasets import archives, layout, pixels, splits, store, synthetic
from results.errors import RequestError, unknown

INHERITED = (*store.CREDITS, "layout", "convention", "ignored", "empty", "shares")  # by smaller sizes
OURS = ("isic2018", "isic2017", "synthetic")
"""The data sets of the suites."""
BASE_SIZE = 256  # smaller sizes are derived from this one where it is there
_NAME = re.compile("[a-z0-9][a-z0-9_-]{0,59}")
SMALLEST_SIZE, LARGEST_SIZE = 8, 2048  # a prepared ISIC2018 of the largest takes 44 GB


class NotPrepared(RequestError):
    """The data set, or its full size, is not in the cache folder; the sentence holds the command to type."""


def names() -> list[str]:
    """The data sets of the suites, those with a known layout, and those that this user has prepared."""
    home = store.cache_folder()
    own = [path.name for path in home.glob("*") if _NAME.fullmatch(path.name) and _prepared_sizes(path)]
    return list(dict.fromkeys([*OURS, *layout.known(), *sorted(own)]))


def check_name(name: str) -> None:
    """RequestError for what cannot be the name of a data set."""
    if not _NAME.fullmatch(name):
        raise RequestError(
            f"The data set name {name[:80]!r} will not do; take up to 60 lower-case letters, digits, - and _, "
            "beginning with a letter or a digit."
        )


def check_size(size: int) -> None:
    """RequestError for a size that is no size."""
    if size < SMALLEST_SIZE:
        raise RequestError(f"--size {size} is too small; give the side in pixels, {SMALLEST_SIZE} or more.")
    if size > LARGEST_SIZE:
        raise RequestError(f"--size {size} is too large; give the side in pixels, {LARGEST_SIZE} at most.")


def check_request(name: str, size: int) -> None:
    """RequestError for a data set that there is not, or a size that is no size."""
    known = names()
    if name not in known:
        where = f"prepare your own with `python -m benchmarks data {name} --from PATH`, or choose one of {{names}}"
        raise unknown("data set", name, known, where if _NAME.fullmatch(name) else "choose one of {names}")
    check_size(size)


def load(name: str, size: int = BASE_SIZE, seed: int = synthetic.SEED) -> store.PreparedSet:
    """Open a data set at `size` pixels, memory-mapped.

    A size smaller than the prepared one is derived from it once, bilinear, and kept. `synthetic` is drawn on first use
    from `seed`, which the others ignore. Raises NotPrepared with the command that prepares the set, and RequestError
    for an unknown name or a damaged set.
    """
    check_request(name, size)
    home = store.cache_folder() / name
    if name == "synthetic":
        return _drawn(home, size, seed)
    folder = home / str(size)
    if _is_current(folder):
        return _opened(folder, name, size)
    parent = _larger(home, size)
    if parent is None:
        raise NotPrepared(_what_to_type(name, size, home))
    with store.locked(home):
        if _is_current(folder):
            return _opened(folder, name, size)
        original = _opened(parent, name, int(parent.name))
        original.verification.check()
        origin = {"derived_from": {"size": original.size, "fingerprint": original.fingerprint}}
        origin["originals"] = original.data.content()["originals"]
        origin |= {key: value for key in INHERITED if (value := getattr(original.about, key)) is not None}
        known = {"groups": original.groups, "parts": original.parts}
        return store.write(folder, name, size, original.ids, _smaller(original, size), origin, **known)


def counted(name: str, size: int) -> int:
    """How many images a data set has, known before it is opened. Raises as `load` does where it is not prepared."""
    check_request(name, size)
    if name in splits.COUNTS:
        return sum(splits.COUNTS[name])
    home = store.cache_folder() / name
    folder = home / str(size)
    parent = folder if (folder / store.ABOUT).exists() else _larger(home, size)
    if parent is None:
        raise NotPrepared(_what_to_type(name, size, home))
    return len(store.read(parent).ids)


def _opened(folder: Path, name: str, size: int) -> store.PreparedSet:
    """RequestError where the set in the folder is damaged, or another one than its place says."""
    prepared = store.read(folder)
    images = sum(splits.COUNTS[name]) if name in splits.COUNTS else len(prepared.ids)
    if (prepared.name, prepared.size, len(prepared.ids)) != (name, size, images):
        raise RequestError(
            f"The prepared set in {folder} is damaged (it says that it is {prepared.name} at {prepared.size} px with "
            f"{len(prepared.ids)} images); {prepared.cure}."
        )
    return prepared


def _is_current(folder: Path) -> bool:
    """Whether a set is there and, if it was derived, whether from what is prepared now and with what is known of it.

    One whose description cannot be read is there too: opening it says what is wrong.
    """
    about = store.described(folder)
    if about is None or about.derived_from is None:
        return (folder / store.ABOUT).exists()
    parent = store.described(folder.with_name(str(about.derived_from.size)))
    if parent is None:
        return True
    return parent.fingerprint == about.derived_from.fingerprint and parent.originals == about.originals


def prepared_sizes(name: str) -> list[int]:
    """Sides in pixels at which a data set was prepared from files, ascending."""
    return _prepared_sizes(store.cache_folder() / name)


def _prepared_sizes(home: Path) -> list[int]:
    """Sizes prepared from files, ascending; derived ones are no parents."""
    sizes = (int(path.name) for path in home.glob("*") if path.name.isdecimal())
    abouts = {size: store.described(home / str(size)) for size in sizes if (home / str(size) / store.ABOUT).exists()}
    return sorted(size for size, about in abouts.items() if about is None or about.derived_from is None)


def _larger(home: Path, size: int) -> Path | None:
    sizes = [each for each in _prepared_sizes(home) if each > size]
    if not sizes:
        return None
    return home / str(BASE_SIZE if BASE_SIZE in sizes else sizes[0])


def _what_to_type(name: str, size: int, home: Path) -> str:
    command, fetched = f"python -m benchmarks data {name}", name in archives.OFFICIAL
    option = "" if size <= BASE_SIZE else f" --size {size}"
    if sizes := _prepared_sizes(home):
        return (
            f"{name} is prepared at {sizes[-1]} pixels, too few for {size}; prepare it again from the full-size "
            f"originals: {command} --from PATH --size {size}"
            f"{', or with --download in place of --from PATH' if fetched else ''}."
        )
    download = f", or: {command} --download{option}" if fetched else ""
    return f"{name} is not prepared; type: {command} --from PATH{option}{download}."


def _smaller(original: store.PreparedSet, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    def both(position: int) -> tuple[np.ndarray, np.ndarray]:
        image, mask = (Image.fromarray(pixels_of[position]) for pixels_of in (original.images, original.masks))
        return np.asarray(pixels.resized(image, size)), np.asarray(pixels.resized(mask, size))

    return pixels.in_order(both, range(len(original.ids)))


def _drawn(home: Path, size: int, seed: int) -> store.PreparedSet:
    """The synthetic set, drawn again whenever the drawing code has changed."""
    version = hashlib.sha256(Path(synthetic.__file__).read_bytes()).hexdigest()[:8]
    folder = home / f"{size}-seed-{seed}-{version}"
    if not _is_recorded(folder):
        with store.locked(home):
            if not _is_recorded(folder):
                ids = [f"synthetic_{number:04d}" for number in range(sum(splits.COUNTS["synthetic"]))]
                draw = functools.partial(synthetic.draw, size=size, seed=seed)
                pictures = pixels.in_order(draw, range(len(ids)))
                origin = {"seed": seed, "originals": "drawn"}
                return store.write(folder, "synthetic", size, ids, pictures, origin)
    return store.read(folder)


def _is_recorded(folder: Path) -> bool:
    """Whether a set is there that says of itself what every run records."""
    about = store.described(folder)
    return about is not None and None not in (about.soft_share, about.originals)
