"""What a test part shares with the images that trained or chose the weights: near-duplicates, and ids of another set.

Two photographs are compared in three steps, each in the eight orientations that quarter turns and flips give:

1. A perceptual hash (pHash: the signs, about their median, of the 8 x 8 lowest cosine frequencies of the grey image at
   32 x 32) finds candidates. Two hashes may differ in DISTANCE of 64 bits. On 200 images of ISIC2018 every bit is that
   of imagehash 4.3.2, which takes one image at a time.
2. The correlation of the grey images at 32 x 32. From CORRELATION on, the pair is a near-duplicate: one photograph
   stored twice, or one lesion in the same position and light.
3. The correlation of their fine structure (grey at 64 x 64 without its blur, best over shifts of SHIFT pixels). From
   DETAIL on, and with a grey correlation of RESEMBLANCE, the pair shows the same lesion: cropped or coloured otherwise,
   or photographed again.

The thresholds were set by looking at the pairs of whole data sets. All 34 pairs of ISIC2018 above them show one lesion.
Just below lie pairs of two lesions (detail 0.483 and 0.478) and a few of one (0000182 / 0015395 at 0.475, 0000226 /
0014949 at 0.441), so the count is a lower bound. RESEMBLANCE keeps out one pair of ISIC2017 whose rulers coincide
(0013014 / 0014529, correlation 0.53). Plain correlation alone separates nothing below 0.98: two round dark lesions on
bright skin reach 0.97. The hash's limit keeps out images with dark corners, whose fine structure is the corners'.

N = number of images.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy.fft import dctn, irfft2, rfft2
from scipy.ndimage import gaussian_filter
from scipy.signal.windows import hann

from benchmarks.datasets import archives, splits
from benchmarks.datasets.pixels import in_order
from benchmarks.datasets.store import PreparedSet
from results.leakage import NEAR_DUPLICATE, NONE, SAME_LESION

DISTANCE = 10  # bits of 64
CORRELATION = 0.98
DETAIL, RESEMBLANCE = 0.5, 0.85
SHIFT = 6  # pixels of 64
SIDE, FINE_SIDE, LOW = 32, 64, 8
ORIENTATIONS = (
    "as it is",
    "flipped vertically",
    "flipped horizontally",
    "turned by 180 degrees",
    "transposed",
    "turned by 90 degrees",
    "turned by 270 degrees",
    "transposed across the other diagonal",
)
THRESHOLDS = {
    NEAR_DUPLICATE: f"distance <= {DISTANCE} and correlation >= {CORRELATION}",
    SAME_LESION: f"distance <= {DISTANCE}, detail >= {DETAIL} and correlation >= {RESEMBLANCE}",
}
THRESHOLDS[NONE] = " or ".join(THRESHOLDS.values())


@dataclass(frozen=True)
class Pair:
    """Two positions of a prepared set, how alike their images are, and how the other one is turned to be so."""

    test: int
    other: int
    distance: int  # bits of 64
    correlation: float
    detail: float
    orientation: int  # of ORIENTATIONS

    @property
    def kind(self) -> str:
        """NEAR_DUPLICATE, SAME_LESION, or NONE below both thresholds."""
        if self.correlation >= CORRELATION:
            return NEAR_DUPLICATE
        return SAME_LESION if self.detail >= DETAIL and self.correlation >= RESEMBLANCE else NONE


def turned(pictures: np.ndarray, orientation: int) -> np.ndarray:
    """(N, H, H) in one of the eight orientations of a square, in the order of ORIENTATIONS."""
    if orientation & 4:
        pictures = pictures.swapaxes(-1, -2)
    if orientation & 1:
        pictures = pictures[:, ::-1]
    if orientation & 2:
        pictures = pictures[:, :, ::-1]
    return pictures


def hashes(grey: np.ndarray) -> np.ndarray:
    """(N, 32, 32) grey to (N, 64) of -1 and 1, so that the distance of two is (64 - their product) / 2."""
    low = dctn(grey, axes=(1, 2))[:, :LOW, :LOW].reshape(len(grey), LOW * LOW)
    return np.where(low > np.median(low, axis=1, keepdims=True), 1.0, -1.0).astype(np.float32)


class Pictures:
    """Grey images of a prepared set at two sides, compared pair by pair."""

    def __init__(self, images: np.ndarray) -> None:
        """`images`: (N, H, W, 3) uint8."""

        def small(position: int) -> tuple[np.ndarray, np.ndarray]:
            grey = Image.fromarray(images[position]).convert("L")
            sides = ((side, side) for side in (SIDE, FINE_SIDE))
            coarse, fine = (np.asarray(grey.resize(each, Image.Resampling.LANCZOS), np.float32) for each in sides)
            return coarse, fine

        coarse, fine = (np.stack(each) for each in zip(*in_order(small, range(len(images))), strict=True))
        self.coarse, self.flat = coarse, _unit(coarse)
        window = np.sqrt(np.outer(*[hann(FINE_SIDE + 2)[1:-1]] * 2)).astype(np.float32)
        detail = fine - gaussian_filter(fine, (0, 1, 1))
        self.detail = _unit((detail - detail.mean(axis=(1, 2), keepdims=True)) * window, centred=False)

    def alike(self, test: np.ndarray, others: np.ndarray) -> list[Pair]:
        """Near-duplicates and pictures of the same lesion, of positions `test` with positions `others`.

        Of each pair the orientation with the largest detail is kept; sorted by test position, then by correlation.
        """
        found: dict[tuple[int, int], Pair] = {}
        for pair in self._candidates(test, others):
            before = found.get((pair.test, pair.other))
            if pair.kind != NONE and (before is None or pair.detail > before.detail):
                found[pair.test, pair.other] = pair
        return sorted(found.values(), key=lambda pair: (pair.test, -pair.correlation, pair.other))

    def _candidates(self, test: np.ndarray, others: np.ndarray) -> Iterator[Pair]:
        """All pairs within DISTANCE, once in each orientation in which they are."""
        own = hashes(self.coarse[test])
        spectra = rfft2(self.detail[test])
        near = np.r_[-SHIFT : SHIFT + 1]
        for orientation in range(len(ORIENTATIONS)):
            coarse = turned(self.coarse[others], orientation)
            distances = np.rint((LOW * LOW - own @ hashes(coarse).T) / 2).astype(int)
            flat = _unit(coarse)
            for row, column in np.argwhere(distances <= DISTANCE):
                detail = rfft2(turned(self.detail[others[column : column + 1]], orientation)[0])
                shifted = irfft2(spectra[row] * np.conj(detail), s=(FINE_SIDE, FINE_SIDE))
                yield Pair(
                    int(test[row]),
                    int(others[column]),
                    int(distances[row, column]),
                    float((self.flat[test[row]] * flat[column]).sum()),
                    float(shifted[np.ix_(near, near)].max()),
                    orientation,
                )


def _unit(pictures: np.ndarray, centred: bool = True) -> np.ndarray:
    """(N, H, H), each scaled to a sum of squares of 1 after its mean is taken off; zeros where it is even."""
    if centred:
        pictures = pictures - pictures.mean(axis=(1, 2), keepdims=True)
    norm = np.sqrt(np.square(pictures).sum(axis=(1, 2), keepdims=True))
    return np.divide(pictures, norm, out=np.zeros_like(pictures), where=norm > 0)


def near_duplicates(prepared: PreparedSet) -> list[dict]:
    """The rows of results/near_duplicates.csv for a data set under every split rule (results.leakage.PAIR_COLUMNS)."""
    pictures, rows = Pictures(prepared.images), []
    for rule in _rules(prepared):
        split = prepared.split(rule)
        part = dict.fromkeys(split.train.tolist(), "train") | dict.fromkeys(split.validation.tolist(), "validation")
        searched: dict[str, object] = {
            "dataset": prepared.name,
            "fingerprint": prepared.fingerprint[:12],
            "split": rule,
        }
        searched |= {"test_images": len(split.test)}
        found = pictures.alike(np.sort(split.test), np.array(sorted(part)))
        rows += [{**searched, **_row(pair, prepared.ids, part[pair.other])} for pair in found]
        if not found:
            rows.append({**searched, "kind": NONE, "threshold": THRESHOLDS[NONE]})
    return rows


def _rules(prepared: PreparedSet) -> list[str]:
    """Under which the pairs are counted."""
    return list(splits.RULES) if prepared.parts is None else [prepared.default_split]


def _row(pair: Pair, ids: Sequence[str], part: str) -> dict:
    return {
        "test_id": ids[pair.test],
        "other_id": ids[pair.other],
        "other_part": part,
        "kind": pair.kind,
        "threshold": THRESHOLDS[pair.kind],
        "distance": pair.distance,
        "correlation": round(pair.correlation, 4),
        "detail": round(pair.detail, 4),
        "orientation": ORIENTATIONS[pair.orientation],
    }


def counted(prepared: PreparedSet, rows: Sequence[dict]) -> list[str]:
    """One sentence per split rule: how many test images have such a pair, by kind."""
    sentences = []
    for rule in _rules(prepared):
        kinds = {
            kind: len({row["test_id"] for row in rows if (row["split"], row["kind"]) == (rule, kind)})
            for kind in (NEAR_DUPLICATE, SAME_LESION)
        }
        numbers = ", ".join(f"{number} {kind} ({THRESHOLDS[kind]})" for kind, number in kinds.items())
        sentences.append(f"{prepared.name}, split {rule}: of {len(prepared.split(rule).test)} test images {numbers}.")
    return sentences


def shared_ids(first: str = "isic2017", second: str = "isic2018") -> list[dict]:
    """The rows of results/shared_ids.csv: ids that the parts of two data sets share, from the committed manifests."""
    rows = []
    for rule in splits.RULES:
        parts = {name: _parts(name, rule) for name in (first, second)}
        for part, mine in parts[first].items():
            for other_part, theirs in parts[second].items():
                both = {"dataset": first, "part": part, "images": len(mine)}
                other = {"other_dataset": second, "other_part": other_part, "shared": len(mine & theirs)}
                rows.append({"split": rule, **both, **other})
    return rows


def _parts(name: str, rule: str) -> dict[str, set[str]]:
    ids = archives.manifest(name)
    split = splits.cut(ids, splits.COUNTS[name], rule)
    return {part: {ids[row] for row in getattr(split, part)} for part in ("train", "validation", "test")}
