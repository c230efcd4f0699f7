"""The files of a run, one class each: config.json, report.json, failed.json, history.csv and per_image.csv.

Which file is written when stands in cell.py. Fields that earlier versions did not write are None in what they left.
"""

from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Self

import numpy as np
import pandas as pd
from pydantic import BeforeValidator, Field, JsonValue

from results.cell import Cell
from results.document import Amount, Count, Document, Fraction, Number, Ordinal, Record
from results.errors import Damaged
from results.metrics import COUNT_COLUMNS, EARLIER
from results.table import Column, Table

MOST_PIXELS = 10**10
"""Of one image: 100,000 x 100,000, so that sums over a data set stay within 64 bits."""


class Sizes(Record):
    """Images in each part of a data set."""

    train: Count
    validation: Count
    test: Count


class Split(Record):
    """How a data set was cut, and what its parts were used for."""

    rule: str
    """That cut the data set: paper, sorted, official, seven_three, fold-K-of-N, or a frozen file."""
    fingerprint: str | None = None
    """Hex SHA-256 of the parts and their ids; None in runs from before it was recorded."""
    selected_on: str | None = None
    """The part whose loss chose the epoch."""
    scored_on: str | None = None
    """The part that per_image.csv scores."""
    sizes: Sizes


class Sides(Record):
    """Sides of image files, pixels."""

    min: Count
    median: Count
    max: Count


class Originals(Record):
    """The files of a data set before they were scaled."""

    images: Count
    formats: dict[str, Count]
    """Of the image files, as Pillow names them, with how many there are of each."""
    width: Sides
    height: Sides
    soft_share: Fraction | None = None
    """Share of mask pixels that are neither 0 nor 255."""


class DataRecord(Record):
    """What is known of the images and masks beyond their fingerprint."""

    soft_share: Fraction | None = None
    """Share of mask pixels that are neither 0 nor 255, at the size trained on."""
    originals: Originals | str | None = None
    """The files that the set was made from, or "drawn"."""
    label: str | None = None
    """The name of a user's own set in tables."""
    citation: str | None = None
    licence: str | None = None


class EngineRecord(Record):
    """What computes a training step: "torch", or "kernels" with the versions of their compiler."""

    name: str
    numba: str | None = None
    llvmlite: str | None = None
    source: str | None = None
    """Hash of the kernels' files; None in runs from before it was recorded."""


class Code(Record):
    """The code that a run was trained with."""

    version: str | None = None
    """Of the package; None where it was not installed."""
    commit: str | None = None
    """Of the checkout; None outside of git."""
    dirty: bool | None = None
    """Whether sources differed from the commit."""


class Host(Record):
    """The machine that a run was trained on."""

    machine: str | None = None
    """Of the processor, such as x86_64."""
    system: str | None = None
    cpus: Count | None = None
    """Of the machine."""
    cores: Count | None = None
    """That the process may use."""
    threads: Count | None = None
    """Of the training."""
    processor: str | None = None
    """The processor's name and the widest vectors that torch uses on it: another one may round differently."""


class OfCell(Document):
    """A document of one cell, which names it."""

    format: int
    dataset: str
    recipe: str
    network: str
    seed: int

    @property
    def cell(self) -> Cell:
        """Whose folder this document belongs into."""
        return Cell(self.dataset, self.recipe, self.network, self.seed)


class Config(OfCell):
    """config.json: what was asked for, on which data. Written before the first step."""

    label: str | None = None
    """The network's name in print."""
    venue: str | None = None
    paper: str | None = None
    upstream: str | None = None
    """The authors' repository and commit."""
    identity: str | None = None
    """Hash of what the network is; runs of different identities are never pooled."""
    deviations: tuple[str, ...] = Field((), strict=False)
    """From the authors' training, sentences."""
    base_recipe: str | None = None
    """The recipe that the one of this run changes."""
    recipe_settings: dict[str, JsonValue] = Field({})
    """Every setting of the recipe by its name there."""
    cross_entropy: str | None = None
    """How the loss takes the logarithm of probabilities near 0, in words."""
    fingerprint: str | None = None
    """Hex SHA-256 of size, ids and pixels of the prepared data set."""
    size: Count | None = None
    """Side of the images, pixels."""
    data: DataRecord | None = None
    split: Split
    engine: EngineRecord | None = None
    """None: of a version before there were kernels, torch."""
    code: Code | None = None


def _by_present_keys(metrics: Any) -> Any:
    """Metrics of a file from before a key was renamed."""
    return {EARLIER.get(key, key): value for key, value in metrics.items()} if isinstance(metrics, dict) else metrics


Metrics = Annotated[dict[str, Fraction], BeforeValidator(_by_present_keys)]


class Report(OfCell):
    """report.json: what was measured. Written last; a folder with it is a finished run."""

    split: Split | None = None
    identity: str | None = None
    metrics: Metrics
    """Pooled metrics of the scored split, by key."""
    per_image_mean: Metrics = Field({})
    """Means over images of each image's own metrics: other numbers under the same keys."""
    best_epoch: Ordinal | None = None
    """The epoch with the lowest validation loss, whose weights were scored."""
    epochs: Count | None = None
    """That were trained."""
    validation_loss: Number | None = None
    """Of the best epoch."""
    parameters: Count | None = None
    """Of the network that was scored."""
    seconds: Amount | None = None
    """Of training and evaluation, without pauses."""
    seeds_side_by_side: Ordinal | None = None
    """How many seeds trained together in these seconds."""
    images_per_second: Amount | None = None
    """Training images of this seed per second."""
    peak_memory_mb: Amount | None = None
    """MB (1e6 bytes) of the group of seeds; on CPU of the process."""
    code: Code | None = None
    torch: str | None = None
    python: str | None = None
    device: str | None = None
    """ "cpu", or the name of the GPU."""
    engine: EngineRecord | None = None
    precision: str | None = None
    eager_because: str | None = None
    """Why the training step was not captured as a CUDA graph."""
    host: Host | None = None
    finished_at: str | None = None
    """ISO 8601, UTC."""
    files: dict[str, str] | None = None
    """Hex SHA-256 of the files beside it, by name; of the masks as of one. None: of an earlier version."""
    digest: str | None = None
    """Hex SHA-256 of this document without this field."""


class GivenUp(Document):
    """failed.json, instead of report.json: a seed that was given up."""

    epoch: Count
    """At which it failed."""
    reason: str
    files: dict[str, str] | None = None
    """As in Report."""
    digest: str | None = None
    """As in Report."""


class History(Table):
    """history.csv: one row per epoch. A loss that was not finite is empty."""

    COLUMNS = (
        Column("epoch", int, low=1),
        Column("lr", float, low=0),
        Column("train_loss", float, empty=True),
        Column("validation_loss", float, empty=True),
        Column("validation_iou", float, low=0, high=1, empty=True),
        Column("validation_dsc", float, low=0, high=1, empty=True),
    )
    KEY = ("epoch",)
    EARLIER = MappingProxyType({f"validation_{old}": f"validation_{new}" for old, new in EARLIER.items()})

    @classmethod
    def read(cls, path: Path) -> Self:
        """As in Table; a history has at least one epoch."""
        history = super().read(path)
        if history.rows.empty:
            raise Damaged(path, "it has no epochs", cls.CURE)
        return history


class PerImage(Table):
    """per_image.csv: pixels of each image of the scored split, one row per image."""

    COLUMNS = (Column("id", str), *(Column(name, int, low=0, high=MOST_PIXELS) for name in COUNT_COLUMNS))
    KEY = ("id",)

    @classmethod
    def of(cls, ids: list[str], counts: np.ndarray) -> Self:
        """Of (N, 4) tp, fp, fn, tn."""
        rows = pd.DataFrame(counts, columns=list(COUNT_COLUMNS))
        rows.insert(0, "id", ids)
        return cls(rows)

    @property
    def by_id(self) -> pd.DataFrame:
        """(N, 4) int64: tp, fp, fn, tn, with the ids as index."""
        return self.rows.set_index("id")[list(COUNT_COLUMNS)]
