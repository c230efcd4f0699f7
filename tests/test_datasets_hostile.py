"""Every bad pair gets a sentence and every good one its pixels; LESION_BENCHMARKS_HOSTILE=60 tries 2,000 of them.

The suite tries damage at a few places of each file. By hand: `LESION_BENCHMARKS_HOSTILE=60 python -m pytest -n 0
tests/test_datasets_hostile.py` takes less than a minute.
"""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.datasets import archives, decoding, pixels, sources
from results.errors import RequestError
from tests import hostile_files as hostile

PLACES = int(os.environ.get("LESION_BENCHMARKS_HOSTILE", "6"))


@pytest.fixture
def read(tmp_path: Path) -> Callable[[hostile.Case], pixels.Decoded]:
    pair = archives.Pair("a", *(sources.Member(tmp_path, name) for name in ("image.jpg", "mask.png")))

    def read(case: hostile.Case) -> pixels.Decoded:
        (tmp_path / "image.jpg").write_bytes(case.image)
        (tmp_path / "mask.png").write_bytes(case.mask)
        return pixels.decoded(pair, hostile.HEIGHT)

    return read


def is_sentence(text: str) -> bool:
    """It names a file, fits a line, ends, and shows nothing of Python's inside."""
    inside = ("0x", "object at", "Traceback", "<", "struct.", "unpack_from")
    return text.isprintable() and text.endswith(".") and "; " in text and not any(each in text for each in inside)


def test_each_bad_pair_gets_a_sentence_or_its_right_pixels(read: Callable[[hostile.Case], pixels.Decoded]) -> None:
    expected = read(hostile.Case("", hostile.IMAGE, hostile.MASK, hostile.RIGHT))
    wrong, tried = [], 0
    with decoding.quiet():
        for case in hostile.cases(PLACES):
            tried += 1
            try:
                found = read(case)
            except RequestError as error:
                named = [name for name in ("image.jpg", "mask.png") if name in str(error)]
                outcome = hostile.SENTENCE if named and is_sentence(str(error)) else f"said {error}"
            else:
                same = np.array_equal(found.image, expected.image) and np.array_equal(found.mask, expected.mask)
                outcome = hostile.RIGHT if same else "other pixels"
            if outcome != case.outcome and not (
                case.outcome == hostile.EITHER and outcome in (hostile.RIGHT, hostile.SENTENCE)
            ):
                wrong.append(f"{case.label}: {outcome}, not {case.outcome}")
    assert not wrong, "\n".join(wrong)
    assert tried > 100 + 30 * PLACES


def test_no_warning_of_the_decoder_comes_out(
    read: Callable[[hostile.Case], pixels.Decoded], recwarn: pytest.WarningsRecorder
) -> None:
    """Image.open warns of pictures from 90 million pixels on; here they are decoded or refused."""
    large = hostile.sides(10_000, 9_000)
    with pytest.raises(RequestError, match=r"image\.jpg cannot be read \(image file is truncated"):
        read(hostile.Case("", large, large, hostile.SENTENCE))
    assert not recwarn.list
