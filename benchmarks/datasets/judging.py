"""Judging masks, one by one and all together: what cannot be is refused, what is unlikely is said with names.

The thresholds were set on the real sets, prepared at 256 px (2,594 images of isic2018, 2,000 of isic2017), so that they
pass with few doubts. Measured there:

    share of lesion                       0.0029 to 0.987 and 0.0029 to 0.942; medians 0.138 and 0.130
    masks with a share above 0.97         4 and 0
    smallest share of a border            all four borders are lesion for 0.75 of their length in 2 and 0 masks
    agreement with the image's edges      see agreement.py
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks.datasets import agreement
from benchmarks.datasets.meaning import EDGES
from results.errors import RequestError

LARGEST, SMALLEST = 0.97, 0.002  # share of lesion of one mask
BORDER = 0.75  # share of lesion on each of the four borders from which a mask is likely to be inverted
MEDIANS = (0.01, 0.6)  # share of lesion of the median mask
NO_EDGE = 0.1  # agreement below which a mask's edge lies on no edge of the image: 0.3 % and 0.1 % of the real ones
FEW_LEVELS = 8  # grey levels up to which pixels between the ends are classes rather than soft edges
CLASSES = 0.01  # share of pixels between the ends, in a mask of few levels
ENOUGH = 30  # pairs from which the agreement of a whole set is evidence
CHANCE = 0.65  # share of masks that agree with their image better than another image's mask does; by chance 0.5
SHOWN = 5  # names in a sentence


@dataclass(frozen=True, eq=False)
class Signs:
    """What one pair is judged by; S = agreement.SIDE."""

    name: str
    levels: int  # grey levels in the mask's file
    between: float  # share of its pixels that are near neither end
    share: float  # of lesion
    border: float  # of lesion, on the border that has least
    image: np.ndarray  # (S, S, 3) uint8
    mask: np.ndarray  # (S, S) uint8

    @classmethod
    def of(cls, name: str, image: np.ndarray, mask: np.ndarray, levels: int = 2, between: float = 0.0) -> "Signs":
        """Of a prepared image (H, W, 3) and mask (H, W), uint8; levels and between are those of the mask's file."""
        lesion = mask >= 128
        border = min(float(line.mean()) for line in (lesion[0], lesion[-1], lesion[:, 0], lesion[:, -1]))
        small = agreement.thumbnail(image), agreement.thumbnail(mask)
        return cls(name, levels, between, float(lesion.mean()), border, *small)


@dataclass
class Judgement:
    """Sentences about a set, without a final stop."""

    impossible: list[str] = field(default_factory=list)
    unlikely: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Doubt:
    """One thing that is unlikely of a mask."""

    applies: Callable[[Signs], bool]
    number: Callable[[Signs], str]
    text: str  # of a sentence that begins with how many there are


_DOUBTS = (
    _Doubt(
        lambda each: each.border >= BORDER,
        lambda each: f"{100 * each.border:.0f} %",
        f"lesion along all four borders, which inverted masks have (at least {100 * BORDER:.0f} % of each border)",
    ),
    _Doubt(
        lambda each: each.share > LARGEST,
        lambda each: f"{100 * each.share:.1f} %",
        f"a lesion that fills more than {100 * LARGEST:.0f} % of the image",
    ),
    _Doubt(
        lambda each: 0 < each.share < SMALLEST,
        lambda each: f"{100 * each.share:.2g} %",
        f"a lesion that fills less than {100 * SMALLEST:.1f} % of the image",
    ),
    _Doubt(
        lambda each: each.levels <= FEW_LEVELS and each.between > CLASSES,
        lambda each: f"{each.levels} levels, {100 * each.between:.1f} % between",
        "a few grey levels as of classes; what is brighter than half counts as lesion",
    ),
    _Doubt(
        lambda each: each.levels > FEW_LEVELS and each.between > EDGES,
        lambda each: f"{100 * each.between:.0f} %",
        f"more than {100 * EDGES:.0f} % of their pixels neither dark nor bright, as photographs and overlays have",
    ),
)


def judged(signs: Sequence[Signs]) -> Judgement:
    """What is impossible and what is unlikely of a whole set, in the order of the signs."""
    found = Judgement()
    for doubt in _DOUBTS:
        if named := [f"{each.name} ({doubt.number(each)})" for each in signs if doubt.applies(each)]:
            found.unlikely.append(f"{_masks(len(named))} {doubt.text}: {listed(named)}")
    _judge_inversion(signs, found)
    _judge_edges(signs, found)
    return found


def _judge_inversion(signs: Sequence[Signs], found: Judgement) -> None:
    inverted = sum(each.border >= BORDER for each in signs)
    if 2 * inverted > len(signs):
        found.impossible.append(
            f"the masks are inverted: {inverted} of {len(signs)} have lesion along all four borders; "
            "make lesion 255 and skin 0"
        )
        return
    middle = float(np.median([each.share for each in signs]))
    if not MEDIANS[0] <= middle <= MEDIANS[1]:
        found.unlikely.append(
            f"The median mask has {100 * middle:.2g} % lesion; between {100 * MEDIANS[0]:.0f} and "
            f"{100 * MEDIANS[1]:.0f} % are usual"
        )


def _judge_edges(signs: Sequence[Signs], found: Judgement) -> None:
    images, masks = np.stack([each.image for each in signs]), np.stack([each.mask for each in signs])
    names, own = [each.name for each in signs], agreement.own(images, masks)
    better = float(np.mean(own > agreement.with_another(images, masks)))
    if len(signs) >= ENOUGH and better < CHANCE:
        found.impossible.append(
            f"the masks do not belong to their images: only {100 * better:.0f} % agree with the edges of their own "
            "image better than the mask of another image does (95 % and more are usual); pair them again by name"
        )
        return
    if pairs := agreement.swapped(images, masks, own):
        found.unlikely.append(
            f"{len(pairs)} {'pair of masks looks' if len(pairs) == 1 else 'pairs of masks look'} swapped, each mask "
            f"lying on the edges of the other's image: {listed(agreement.in_words(names, pairs))}"
        )
    paired = {position for pair in pairs for position in pair}
    lost = [at for at in np.argsort(own, kind="stable") if own[at] < NO_EDGE and at not in paired]
    if lost:
        named = [f"{names[at]} ({own[at]:.2f})" for at in lost]
        found.unlikely.append(f"{_masks(len(lost))} an edge that lies on no edge of the image: {listed(named)}")


def _masks(count: int) -> str:
    return "1 mask has" if count == 1 else f"{count} masks have"


def listed(names: Sequence[str]) -> str:
    """The first few, and how many more."""
    rest = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def refuse(where: object, doubts: Sequence[str], vanished: Sequence[str], size: int) -> None:
    """What --strict asks for. Raises RequestError where there is a doubt or a vanished lesion (names, at this size)."""
    if reasons := [*doubts, *filter(None, [vanished_in_words(vanished, size)])]:
        raise RequestError(
            f"{where} is refused with --strict: {'; '.join(reasons)}; look at them, and mend them or leave out "
            "--strict."
        )


def vanished_in_words(names: Sequence[str], size: int) -> str:
    """About the masks of which no pixel reaches half at this size; empty where there are none."""
    if not names:
        return ""
    return (
        f"{len(names)} {'lesion vanishes' if len(names) == 1 else 'lesions vanish'} at {size} px, where no pixel of "
        f"the mask reaches 128: {listed(list(names))}"
    )
