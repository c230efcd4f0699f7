"""A thousand bad pairs of an image and a mask, and good ones in unusual formats, for the test and for trials by hand.

Few kinds of damage, each at many places of many formats. Pictures are 24 x 20 pixels, so that all are decoded in
seconds. A case is right when it gives a sentence, or the very pixels of the undamaged pair.
"""

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from tests.dataset_files import encoded, photograph

WIDTH, HEIGHT = 24, 20
SENTENCE, RIGHT, EITHER = "sentence", "right", "either"


@dataclass(frozen=True)
class Case:
    """The files of one pair and what must come of them."""

    label: str
    image: bytes
    mask: bytes
    outcome: str  # SENTENCE, RIGHT or EITHER


def _skin() -> np.ndarray:
    """(HEIGHT, WIDTH, 3) uint8 of few colours, so that a palette holds them all, with a dark lesion."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    skin = np.stack((200 + x % 5, 150 + y % 4, 120 + (x + y) % 3), axis=-1).astype(np.uint8)
    return np.where(_lesion()[..., None], skin // 3, skin)


def _lesion() -> np.ndarray:
    """(HEIGHT, WIDTH) bool."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return ((x - 11) / 6) ** 2 + ((y - 9) / 5) ** 2 < 1


SKIN, LESION = _skin(), _lesion()
IMAGE, MASK = encoded(Image.fromarray(SKIN)), encoded(Image.fromarray(np.uint8(255) * LESION))


def png(pixels: np.ndarray, colour_type: int) -> bytes:
    """A PNG of uint8 or uint16 samples, (H, W) or (H, W, channels): Pillow writes no 16-bit colours."""
    depth = 8 * pixels.dtype.itemsize
    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], depth, colour_type, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(pixels.dtype.newbyteorder(">")).tobytes() for row in pixels)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(name, data) for name, data in chunks)


def chunk(name: bytes, data: bytes) -> bytes:
    """One chunk of a PNG, with its checksum."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def grey(dark: int, bright: int, kind: type = np.uint8) -> bytes:
    """The mask in two levels of any depth."""
    return png(np.where(LESION, bright, dark).astype(kind), 0)


def palette(*colours: tuple[int, int, int], turned: bool = False) -> bytes:
    """The mask as indices 0 and 1, or 1 and 0 when it is turned."""
    image = Image.new("P", (WIDTH, HEIGHT))
    image.putdata((LESION ^ turned).astype(np.uint8).ravel().tolist())
    image.putpalette([value for colour in colours for value in colour])
    return encoded(image)


def with_alpha(colours: np.ndarray, alpha: np.ndarray) -> bytes:
    """(HEIGHT, WIDTH) or (HEIGHT, WIDTH, 3) uint8 with (HEIGHT, WIDTH) alpha."""
    return png(np.dstack((colours, alpha)).astype(np.uint8), 4 if colours.ndim == 2 else 6)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    """The bytes of a file of any format."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


BLACK, WHITE, ON = (0, 0, 0), (255, 255, 255), np.uint8(255) * LESION
EVEN = np.zeros((HEIGHT, WIDTH), np.uint8)
DEEP = LESION.astype(np.uint16) * np.uint16(65535)

NOISE = photograph(0, WIDTH, HEIGHT)

GOOD_MASKS: dict[str, bytes] = {
    **{
        f"grey {dark} and {bright}": grey(dark, bright) for dark, bright in ((0, 1), (0, 128), (0, 127), (1, 2), (7, 9))
    },
    **{f"16-bit {dark} and {bright}": grey(dark, bright, np.uint16) for dark, bright in ((0, 1), (0, 255), (0, 65535))},
    "16-bit with a grey background": grey(900, 40000, np.uint16),
    "1 bit": encoded(Image.fromarray(LESION)),
    "palette, black first": palette(BLACK, WHITE),
    "palette, white first": palette(WHITE, BLACK, turned=True),
    "palette, dark red": palette(BLACK, (128, 0, 0)),
    "palette of two colours, neither black": palette((90, 0, 90), (250, 240, 10)),
    "RGB": encoded(Image.fromarray(ON).convert("RGB")),
    "blue on black": png(np.dstack((EVEN, EVEN, ON)), 2),
    "16-bit RGB": png(np.dstack([DEEP] * 3), 2),
    "16-bit RGBA": png(np.dstack([DEEP] * 3 + [np.full_like(DEEP, 65535)]), 6),
    "opaque RGBA": with_alpha(np.dstack([ON] * 3), EVEN + np.uint8(255)),
    "transparent RGBA": with_alpha(np.dstack([ON] * 3), EVEN),
    "in the alpha, on black": with_alpha(np.dstack([EVEN] * 3), ON),
    "in the alpha of grey": with_alpha(EVEN + np.uint8(200), ON),
    "in the alpha, as half": with_alpha(EVEN, ON // 2),
    "in both": with_alpha(ON, ON),
}
BAD_MASKS: dict[str, bytes] = {
    "no lesion": grey(0, 0),
    "all lesion": grey(255, 255),
    "all ones": grey(1, 1),
    "16-bit all": grey(65535, 65535, np.uint16),
    "16-bit RGB of 0 and 1": png(np.dstack([DEEP // 65535] * 3), 2),
    "classes": png(np.where(LESION, 2, np.indices(LESION.shape)[0] > 15).astype(np.uint8), 0),
    "colours against alpha": with_alpha(ON, np.uint8(255) - ON),
    "photograph": encoded(NOISE),
    "photograph as JPEG": encoded(NOISE, "JPEG"),
    "another size": encoded(Image.fromarray(ON[:-1])),
    "turned": encoded(Image.fromarray(ON.T)),
}
GOOD_IMAGES: dict[str, bytes] = {
    "palette": encoded(Image.fromarray(SKIN).quantize(256)),
    "opaque alpha": with_alpha(SKIN, EVEN + np.uint8(255)),
    "16-bit RGB": png(SKIN.astype(np.uint16) * np.uint16(257), 2),
}
BAD_IMAGES: dict[str, bytes] = {
    "half transparent": with_alpha(SKIN, EVEN + np.uint8(128)),
    "partly transparent": with_alpha(SKIN, ON),
    "black": encoded(Image.new("RGB", (WIDTH, HEIGHT))),
    "grey": encoded(Image.new("L", (WIDTH, HEIGHT), 99)),
    "12 bits in 16": png(SKIN[..., 0].astype(np.uint16) * np.uint16(16), 0),
    "8 bits in 16": png(SKIN[..., 0].astype(np.uint16), 0),
}


def wrong_files() -> dict[str, bytes]:
    """What stands in place of pictures."""
    picture = Image.fromarray(SKIN)
    named = {kind: saved(picture, kind) for kind in ("GIF", "WEBP", "ICO", "PPM", "PDF", "TGA")}
    frames = [Image.fromarray(np.roll(SKIN, k, 1)) for k in (1, 2)]
    named["animated PNG"] = saved(picture, "PNG", save_all=True, append_images=frames)
    named["animated GIF"] = saved(picture, "GIF", save_all=True, append_images=frames)
    named["TIFF of two pages"] = saved(picture, "TIFF", save_all=True, append_images=frames)
    named["half a BMP"] = saved(picture, "BMP")[: 60 + SKIN.size // 2]
    named["half a TIFF"] = saved(picture, "TIFF")[: SKIN.size // 2]
    return named | {
        "empty": b"",
        "one byte": b"\x89",
        "zeros": bytes(500),
        "page": b"<!DOCTYPE html><html>404</html>",
        "page after a space": b"\n <html></html>",
        "text": b"id,mask\n1,2\n",
        "JSON": b'{"error": "quota"}',
        "Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n",
        "DICOM": bytes(128) + b"DICM" + bytes(50),
        "numpy": b"\x93NUMPY\x01\0",
        "zip": b"PK\x03\x04" + bytes(40),
        "gzip": b"\x1f\x8b" + bytes(40),
        "HEIC": b"\0\0\0\x18ftypheic" + bytes(40),
        "JPEG 2000": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(40),
        "PNG signature alone": IMAGE[:8],
        "JPEG signature alone": b"\xff\xd8\xff",
        "EXE": b"MZ" + bytes(100),
    }


def sides(width: int, height: int) -> bytes:
    """The image with other sides in a header whose checksum is right."""
    header = struct.pack(">II", width, height) + IMAGE[24:29]
    return IMAGE[:8] + chunk(b"IHDR", header) + IMAGE[33:]


def jpeg_sides(width: int, height: int) -> bytes:
    """The image as a JPEG with other sides in its frame header."""
    content = encoded(Image.fromarray(SKIN), "JPEG")
    at = content.index(b"\xff\xc0") + 5
    return content[:at] + struct.pack(">HH", height, width) + content[at + 4 :]


def text_bomb() -> bytes:
    """A PNG with a compressed comment of 8 MB, in 8 kB."""
    comment = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(8_000_000), 9))
    return IMAGE[:33] + comment + IMAGE[33:]


HUGE = ((0, 20), (24, 0), (2**31 - 1, 1), (2**31, 2**31), (65535, 65535), (20000, 20000), (12000, 11500))


def cases(places: int = 60) -> Iterator[Case]:
    """All of them, damage at `places` of each file: 1,000 and more for 60."""
    for label, mask in GOOD_MASKS.items():
        yield Case(f"mask: {label}", IMAGE, mask, RIGHT)
    for label, image in GOOD_IMAGES.items():
        yield Case(f"image: {label}", image, MASK, RIGHT)
    for label, mask in BAD_MASKS.items():
        yield Case(f"mask: {label}", IMAGE, mask, SENTENCE)
    for label, image in BAD_IMAGES.items():
        yield Case(f"image: {label}", image, MASK, SENTENCE)
    yield Case("image: comment of 8 MB", text_bomb(), MASK, EITHER)
    for label, content in wrong_files().items():
        yield from _both(label, content, SENTENCE)
    for width, height in HUGE:
        yield from _both(f"PNG of {width} x {height}", sides(width, height), SENTENCE)
        if max(width, height) < 2**16:
            yield from _both(f"JPEG of {width} x {height}", jpeg_sides(width, height), SENTENCE)
    yield from _damaged(places)


def _both(label: str, content: bytes, outcome: str) -> Iterator[Case]:
    yield Case(f"image: {label}", content, MASK, outcome)
    yield Case(f"mask: {label}", IMAGE, content, outcome)


DAMAGES: dict[str, Callable[[bytes, int], bytes]] = {
    "cut": lambda content, at: content[:at],
    "flipped": lambda content, at: content[:at] + bytes([content[at] ^ 255]) + content[at + 1 :],
    "zeroed": lambda content, at: content[:at] + bytes(len(content[at : at + 9])) + content[at + 9 :],
    "doubled": lambda content, at: content[:at] + content[max(0, at - 9) :],
    "without a piece": lambda content, at: content[:at] + content[at + 5 :],
}


def _damaged(places: int) -> Iterator[Case]:
    """PNGs at many places. A JPEG has no checksum and is only cut: other damage within its pixels cannot be told."""
    chosen = ("grey 0 and 1", "16-bit 0 and 65535", "palette, white first", "in both")
    masks = {"": MASK} | {f" ({label})": GOOD_MASKS[label] for label in chosen}
    for damage, apply in DAMAGES.items():
        for label, mask in masks.items():
            for at in np.linspace(0, len(mask) - 1, places).astype(int).tolist():
                if (content := apply(mask, at)) != mask:
                    yield Case(f"mask{label} {damage} at {at}", IMAGE, content, EITHER)
        for at in np.linspace(0, len(IMAGE) - 1, places).astype(int).tolist():
            if (content := apply(IMAGE, at)) != IMAGE:
                yield Case(f"image {damage} at {at}", content, MASK, EITHER)
    jpeg = encoded(Image.fromarray(SKIN), "JPEG")
    for at in np.linspace(0, len(jpeg) - 3, places).astype(int).tolist():
        yield Case(f"image as JPEG cut at {at}", jpeg[:at], MASK, SENTENCE)
