"""From encoded pairs to arrays: decoding with its checks, resizing, and doing both on all cores."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from PIL import Image, ImageChops

from benchmarks.datasets import agreement, decoding, meaning
from benchmarks.datasets.archives import Pair
from benchmarks.datasets.decoding import Unusable
from benchmarks.datasets.judging import Signs
from benchmarks.datasets.layout import MaskRule
from benchmarks.datasets.originals import Original
from benchmarks.datasets.sources import Member
from results.errors import RequestError

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class Decoded:
    """A pair at the size asked for, S = that size."""

    image: np.ndarray  # (S, S, 3) uint8
    mask: np.ndarray  # (S, S) uint8, 0 skin to 255 lesion
    original: Original
    signs: Signs


def decoded(pair: Pair, size: int, rule: MaskRule = meaning.GUESSED) -> Decoded:
    """The pair by its meaning (see `meaning`), scaled to a square, and what its files were.

    rule: what the values of masks mean. An EXIF orientation is obeyed where the pixels demand it, see `_upright`.
    Raises RequestError naming the file that cannot be read or used, or the pair of unequal sizes.
    """
    stored = _decoded(pair.image)
    image, mask = _upright(pair, _photograph(pair.image, stored), _mask(pair.mask, rule))
    for other in pair.others:
        mask = _united(mask, _mask(other, rule), other)
    soft = sum(mask.image.histogram()[1:255])
    small, small_mask = np.asarray(resized(image, size)), np.asarray(resized(mask.image, size))
    if small.min() == small.max():
        raise RequestError(f"{pair.image} shows nothing: all of it is one grey; get the file or its archive again.")
    original = Original(image.width, image.height, str(stored.format), soft)
    return Decoded(small, small_mask, original, Signs.of(pair.id, small, small_mask, mask.levels, mask.between))


def _decoded(member: Member) -> Image.Image:
    content = member.read()
    try:
        return decoding.decode(content)
    except Unusable as fault:
        raise RequestError(f"{member} {fault}.") from fault


def _photograph(member: Member, stored: Image.Image) -> Image.Image:
    """As RGB, with the EXIF data of its file."""
    try:
        return meaning.photograph(stored)
    except Unusable as fault:
        raise RequestError(f"{member} {fault}.") from fault


def _mask(member: Member, rule: MaskRule) -> meaning.Mask:
    """Turned as its own EXIF data say, which programs that keep them obey."""
    content = member.read()
    try:
        stored = decoding.decode(content)
        upright = decoding.oriented(stored) or stored
        return meaning.mask(upright, upper_bits=decoding.upper_bits_only(content), rule=rule)
    except Unusable as fault:
        raise RequestError(f"{member} {fault}.") from fault


def _upright(pair: Pair, image: Image.Image, mask: meaning.Mask) -> tuple[Image.Image, meaning.Mask]:
    """The pair in one orientation: that of the mask.

    Some programs draw masks on a photograph as its EXIF orientation turns it, others on its stored pixels. The sides
    tell which; where both fit, as of a square, the edges of mask and image do, and stored pixels where these do not.
    Raises RequestError where neither fits.
    """
    turned = decoding.oriented(image)
    fitting = [each for each in (image, turned) if each is not None and each.size == mask.image.size]
    if not fitting:
        raise RequestError(
            f"{pair.mask} is {mask.image.width} x {mask.image.height} pixels but its image {pair.image} is "
            f"{image.width} x {image.height}; get both again from the same archive."
        )
    if len(fitting) == 2 and _agreement(fitting[1], mask.image) > _agreement(fitting[0], mask.image):
        return fitting[1], mask
    return fitting[0], mask


def _agreement(image: Image.Image, mask: Image.Image) -> float:
    """Of the edges of both; less than any where the mask has none."""
    images, masks = (agreement.thumbnail(np.asarray(each))[None] for each in (image, mask))
    found = float(agreement.own(images, masks)[0])
    return found if np.isfinite(found) else -np.inf


def _united(mask: meaning.Mask, other: meaning.Mask, member: Member) -> meaning.Mask:
    """What either marks."""
    if mask.image.size != other.image.size:
        raise RequestError(
            f"{member} is {other.image.width} x {other.image.height} pixels, another mask of its image "
            f"{mask.image.width} x {mask.image.height}; save them alike."
        )
    both = ImageChops.lighter(mask.image, other.image)
    return meaning.Mask(both, max(mask.levels, other.levels), max(mask.between, other.between))


def resized(image: Image.Image, size: int) -> Image.Image:
    """Bilinear, antialiased, to a square; unchanged when the image is of that size already."""
    if image.size == (size, size):
        return image
    return image.resize((size, size), Image.Resampling.BILINEAR)


def in_order(function: Callable[[Item], Result], items: Iterable[Item], workers: int | None = None) -> Iterator[Result]:
    """`function` of each item, in the order of the items, computed ahead on `workers` threads (default: all cores).

    Threads suffice because Pillow and zlib let go of Python's lock while they work. The first error ends it.
    """
    count = workers or os.cpu_count() or 1
    pool = ThreadPoolExecutor(count)
    ahead: deque[Future[Result]] = deque()
    try:
        for item in items:
            ahead.append(pool.submit(function, item))
            if len(ahead) > 4 * count:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
