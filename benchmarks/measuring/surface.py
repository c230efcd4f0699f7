"""How far the edge of a predicted mask is from the edge of the truth: HD95, ASSD and boundary F1, by a library.

The library is surface-distance (DeepMind), whose edges lie between pixels: an element of an edge is weighted by its
length. Both directions count. S. Nikolov and others, Journal of Medical Internet Research 23 (2021).
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.datasets import PreparedSet
from results import files, predictions, seal, surface
from results.cell import PREDICTIONS, SURFACE
from results.errors import RequestError
from results.runs import Run
from results.surface import ROWS, Distances, Surface

TOLERANCE = 2.0  # pixels
PERCENT = 95
INSTALL = 'pip install -e ".[surface]"'


def needed() -> Any:
    """The library. Raises RequestError where it is not installed."""
    try:
        with _quiet():
            import surface_distance
    except ImportError:
        raise RequestError(f"Distances of edges need the library surface-distance; {INSTALL}.") from None
    return surface_distance


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the warning that the library, which is no longer changed, uses old names of scipy."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Please import", DeprecationWarning)
        yield


def distances(predicted: np.ndarray, truth: np.ndarray) -> tuple[float, float, float]:
    """HD95 and ASSD in pixels, and F1 of the edges within `TOLERANCE`, of masks (H, W) bool.

    Two masks without an edge are alike: 0, 0, 1. Where only one has none, nothing can be measured, and the worst that
    is possible counts: the diagonal of the picture, twice, and 0.
    """
    if not predicted.any() and not truth.any():
        return 0.0, 0.0, 1.0
    if not predicted.any() or not truth.any():
        diagonal = float(np.hypot(*truth.shape))
        return diagonal, diagonal, 0.0
    library = needed()
    with _quiet():
        edges = library.compute_surface_distances(truth, predicted, spacing_mm=(1, 1))
    to_predicted, to_truth = library.compute_average_surface_distance(edges)
    lengths = edges["surfel_areas_gt"].sum(), edges["surfel_areas_pred"].sum()
    average = (to_predicted * lengths[0] + to_truth * lengths[1]) / sum(lengths)
    recall, precision = library.compute_surface_overlap_at_tolerance(edges, TOLERANCE)
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return float(library.compute_robust_hausdorff(edges, PERCENT)), float(average), float(f1)


def measure(run: Run, prepared: PreparedSet) -> Surface:
    """Measure every scored image of a run, and write both files into its folder.

    Raises RequestError where the run kept no masks, and where the data set is not the one that it scored.
    """
    library, path = needed(), run.folder / PREDICTIONS
    if not path.exists():
        raise RequestError(
            f"{run.cell} kept no {PREDICTIONS}; it is of a version before 0.7, so run the cell again to have one."
        )
    if prepared.fingerprint != run.config.fingerprint:
        raise RequestError(
            f"{run.cell} was trained on another copy of {prepared.name} than the prepared one; prepare that one again."
        )
    masks = predictions.Masks(run)
    at = {name: row for row, name in enumerate(prepared.ids)}
    rows = [(name, *distances(masks[name], prepared.masks[at[name]] >= 128)) for name in masks]
    table = pd.DataFrame(rows, columns=Distances.names())
    with files.replacing_all([run.folder / ROWS, run.folder / SURFACE]) as (csv, document):
        csv.write_text(table.to_csv(index=False, lineterminator="\n"), encoding="utf-8")
        about = Surface(
            format=Surface.FORMAT,
            library=f"{library.__name__.replace('_', '-')} {metadata.version('surface-distance')}",
            tolerance=TOLERANCE,
            predictions=seal.of_file(path),
            rows=seal.of_file(csv),
        ).sealed()
        document.write_text(files.json_text(about.content()), encoding="utf-8")
    return about


def done(run: Run) -> bool:
    """Whether the distances of these masks are measured already."""
    try:
        found = surface.read(run.folder, seal.of_file(run.folder / PREDICTIONS))
    except (OSError, RequestError):
        return False
    return found is not None
