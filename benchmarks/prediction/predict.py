"""Photographs in; masks, overlays and a table out.

Each photograph is read, predicted and written by one thread, as many photographs at a time as there are cores: a light
network gains more by that than by computing on several cores itself.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from scipy import ndimage

from benchmarks.datasets.pixels import in_order
from benchmarks.machine import cores, settings_of_a_run
from benchmarks.prediction.ensemble import GREATEST_SPREAD, Member, Opinions, ask
from benchmarks.prediction.photographs import Photograph, Prepared, prepare
from benchmarks.prediction.regions import regions
from benchmarks.training.pixel_counts import THRESHOLD
from results import files
from results.errors import RequestError

MASKS, OVERLAYS, DISAGREEMENT, TABLE = "masks", "overlays", "disagreement", "predictions.csv"
OUTLINE, QUALITY = (0, 255, 120), 90  # colour of the lesion's edge, and of JPEG


@dataclass(frozen=True)
class Prediction:
    """One row of the table; lengths and areas in pixels of the upright photograph."""

    file: str
    name: str
    """Of what was made of it, without folder and ending."""
    width: int
    height: int
    area_share: float
    """Of the photograph that is lesion, from 0 to 1."""
    regions: int
    """Connected parts of the mask."""
    largest_diameter: float
    """Of the largest part, pixels."""
    mean_probability: float
    """Of lesion, within the mask; of the whole photograph where the mask is empty."""
    disagreement: float | None
    """1 minus the Dice coefficient of two members' masks, mean over pairs; None for a single member."""


@dataclass(frozen=True)
class Outcome:
    """What came of all photographs."""

    predictions: list[Prediction]
    unreadable: list[str]
    """A sentence for each file that could not be used."""


def predict(
    photographs: Sequence[Photograph],
    members: Sequence[Member],
    output: Path,
    *,
    flips: bool = False,
    overlays: bool = True,
    workers: int | None = None,
    announce: Callable[[Photograph], object] = lambda photograph: None,
) -> Outcome:
    """Predict every photograph and write its files below `output`; the table of all comes last.

    announce: called after each photograph. workers: photographs at a time; as many as there are cores by default.
    A photograph that cannot be read is left out and told. Raises RequestError where something cannot be written.
    """
    sizes = [member.size for member in members]

    def one(photograph: Photograph) -> Prediction | str:
        try:
            prepared = prepare(photograph, sizes, show=overlays)
        except RequestError as error:
            return str(error)
        return _write(prepared, ask(members, prepared.small, flips=flips), output)

    found: list[Prediction | str] = []
    with settings_of_a_run():
        torch.set_num_threads(1)
        for photograph, each in zip(photographs, in_order(one, photographs, workers or cores()), strict=True):
            found.append(each)
            announce(photograph)
    predictions = [each for each in found if isinstance(each, Prediction)]
    if predictions:
        files.write_csv(output / TABLE, table(predictions))
    return Outcome(predictions, [each for each in found if isinstance(each, str)])


def table(predictions: Iterable[Prediction]) -> pd.DataFrame:
    """One row per photograph, with the fields of `Prediction` as columns."""
    return pd.DataFrame([asdict(each) for each in predictions], columns=[each.name for each in fields(Prediction)])


def _write(prepared: Prepared, opinions: Opinions, output: Path) -> Prediction:
    """Mask, overlay and disagreement of one photograph."""
    size, name = (prepared.width, prepared.height), prepared.photograph.name
    probability = opinions.mean(size)
    mask = probability >= THRESHOLD
    _save(Image.fromarray(mask), output / MASKS / f"{name}.png", "PNG")
    if prepared.shown is not None:
        _save(overlay(prepared.shown, mask), output / OVERLAYS / f"{name}.jpg", "JPEG", quality=QUALITY)
    several = len(opinions.maps) > 1
    if several:
        spread = np.round(opinions.spread() * (255 / GREATEST_SPREAD)).astype(np.uint8)
        grey = Image.fromarray(spread).resize(size, Image.Resampling.BILINEAR)
        _save(grey, output / DISAGREEMENT / f"{name}.png", "PNG")
    found = regions(mask)
    return Prediction(
        file=str(prepared.photograph.path),
        name=name,
        width=prepared.width,
        height=prepared.height,
        area_share=float(mask.mean()),
        regions=found.number,
        largest_diameter=found.diameter,
        mean_probability=float(probability[mask].mean() if found.number else probability.mean()),
        disagreement=opinions.disagreement if several else None,
    )


def overlay(picture: np.ndarray, mask: np.ndarray) -> Image.Image:
    """A photograph (h, w, 3) uint8 with the edge of the lesion drawn on it; mask: (H, W) bool, of any size."""
    height, width = picture.shape[:2]
    fitting = np.asarray(Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST))
    thickness = max(1, round(max(height, width) / 400))
    edge = fitting & ~ndimage.binary_erosion(fitting, iterations=thickness, border_value=1)
    drawn = picture.copy()
    drawn[edge] = OUTLINE
    return Image.fromarray(drawn)


def _save(image: Image.Image, path: Path, kind: str, **options: int) -> None:
    with files.replacing(path) as partial:
        image.save(partial, kind, **options)
