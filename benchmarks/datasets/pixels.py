"""From encoded pairs to arrays: decoding with its checks, resizing, and doing both on all cores."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from PIL import Image

from benchmarks.datasets import decoding, meaning
from benchmarks.datasets.archives import Pair
from benchmarks.datasets.decoding import Unusable
from benchmarks.datasets.judging import Signs
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


def decoded(pair: Pair, size: int) -> Decoded:
    """The pair by its meaning (see `meaning`), scaled to a square, and what its files were.

    Pixels are taken as stored: an EXIF orientation is not applied, because the masks are drawn on the stored pixels.
    Raises RequestError naming the file that cannot be read or used, or the pair of unequal sizes.
    """
    image, kind = _photograph(pair.image)
    mask = _mask(pair.mask)
    if image.size != mask.image.size:
        raise RequestError(
            f"{pair.mask} is {mask.image.width} x {mask.image.height} pixels but its image {pair.image} is "
            f"{image.width} x {image.height}; get both again from the same archive."
        )
    soft = sum(mask.image.histogram()[1:255])
    small, small_mask = np.asarray(resized(image, size)), np.asarray(resized(mask.image, size))
    if small.min() == small.max():
        raise RequestError(f"{pair.image} shows nothing: all of it is one grey; get the file or its archive again.")
    original = Original(image.width, image.height, kind, soft)
    return Decoded(small, small_mask, original, Signs.of(pair.id, small, small_mask, mask.levels, mask.between))


def _photograph(member: Member) -> tuple[Image.Image, str]:
    """As RGB, and the format of its file."""
    content = member.read()
    try:
        stored = decoding.decode(content)
        return meaning.photograph(stored), str(stored.format)
    except Unusable as fault:
        raise RequestError(f"{member} {fault}.") from fault


def _mask(member: Member) -> meaning.Mask:
    content = member.read()
    try:
        return meaning.mask(decoding.decode(content), upper_bits=decoding.upper_bits_only(content))
    except Unusable as fault:
        raise RequestError(f"{member} {fault}.") from fault


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
