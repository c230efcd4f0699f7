"""From pixel counts to metrics. Every metric in the project comes from these rows and from stored TP, FP, FN, TN.

A ratio 0 / 0 (nothing to find and nothing found) counts as 1, the convention of segmentation-models-pytorch and of the
ISIC challenges. All values are fractions in [0, 1]; percent exists only in print.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Counts = np.ndarray  # (..., 4) integers: tp, fp, fn, tn in pixels
COUNT_COLUMNS = ("tp", "fp", "fn", "tn")
EARLIER = {"miou": "iou"}  # keys of files from before version 0.4
ISIC_THRESHOLD = 0.65  # of the ISIC 2018 challenge: an image with a lower Jaccard index scores 0


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole elementwise, 1 where whole is 0."""
    part, whole = np.asarray(part, dtype=np.float64), np.asarray(whole, dtype=np.float64)
    return np.divide(part, whole, out=np.ones_like(whole), where=whole != 0)


def _foreground(tp: np.ndarray, fp: np.ndarray, fn: np.ndarray, tn: np.ndarray) -> np.ndarray:
    return _ratio(tp, tp + fp + fn)


def _both_classes(tp: np.ndarray, fp: np.ndarray, fn: np.ndarray, tn: np.ndarray) -> np.ndarray:
    return (_ratio(tp, tp + fp + fn) + _ratio(tn, tn + fp + fn)) / 2


def _thresholded(tp: np.ndarray, fp: np.ndarray, fn: np.ndarray, tn: np.ndarray) -> np.ndarray:
    jaccard = _ratio(tp, tp + fp + fn)
    return np.where(jaccard >= ISIC_THRESHOLD, jaccard, 0.0)


@dataclass(frozen=True)
class Metric:
    """One metric as one row: CSV key, heading in print, its function of (tp, fp, fn, tn), and how images are combined.

    `pooled`: the function is applied to counts summed over images; otherwise to each image, then the mean is taken.
    `better`: "higher" or "lower". `meaning`: what the number is, in words, where the heading does not say it.
    `plain`: heading where the paper is not quoted, empty where it is the same; use `own_heading`.
    """

    name: str
    heading: str
    function: Callable[..., np.ndarray]
    pooled: bool = True
    unit: str = "%"
    better: str = "higher"
    meaning: str = ""
    plain: str = ""

    @property
    def own_heading(self) -> str:
        """Heading of a number that is not the paper's."""
        return self.plain or self.heading

    def __call__(self, counts: Counts) -> np.ndarray:
        """(..., 4) counts to (...) fractions, without combining images."""
        counts = np.asarray(counts)
        return self.function(*(counts[..., i] for i in range(4)))

    def over_images(self, counts: Counts) -> np.ndarray:
        """(..., N, 4) counts to (...) fractions: the metric of the N images together."""
        counts = np.asarray(counts)
        return self(counts.sum(axis=-2)) if self.pooled else self(counts).mean(axis=-1)

    def without_each_image(self, counts: Counts) -> np.ndarray:
        """(..., N, 4) counts to (..., N) fractions: the metric of the other N - 1 images. N must be at least 2."""
        counts = np.asarray(counts)
        if self.pooled:
            return self(counts.sum(axis=-2, keepdims=True) - counts)
        values = self(counts)
        return (values.sum(axis=-1, keepdims=True) - values) / (values.shape[-1] - 1)

    def of_resamples(self, counts: Counts, times: np.ndarray) -> np.ndarray:
        """(S, N, 4) counts and (R, N) how often each image was drawn to (R, S) fractions."""
        seeds, images, _ = np.asarray(counts).shape
        if self.pooled:
            flat = np.asarray(counts, dtype=np.float64).transpose(1, 0, 2).reshape(images, seeds * 4)
            return self((times @ flat).reshape(-1, seeds, 4))
        return times @ self(counts).T / times.sum(axis=-1, keepdims=True)


METRICS = (  # of the paper's tables
    Metric("iou", "mIoU", _foreground, plain="IoU"),
    Metric("dsc", "DSC", lambda tp, fp, fn, tn: _ratio(2 * tp, 2 * tp + fp + fn)),
    Metric("acc", "Acc", lambda tp, fp, fn, tn: _ratio(tp + tn, tp + fp + fn + tn)),
    Metric("spe", "Spe", lambda tp, fp, fn, tn: _ratio(tn, tn + fp)),
    Metric("sen", "Sen", lambda tp, fp, fn, tn: _ratio(tp, tp + fn)),
)

_LESION = "IoU of the lesion"
DEFINITIONS = (  # of "mIoU", as papers of this field use the word
    Metric("iou_pooled", "Pooled foreground IoU", _foreground, meaning=f"{_LESION}, counts summed over images"),
    Metric("iou_per_image", "Mean over images", _foreground, False, meaning=f"{_LESION} in each image, then the mean"),
    Metric(
        "iou_both_classes",
        "Mean of both classes",
        _both_classes,
        meaning=f"mean of the {_LESION} and that of the background, counts summed over images",
    ),
    Metric(
        "iou_isic2018",
        "ISIC 2018 challenge",
        _thresholded,
        False,
        meaning=f"{_LESION} in each image, 0 where it is below {ISIC_THRESHOLD}, then the mean",
    ),
)


def metric_named(name: str) -> Metric:
    """The row of METRICS or DEFINITIONS with this key. Raises KeyError where there is none."""
    return {metric.name: metric for metric in (*METRICS, *DEFINITIONS)}[name]


def pooled(counts: Counts) -> dict[str, float]:
    """Metrics of (N, 4) counts summed over images: the paper's definition ("mIoU" is the foreground IoU)."""
    total = np.asarray(counts, dtype=np.int64).sum(axis=0)
    return {metric.name: float(metric(total)) for metric in METRICS}


def per_image_mean(counts: Counts) -> dict[str, float]:
    """Mean over images of each image's own metric, from (N, 4) counts: another number under the same names."""
    return {metric.name: float(metric(counts).mean()) for metric in METRICS}
