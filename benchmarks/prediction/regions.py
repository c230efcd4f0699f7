"""What is measured of one mask, in pixels of its photograph."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist


@dataclass(frozen=True)
class Regions:
    """The connected parts of a mask, of pixels that touch at a side or a corner."""

    number: int
    largest_area: int
    """Pixels of the largest."""
    diameter: float
    """Its largest diameter, pixels: between the outer corners of the two pixels that are farthest apart."""


def regions(mask: np.ndarray) -> Regions:
    """Of a mask (H, W) bool."""
    labels, number = ndimage.label(mask, np.ones((3, 3)))
    if number == 0:
        return Regions(0, 0, 0.0)
    areas = np.bincount(labels.ravel())[1:]
    largest = int(areas.argmax()) + 1
    place = ndimage.find_objects(labels, largest)[largest - 1]
    return Regions(number, int(areas[largest - 1]), _diameter(labels[place] == largest))


def _diameter(region: np.ndarray) -> float:
    """Largest distance between corners of pixels of one region (h, w) bool, which fills its rectangle."""
    rows = np.flatnonzero(region.any(axis=1))
    first = region[rows].argmax(axis=1)
    last = region.shape[1] - region[rows, ::-1].argmax(axis=1)  # behind the last pixel of each row
    corners = np.concatenate([np.stack([rows + down, x], axis=1) for down in (0, 1) for x in (first, last)])
    corners = np.unique(corners, axis=0).astype(np.float64)
    return float(pdist(corners[ConvexHull(corners).vertices]).max())
