"""From encoded files to arrays: decoding with its checks, resizing, and doing both on all cores."""

import io
import os
import struct
import zipfile
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar, cast

import numpy as np
from PIL import Image

from benchmarks.datasets.archives import Member, Pair
from benchmarks.datasets.originals import Original
from results.errors import RequestError

_UNREADABLE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    RuntimeError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
    Image.DecompressionBombError,
)

Item = TypeVar("Item")
Result = TypeVar("Result")


def decoded(pair: Pair, size: int) -> tuple[np.ndarray, np.ndarray, Original]:
    """Image (size, size, 3) and mask (size, size), uint8, and what their files were.

    Pixels are taken as stored: an EXIF orientation is not applied, because the masks are drawn on the stored pixels.
    Raises RequestError naming the file that cannot be read, the pair of unequal sizes or the mask without a lesion.
    """
    (image, kind), (mask, _) = _opened(pair.image, "RGB"), _opened(pair.mask, "L")
    if image.size != mask.size:
        raise RequestError(
            f"{pair.mask} is {mask.width} x {mask.height} pixels but its image {pair.image} is "
            f"{image.width} x {image.height}; get both again from the same archive."
        )
    _, brightest = cast("tuple[int, int]", mask.getextrema())
    if brightest < 128:
        raise RequestError(
            f"{pair.mask} marks no lesion: no pixel reaches 128; "
            "masks are 0 for skin and 255 for lesion, so get or draw it again."
        )
    levels = mask.histogram()
    original = Original(image.width, image.height, kind, soft=sum(levels[1:255]))
    return np.asarray(resized(image, size)), np.asarray(resized(mask, size)), original


def _opened(member: Member, mode: str) -> tuple[Image.Image, str]:
    """The decoded image in the mode, and the format of its file."""
    try:
        with Image.open(io.BytesIO(member.read()), formats=("JPEG", "PNG")) as image:
            image.load()
            kind = str(image.format)
            # Converting an image that has the mode already would copy it, holding Python's lock.
            return (image if image.mode == mode else image.convert(mode)), kind
    except _UNREADABLE as error:
        raise RequestError(f"{member} cannot be read ({error}); get the file or its archive again.") from error


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
