"""From pixel counts to metrics. Every metric in the project comes from these rows and from stored TP, FP, FN, TN.

A ratio 0 / 0 (nothing to find and nothing found) counts as 1, the convention of segmentation-models-pytorch. All values
are fractions in [0, 1]; percent exists only in print.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Counts = np.ndarray  # (..., 4) integers: tp, fp, fn, tn in pixels
COUNT_COLUMNS = ("tp", "fp", "fn", "tn")


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole elementwise, 1 where whole is 0."""
    part, whole = np.asarray(part, dtype=np.float64), np.asarray(whole, dtype=np.float64)
    return np.divide(part, whole, out=np.ones_like(whole), where=whole != 0)


@dataclass(frozen=True)
class Metric:
    """One metric: CSV key, heading in print, and its function of (tp, fp, fn, tn). Higher is better for all of them."""

    name: str
    heading: str
    function: Callable[..., np.ndarray]

    def __call__(self, counts: Counts) -> np.ndarray:
        """(..., 4) counts to (...) fractions."""
        counts = np.asarray(counts)
        return self.function(*(counts[..., i] for i in range(4)))


METRICS = (
    Metric("miou", "mIoU", lambda tp, fp, fn, tn: _ratio(tp, tp + fp + fn)),
    Metric("dsc", "DSC", lambda tp, fp, fn, tn: _ratio(2 * tp, 2 * tp + fp + fn)),
    Metric("acc", "Acc", lambda tp, fp, fn, tn: _ratio(tp + tn, tp + fp + fn + tn)),
    Metric("spe", "Spe", lambda tp, fp, fn, tn: _ratio(tn, tn + fp)),
    Metric("sen", "Sen", lambda tp, fp, fn, tn: _ratio(tp, tp + fn)),
)


def pooled(counts: Counts) -> dict[str, float]:
    """Metrics of (N, 4) counts summed over images: the paper's definition ("mIoU" is the foreground IoU)."""
    total = np.asarray(counts, dtype=np.int64).sum(axis=0)
    return {metric.name: float(metric(total)) for metric in METRICS}


def per_image_mean(counts: Counts) -> dict[str, float]:
    """Mean over images of each image's own metric, from (N, 4) counts: another number under the same names."""
    return {metric.name: float(metric(counts).mean()) for metric in METRICS}
