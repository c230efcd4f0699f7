"""What n numbers are in two or three: mean and standard deviation of seeds, median and quartiles of timings."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


def mean_and_sd(values: Sequence[float] | np.ndarray) -> tuple[float, float | None]:
    """Mean and sample standard deviation (n - 1) of (n,) values; None for the latter where n is 1."""
    values = np.asarray(values, dtype=np.float64)
    return float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else None


@dataclass(frozen=True)
class Quartiles:
    """Median, lower and upper quartile of n values, interpolated linearly."""

    median: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, values: Sequence[float] | np.ndarray) -> "Quartiles":
        """Of (n,) values."""
        low, median, high = np.percentile(values, (25, 50, 75))
        return cls(float(median), float(low), float(high), len(values))
