"""Do the published pairs of mIoU and DSC agree with each other? Both from the same pooled counts obey
DSC = 2 IoU / (1 + IoU), whatever the network; a pair that does not was rounded, averaged or typed otherwise.

What rounding allows: either number may be off by half a unit of its last published digit. What averaging allows: the
identity holds for each seed, and the mean of a concave function lies below the function of the mean by at most half
its largest curvature times the variance over seeds, that is by (n - 1) / n s^2 * 2 / (1 + x)^3, x being the lowest IoU
that the spread permits. Where the paper gives no spread, a point is assumed.
"""

from dataclasses import dataclass

import pandas as pd

from reports.comparison.verdict import SEEDS
from reports.evidence import Evidence
from results.published import TABLES

HALF_A_DIGIT = 0.00005  # of a fraction: the paper gives percent with two decimals
ASSUMED_SPREAD = 0.01  # of mIoU over seeds where the paper gives none: larger than any that it gives
DERIVED = "DSC"  # a source that speaks of it says that one number was restored from the other


@dataclass(frozen=True)
class PublishedPair:
    """mIoU and DSC of one row as fractions, and the DSC that its mIoU allows.

    `derived`: one of the two was restored from the other by this identity, so that their agreement says nothing.
    """

    table: str
    dataset: str
    network: str
    label: str
    iou: float
    dsc: float
    low: float
    high: float
    derived: bool

    @property
    def holds(self) -> bool:
        return self.low <= self.dsc <= self.high

    @property
    def excess(self) -> float:
        """How far DSC lies outside of what is allowed, signed; 0 where the pair holds."""
        return max(self.dsc - self.high, 0.0) + min(self.dsc - self.low, 0.0)


def dsc_of(iou: float) -> float:
    """DSC of the same counts."""
    return 2 * iou / (1 + iou)


def allowed_dsc(iou: float, spread: float | None = None, seeds: int = SEEDS) -> tuple[float, float]:
    """Lowest and highest published DSC that a published mIoU allows; fractions. `spread`: sd over the seeds."""
    s = ASSUMED_SPREAD if spread is None else spread + HALF_A_DIGIT
    lowest = iou - HALF_A_DIGIT - s * (seeds - 1) / seeds**0.5
    averaging = (seeds - 1) / seeds * s**2 * 2 / (1 + max(lowest, 0.0)) ** 3
    return dsc_of(iou - HALF_A_DIGIT) - averaging - HALF_A_DIGIT, dsc_of(iou + HALF_A_DIGIT) + HALF_A_DIGIT


def published_pairs(evidence: Evidence) -> list[PublishedPair]:
    """Every row of Tables 1 to 3 with both numbers, in the paper's order."""
    return [
        _pair(name, row)
        for name in TABLES
        for row in evidence.published[name].to_dict("records")
        if not pd.isna(row.get("iou")) and not pd.isna(row.get("dsc"))
    ]


def _pair(table: str, row: dict) -> PublishedPair:
    iou, dsc, spread = row["iou"] / 100, row["dsc"] / 100, row.get("iou_std")
    low, high = allowed_dsc(iou, None if spread is None or pd.isna(spread) else spread / 100)
    return PublishedPair(
        table=table,
        dataset=row["dataset"],
        network=row["model"],
        label=str(row["label"]),
        iou=iou,
        dsc=dsc,
        low=low,
        high=high,
        derived=DERIVED in str(row["source"]),
    )
