"""What stored pixels mean: a photograph as 8-bit RGB, a mask as grey from 0 (skin) to 255 (lesion).

    stored as                   a photograph is                     a mask is
    8-bit grey, RGB, CMYK       its colours                         the brightness of its colours
    palette                     the colours, never the numbers      the brightness of the colours
    1 bit                       black and white                     0 and 255
    16-bit grey (I;16, I)       scaled by 65535, not cut            scaled
    floating point (F)          scaled by 1, or by 255 above it     scaled
    16 bits per colour          its upper 8 bits (Pillow's choice)  its upper 8 bits
    alpha                       its colours where all is opaque,    its colours; where they are even, the alpha; refused
                                else refused                        where the two disagree

    two grey levels             -                                   the darker is 0, the brighter 255: 0/1, 0/128, 1/2
    more, from 0 to the most    -                                   as it is: a soft mask
    more, few of them between   -                                   stretched from 0 to 255: soft edges of a 0/128 mask
    all others                  -                                   refused: classes, or a photograph

H, W = sides of the picture in pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps

from benchmarks.datasets.decoding import Unusable
from benchmarks.datasets.layout import MaskRule

GUESSED = MaskRule()
DEEP = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")
PLAIN = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK")
EDGES = 0.1  # share of pixels between the ends that soft edges have; at 128 px, ISIC masks have 0.091 at most
PICTURE = 0.5  # from here on it is no mask; of photographs 95 in 100 have more, masks scaled to 16 px 0.31 at most
_DARKEST = 16  # of 255: a photograph that nowhere reaches it was scaled wrongly
_SAVE_MASK = "save it with 0 for skin and 255 for lesion"
_GET_MASK = "masks are 0 for skin and 255 for lesion, so get or draw it again"


def photograph(image: Image.Image) -> Image.Image:
    """As 8-bit RGB; itself where it is that already. Raises Unusable."""
    _check_mode(image)
    if image.mode in DEEP:
        values = np.asarray(image)
        scaled = _scaled(values, 0, _full(values, image.mode))
        if scaled.max() < _DARKEST:
            raise Unusable(
                f"is almost black: its brightest pixel is {values.max():g} where its {_depth(image.mode)} allow "
                f"{_full(values, image.mode):g}; save it with 8 bits, or with its whole range"
            )
        return Image.fromarray(scaled).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        transparent = float(np.mean(np.asarray(image.getchannel("A")) < 255))
        if transparent > 0:
            raise Unusable(
                f"is transparent in {100 * transparent:.3g} % of its pixels, whose colours are therefore not settled; "
                "save it without an alpha channel"
            )
    return image if image.mode == "RGB" else image.convert("RGB")


@dataclass(frozen=True, eq=False)
class Mask:
    """A mask by its meaning, and what its file had."""

    image: Image.Image  # L, 0 to 255
    levels: int  # grey levels in the file
    between: float  # share of pixels that are nearer to neither end than an eighth of the range


def mask(image: Image.Image, *, upper_bits: bool = False, rule: MaskRule = GUESSED) -> Mask:
    """The lesion that a picture marks. Raises Unusable where it marks none, or where that cannot be told.

    upper_bits: of each 16-bit colour only the upper half was decoded, which a mask of 0 and 1 does not survive.
    rule: what the values mean, as far as a layout says it.
    """
    _check_mode(image)
    if rule.foreground or rule.threshold:
        return _by_rule(image, rule)
    if rule.empty and _is_black(image):
        return Mask(Image.new("L", image.size), 1, 0.0)
    found = _guessed(image, upper_bits)
    return Mask(ImageOps.invert(found.image), found.levels, found.between) if rule.inverted else found


def _is_black(image: Image.Image) -> bool:
    """Whether no pixel has any brightness, whatever its alpha."""
    plain = image if image.mode in DEEP else image.convert("RGB").convert("L")
    return plain.getextrema() == (0, 0)


def _by_rule(image: Image.Image, rule: MaskRule) -> Mask:
    """The lesion by the values that a layout names. Raises Unusable where they mark nothing, or are not to be had."""
    values = np.asarray(image if image.mode in (*DEEP, "L", "P") else _grey(image))
    lesion = np.isin(values, rule.foreground) if rule.foreground else values >= rule.threshold
    lesion = lesion ^ rule.inverted
    if not rule.empty and not lesion.any():
        wanted = f"foreground {rule.foreground}" if rule.foreground else f"threshold {rule.threshold}"
        raise Unusable(
            f"marks no lesion by the {wanted} of its layout: it has {_named(np.unique(values))}; mend either"
        )
    return Mask(Image.fromarray(np.where(lesion, 255, 0).astype(np.uint8)), len(np.unique(values)), 0.0)


def _grey(image: Image.Image) -> Image.Image:
    """Of a picture in colours that are all grey. Raises Unusable for others."""
    colours = np.asarray(image.convert("RGB")).astype(np.int16)
    if np.ptp(colours, axis=2).max() > 32:  # a JPEG of grey has colours that differ by a few
        raise Unusable("has colours, of which the layout's grey levels say nothing; save it as grey PNG")
    return image.convert("L")


def _guessed(image: Image.Image, upper_bits: bool) -> Mask:
    if image.mode not in DEEP and image.has_transparency_data:
        whole = image.convert("RGBA")
        return _of_colours_and_alpha(whole.convert("L"), whole.getchannel("A"))
    if upper_bits and image.convert("L").getextrema() == (0, 0):
        raise Unusable(f"is black in the upper 8 of its 16 bits per colour; {_SAVE_MASK}, as 8-bit grey")
    return _of_grey(image if image.mode in DEEP or image.mode == "L" else image.convert("L"))


def _of_colours_and_alpha(colours: Image.Image, alpha: Image.Image) -> Mask:
    """Both of mode L."""
    if _is_even(alpha):
        return _of_grey(colours)
    if _is_even(colours):
        return _of_grey(alpha)
    by_colour, by_alpha = _of_grey(colours), _of_grey(alpha)
    differing = (np.asarray(by_colour.image) >= 128) != (np.asarray(by_alpha.image) >= 128)
    if differing.mean() > 0.01:
        raise Unusable(
            f"marks one area by its colours and another by its alpha channel ({100 * differing.mean():.3g} % of the "
            "pixels differ); save the one that is meant as a grey PNG without alpha"
        )
    return by_colour


def _is_even(image: Image.Image) -> bool:
    low, high = image.getextrema()
    return low == high


def _of_grey(image: Image.Image) -> Mask:
    """Of mode L or one of DEEP."""
    if image.mode == "L":
        histogram = np.array(image.histogram())
        values = np.flatnonzero(histogram)
        low, high = ends(values, histogram[values], 255)
        if (low, high) != (0, 255):
            image = image.point(_scaled(np.arange(256), low, high).tolist())
        return Mask(image, len(values), between(values, histogram[values]))
    pixels = np.asarray(image)
    values, counts = np.unique(pixels, return_counts=True)
    low, high = ends(values, counts, _full(pixels, image.mode))
    return Mask(Image.fromarray(_scaled(pixels, low, high)), len(values), between(values, counts))


def ends(values: np.ndarray, counts: np.ndarray, full: float) -> tuple[float, float]:
    """The grey that means skin and the one that means lesion.

    values, counts: (L,) the grey levels of a mask, ascending, and how many pixels have each. full: the most that its
    depth allows. Raises Unusable, see the table above.
    """
    low, high = values[0].item(), values[-1].item()
    if len(values) == 1:
        every = {0: "marks no lesion: every pixel is 0", full: f"marks every pixel as lesion: all are {full:g}"}
        raise Unusable(f"{every.get(low, f'marks no lesion: every pixel is {low:g}')}; {_GET_MASK}")
    if len(values) == 2:
        return low, high
    inside = between(values, counts)
    if (low, high) == (0, full):
        if inside > PICTURE:
            raise Unusable(
                f"is no mask: {100 * inside:.0f} % of its pixels are neither dark nor bright, as in a photograph; "
                f"{_SAVE_MASK}"
            )
        return low, high
    if 1 < high <= 255 < full:
        full = 255  # a mask of 8 bits, stored with 16
    if 4 * (high - low) < full or inside > EDGES:
        raise Unusable(f"does not say which pixels are lesion: it has {_named(values)}; {_SAVE_MASK}")
    return low, high


def between(values: np.ndarray, counts: np.ndarray) -> float:
    """Share of pixels that are farther than an eighth of the range from the darkest and from the brightest."""
    values = values.astype(np.float64)
    margin = (values[-1] - values[0]) / 8
    inside = (values - values[0] > margin) & (values[-1] - values > margin)
    return float(counts[inside].sum() / counts.sum())


def _named(values: Sequence[float] | np.ndarray) -> str:
    if len(values) > 5:
        return f"{len(values)} grey levels from {values[0]:g} to {values[-1]:g}"
    return f"the grey levels {', '.join(f'{value:g}' for value in values)}"


def _scaled(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """uint8, `low` and below to 0, `high` and above to 255, to the nearest."""
    fractions = (values.astype(np.float64) - low) / (high - low)
    return np.rint(255 * fractions.clip(0, 1)).astype(np.uint8)


def _full(values: np.ndarray, mode: str) -> float:
    """The value of white. Raises Unusable where the values fit no convention."""
    low, high = values.min().item(), values.max().item()
    if mode == "F":
        if not (low >= 0 and high <= 255):  # also where one is not a number
            raise Unusable(
                f"holds floating-point values from {low:g} to {high:g}, not 0 to 1 or 0 to 255; save it with 8 bits"
            )
        return 1.0 if high <= 1 else 255.0
    if not 0 <= low <= high <= 65535:
        raise Unusable(f"holds values from {low} to {high}, not 0 to 65535; save it with 8 or 16 bits")
    return 65535.0


def _depth(mode: str) -> str:
    return "floating-point values" if mode == "F" else "16 bits"


def _check_mode(image: Image.Image) -> None:
    if image.mode not in DEEP + PLAIN:
        raise Unusable(f"has the colour mode {image.mode}, which is not known here; save it as RGB or grey PNG")
