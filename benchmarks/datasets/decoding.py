"""From the bytes of a PNG or JPEG file to its pixels, or one sentence about why not.

Files are hostile until they are decoded: a header may claim any size, a few bytes may unpack to gigabytes, and a file
may be of another kind than its name says.
"""

import contextlib
import io
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator

from PIL import Image, JpegImagePlugin, PngImagePlugin

from benchmarks.datasets.sources import named_kind

MOST_PIXELS = 1 << 27  # of one picture: 11,585 x 11,585; the largest of ISIC2018 has 30 million

# Chosen by the first bytes and opened without Image.open, whose own limit on the size is a warning on stderr.
_READERS: dict[bytes, Callable[[io.BytesIO], Image.Image]] = {
    b"\x89PNG\r\n\x1a\n": PngImagePlugin.PngImageFile,
    b"\xff\xd8\xff": JpegImagePlugin.JpegImageFile,
}
_FAULTS = (OSError, SyntaxError, ValueError, EOFError, RuntimeError, OverflowError, struct.error, zlib.error)
_AGAIN = "get the file or its archive again"


class Unusable(Exception):
    """What is wrong with a picture and the cure, to be put behind its name: "is empty; get it again"."""


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without Pillow's warnings, in all threads: about metadata, which is not read, and about what is refused here."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


def decode(content: bytes) -> Image.Image:
    """The picture in a file, with its pixels, in the mode that it is stored in. Raises Unusable."""
    reader = next((reader for start, reader in _READERS.items() if content.startswith(start)), None)
    if reader is None:
        kind = named_kind(content)
        cure = f"save it as PNG, or {_AGAIN}" if "picture" not in kind else _AGAIN
        raise Unusable(f"cannot be read (it is {kind}, not a PNG or JPEG); {cure}")
    try:
        with reader(io.BytesIO(content)) as image:
            _check(image)
            image.load()
            return image
    except _FAULTS as error:
        raise Unusable(f"cannot be read ({error}); {_AGAIN}") from error


def _check(image: Image.Image) -> None:
    """Before anything is unpacked."""
    if image.width * image.height > MOST_PIXELS:
        raise Unusable(
            f"is {image.width} x {image.height} pixels by its header, more than the {MOST_PIXELS:,} that are decoded; "
            "save it smaller"
        )
    if (frames := getattr(image, "n_frames", 1)) > 1:
        raise Unusable(f"holds {frames} pictures, an animation; save the one that is meant")


def upper_bits_only(content: bytes) -> bool:
    """Whether this is a PNG of 16 bits per colour, of which Pillow decodes the upper 8; grey alone it decodes whole."""
    depth, colour_type = content[24:25], content[25:26]
    return content.startswith(b"\x89PNG") and depth == b"\x10" and colour_type != b"\0"
