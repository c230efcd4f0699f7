"""What stored pixels mean, decision by decision, without files."""

import numpy as np
import pytest
from PIL import Image

from benchmarks.datasets import meaning
from benchmarks.datasets.decoding import Unusable

ENDS = [  # grey levels with their numbers of pixels, the most that the depth allows; what means skin and lesion
    ({0: 80, 255: 20}, 255, (0, 255)),
    ({0: 80, 1: 20}, 255, (0, 1)),
    ({0: 80, 128: 20}, 255, (0, 128)),
    ({7: 80, 9: 20}, 255, (7, 9)),
    ({0: 80, 1: 20}, 65535, (0, 1)),
    ({300: 80, 65535: 20}, 65535, (300, 65535)),
    ({0: 800, 60: 40, 130: 40, 255: 120}, 255, (0, 255)),  # soft edges stay as they are
    ({0: 500, 120: 400, 255: 100}, 255, (0, 255)),  # of three classes, which is said
    ({0: 900, 64: 10, 128: 90}, 255, (0, 128)),  # soft edges of a mask of 0 and 128
    ({0: 900, 100: 10, 255: 90}, 65535, (0, 255)),  # 8 bits in 16
    ({0.0: 900, 0.5: 10, 1.0: 90}, 1.0, (0, 1)),
]
REFUSED = [
    ({0: 100}, 255, "marks no lesion: every pixel is 0"),
    ({1: 100}, 255, "marks no lesion: every pixel is 1"),
    ({255: 100}, 255, "marks every pixel as lesion"),
    ({65535: 100}, 65535, "marks every pixel as lesion"),
    ({0: 50, 1: 30, 2: 20}, 255, "has the grey levels 0, 1, 2"),
    ({0: 50, 38: 30, 219: 20}, 255, "has the grey levels 0, 38, 219"),
    ({250: 50, 252: 30, 255: 20}, 255, "does not say which pixels are lesion"),
    (dict.fromkeys(range(20, 200), 10), 255, "has 180 grey levels from 20 to 199"),
    (dict.fromkeys(range(256), 10), 255, "neither dark nor bright, as in a photograph"),
]


def levels(counted: dict) -> tuple[np.ndarray, np.ndarray]:
    return np.array(list(counted)), np.array(list(counted.values()))


@pytest.mark.parametrize(("counted", "full", "expected"), ENDS)
def test_which_grey_is_skin_and_which_is_lesion(counted: dict, full: float, expected: tuple) -> None:
    assert meaning.ends(*levels(counted), full) == expected


@pytest.mark.parametrize(("counted", "full", "words"), REFUSED)
def test_grey_levels_that_say_nothing_are_refused(counted: dict, full: float, words: str) -> None:
    with pytest.raises(Unusable, match=words):
        meaning.ends(*levels(counted), full)


def test_share_between_the_ends_leaves_out_an_eighth_on_either_side() -> None:
    values, counts = levels({0: 10, 10: 20, 13: 30, 87: 1, 90: 15, 100: 24})
    assert meaning.between(values, counts) == pytest.approx(0.31)


RAMP = np.arange(256, dtype=np.float64).reshape(16, 16)
DEEP_PHOTOGRAPHS = [
    (RAMP.astype(np.uint16) * 257, RAMP),
    ((RAMP * 257).astype(np.int32), RAMP),
    ((RAMP / 255).astype(np.float32), RAMP),
    (RAMP.astype(np.float32), RAMP),
    ((128 + RAMP * 128).astype(np.uint16), np.rint((128 + RAMP * 128) / 257)),
]


@pytest.mark.parametrize(("stored", "expected"), DEEP_PHOTOGRAPHS)
def test_deep_photographs_are_scaled_by_their_depth_and_not_cut(stored: np.ndarray, expected: np.ndarray) -> None:
    found = np.asarray(meaning.photograph(Image.fromarray(stored)))
    np.testing.assert_array_equal(found, np.dstack([expected.astype(np.uint8)] * 3))


@pytest.mark.parametrize(
    ("stored", "words"),
    [
        ((RAMP * 8).astype(np.uint16), "almost black: its brightest pixel is 2040 where its 16 bits allow 65535"),
        ((RAMP * 1000).astype(np.int32), "holds values from 0 to 255000, not 0 to 65535"),
        ((RAMP - 5).astype(np.int32), "holds values from -5 to 250"),
        ((RAMP * 3).astype(np.float32), "floating-point values from 0 to 765"),
        (np.where(RAMP > 9, np.nan, RAMP).astype(np.float32), "floating-point values from nan to nan"),
    ],
)
def test_deep_photographs_of_no_known_scale_are_refused(stored: np.ndarray, words: str) -> None:
    with pytest.raises(Unusable, match=words):
        meaning.photograph(Image.fromarray(stored))


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.float32])
def test_deep_masks_of_two_levels(kind: type) -> None:
    lesion = RAMP > 200
    found = meaning.mask(Image.fromarray((3 + 40 * lesion).astype(kind)))
    np.testing.assert_array_equal(np.asarray(found.image), 255 * lesion)
    assert (found.levels, found.between) == (2, 0)


def test_colours_keep_their_meaning_as_CMYK() -> None:
    picture = Image.fromarray(np.dstack([RAMP, RAMP[::-1], RAMP]).astype(np.uint8))
    found = np.asarray(meaning.photograph(picture.convert("CMYK")))
    np.testing.assert_array_equal(found, np.asarray(picture.convert("CMYK").convert("RGB")))


def test_a_mask_of_0_and_128_is_not_eroded_by_scaling() -> None:
    lesion = np.zeros((64, 64), np.uint8)
    lesion[16:48, 16:48] = 128
    scaled = meaning.mask(Image.fromarray(lesion)).image.resize((16, 16), Image.Resampling.BILINEAR)
    assert (np.asarray(scaled) >= 128).sum() == 64


def test_upper_bits_that_are_all_black_say_so() -> None:
    with pytest.raises(Unusable, match="is black in the upper 8 of its 16 bits per colour"):
        meaning.mask(Image.new("RGB", (4, 4)), upper_bits=True)


def test_unknown_colour_mode() -> None:
    with pytest.raises(Unusable, match="has the colour mode LAB"):
        meaning.photograph(Image.new("LAB", (4, 4)))
