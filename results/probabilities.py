"""probabilities.csv: how the predicted probabilities of each scored image spread over bins, lesion and skin apart.

With it other thresholds than one half, and whether a probability can be believed, are known without the network.
"""

from typing import Self

import numpy as np
import pandas as pd

from results.schema import MOST_PIXELS
from results.table import Column, Table

EDGES = (0.0, 0.001, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999, 1.0)
"""Of the bins [low, high), the last one with its end. Narrow where most pixels are; one half is an edge."""
BINS = len(EDGES) - 1
TRUTHS = ("skin", "lesion")


def bin_columns(truth: str) -> list[str]:
    """Of "skin" or "lesion": lesion_0.5 counts the lesion's pixels with a probability in the bin that begins there."""
    return [f"{truth}_{low:g}" for low in EDGES[:-1]]


class Probabilities(Table):
    """One row per scored image; pixels in each bin."""

    COLUMNS = (
        Column("id", str),
        *(Column(name, int, low=0, high=MOST_PIXELS) for truth in TRUTHS for name in bin_columns(truth)),
    )
    KEY = ("id",)

    @classmethod
    def of(cls, ids: list[str], spread: np.ndarray) -> Self:
        """Of (N, 2, BINS) pixels: skin, then lesion."""
        rows = pd.DataFrame(spread.reshape(len(ids), -1), columns=cls.names()[1:])
        rows.insert(0, "id", ids)
        return cls(rows)

    @property
    def pixels(self) -> np.ndarray:
        """(N, 2, BINS) int64: skin, then lesion."""
        return self.rows[self.names()[1:]].to_numpy(np.int64).reshape(len(self.rows), 2, BINS)


def counts_at(pixels: np.ndarray, threshold: float) -> np.ndarray:
    """(..., 2, BINS) to (..., 4) tp, fp, fn, tn in pixels, for a threshold that is one of EDGES."""
    at = EDGES.index(threshold)
    above, below = pixels[..., at:].sum(axis=-1), pixels[..., :at].sum(axis=-1)
    return np.stack([above[..., 1], above[..., 0], below[..., 1], below[..., 0]], axis=-1)


def reliability(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(2, BINS) pixels to three (BINS,): predicted probability (the bin's middle), share of lesion, share of pixels.

    The share of lesion is NaN where a bin is empty.
    """
    middle = (np.array(EDGES[:-1]) + np.array(EDGES[1:])) / 2
    total = pixels.sum(axis=0).astype(np.float64)
    lesion = np.divide(pixels[1], total, out=np.full(BINS, np.nan), where=total > 0)
    return middle, lesion, total / max(1.0, total.sum())


def calibration_error(pixels: np.ndarray) -> float:
    """Expected calibration error of (2, BINS) pixels: mean over pixels of |predicted probability - share of lesion|.

    By the bins above, with the middle of each for its pixels, which is at most half a bin's width off; the two widest
    bins, 0.1, hold few pixels. Source: Guo and others, On calibration of modern neural networks, ICML 2017.
    """
    middle, lesion, share = reliability(pixels)
    return float(np.nansum(np.abs(middle - lesion) * share))
