"""From the bytes of a PNG, JPEG, BMP or TIFF file to its pixels, or one sentence about why not.

Files are hostile until they are decoded: a header may claim any size, a few bytes may unpack to gigabytes, and a file
may be of another kind than its name says.
"""

import contextlib
import io
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator

from PIL import BmpImagePlugin, Image, JpegImagePlugin, PngImagePlugin, TiffImagePlugin

MOST_PIXELS = 1 << 27  # of one picture: 11,585 x 11,585; the largest of ISIC2018 has 30 million

# Chosen by the first bytes and opened without Image.open, whose own limit on the size is a warning on stderr.
_READERS: dict[bytes, Callable[[io.BytesIO], Image.Image]] = {
    b"\x89PNG\r\n\x1a\n": PngImagePlugin.PngImageFile,
    b"\xff\xd8\xff": JpegImagePlugin.JpegImageFile,
    b"BM": BmpImagePlugin.BmpImageFile,
    b"II*\0": TiffImagePlugin.TiffImageFile,
    b"MM\0*": TiffImagePlugin.TiffImageFile,
}
ORIENTATION = 0x0112  # the tag of EXIF: 1 as stored, 2 to 8 turned or mirrored
_FAULTS = (OSError, SyntaxError, ValueError, EOFError, RuntimeError, OverflowError, struct.error, zlib.error)
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_AGAIN = "get the file or its archive again"
_OTHER_PICTURES = {
    b"GIF8": "a GIF",
    b"RIFF": "a WebP",
    b"%PDF": "a PDF",
    b"\0\0\0\x0cjP": "a JPEG 2000",
    b"\xff\x4f\xff\x51": "a JPEG 2000",
    b"\x93NUMPY": "a numpy array",
}
_NO_PICTURES = {
    b"PK": "a zip file",
    b"\x1f\x8b": "a gzip file",
    b"version https://git-lfs": "a Git LFS pointer, whose picture was not fetched",
}


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
        raise _of_another_kind(content)
    if reader is PngImagePlugin.PngImageFile:
        _check_png(content)
    try:
        with reader(io.BytesIO(content)) as image:
            _check(image)
            image.load()
            image.info["orientation"] = _orientation(image)
            return image
    except _FAULTS as error:
        vague = any(word in str(error) for word in ("driver", "unpack"))  # Pillow's words for a header without sense
        raise Unusable(f"cannot be read ({'its header is damaged' if vague else error}); {_AGAIN}") from error


def oriented(image: Image.Image) -> Image.Image | None:
    """A decoded picture, or what was converted from it, turned as its EXIF orientation says; None: it says nothing."""
    method = _TURNS.get(image.info.get("orientation", 1))
    return None if method is None else image.transpose(method)


def _orientation(image: Image.Image) -> int:
    """1 where EXIF data have none, or cannot be read."""
    try:
        found = image.getexif().get(ORIENTATION, 1)
    except _FAULTS:
        return 1
    return found if isinstance(found, int) else 1


def _of_another_kind(content: bytes) -> Unusable:
    """By its first bytes."""
    for kinds, cure in ((_OTHER_PICTURES, "save it as PNG"), (_NO_PICTURES, _AGAIN)):
        for start, kind in kinds.items():
            if content.startswith(start):
                return Unusable(f"cannot be read (it is {kind}, not a PNG, JPEG, BMP or TIFF); {cure}")
    if content[4:8] == b"ftyp" or content[128:132] == b"DICM":
        kind = "HEIC or AVIF" if content[4:8] == b"ftyp" else "DICOM"
        return Unusable(f"cannot be read (it is a {kind} file, not a PNG, JPEG, BMP or TIFF); save it as PNG")
    if not any(content):
        return Unusable(f"cannot be read (it is {'nothing but zeros' if content else 'empty'}); {_AGAIN}")
    kind = "a web page" if content[:256].lstrip().startswith(b"<") else "neither PNG, JPEG, BMP nor TIFF"
    return Unusable(f"cannot be read (it is {kind}); {_AGAIN}")


def _check(image: Image.Image) -> None:
    """Before anything is unpacked."""
    if image.width * image.height > MOST_PIXELS:
        raise Unusable(
            f"is {image.width} x {image.height} pixels by its header, more than the {MOST_PIXELS:,} that are decoded; "
            "save it smaller"
        )
    if (frames := getattr(image, "n_frames", 1)) > 1:
        raise Unusable(f"holds {frames} pictures, an animation; save the one that is meant")


def _check_png(content: bytes) -> None:
    """The checksums that Pillow skips: without them, a flipped bit is another pixel and no error. Raises Unusable.

    Reference: PNG specification, third edition, section 5.3. Only the parts that pixels depend on are checked.
    """
    at, name = 8, b""
    while name != b"IEND":
        part = content[at + 4 : at + 8 + int.from_bytes(content[at : at + 4])]
        name, after = part[:4], at + 4 + len(part)
        if len(content) < after + 4:
            raise Unusable(f"cannot be read (it ends too early); {_AGAIN}")
        checked = name[:1].isupper() or name == b"tRNS"
        if checked and zlib.crc32(part) != int.from_bytes(content[after : after + 4]):
            raise Unusable(f"cannot be read (a part of it is damaged); {_AGAIN}")
        at = after + 4


def upper_bits_only(content: bytes) -> bool:
    """Whether this is a PNG of 16 bits per colour, of which Pillow decodes the upper 8; grey alone it decodes whole."""
    depth, colour_type = content[24:25], content[25:26]
    return content.startswith(b"\x89PNG") and depth == b"\x10" and colour_type != b"\0"
