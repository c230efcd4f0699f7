"""Weights that ship: of one seed for each network and data set, chosen by its validation loss, with a card.

    <root>/weights/<data set>/<network>/
        model.safetensors   the weights by this suite's names, float32
        config.json         the card for programs, as `Card` has it
        README.md           the card for people, which a model hub shows as it is

A folder is laid out as a model repository of the Hugging Face Hub, so that it can be uploaded as it lies there.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from pydantic import Field

from results import files, seal
from results.document import Count, Document, Fraction, Number, Ordinal, Record
from results.errors import Damaged, RequestError
from results.schema import Code, EngineRecord, Metrics, Split

FOLDER, MODEL, CARD, README = "weights", "model.safetensors", "config.json", "README.md"
MAKE = "python -m benchmarks weights"
CURE = f"restore the folder, or make it again: {MAKE}"


class OverSeeds(Record):
    """One metric over the seeds that the shipped one was chosen from."""

    mean: Fraction
    low: Fraction
    """Ends of the 95 % interval over images and seeds."""
    high: Fraction
    seeds: Ordinal


class Card(Document):
    """config.json: what the weights are, what they were trained on, and what they scored."""

    CURE = CURE

    format: int
    network: str
    label: str
    dataset: str
    dataset_label: str
    recipe: str
    seed: int
    """The one with the lowest validation loss."""
    validation_losses: dict[str, Number]
    """Of every seed that could be chosen, by its number."""
    size: Ordinal
    """Side that pictures are scaled to, pixels."""
    parameters: Count
    best_epoch: Ordinal
    split: Split
    fingerprint: str
    """Of the data, hex SHA-256."""
    identity: str
    """Hash of what the network is."""
    metrics: Metrics
    """Pooled, of this seed on its test split."""
    over_seeds: dict[str, OverSeeds] = Field({})
    weights: str
    """Hex SHA-256 of model.safetensors."""
    engine: EngineRecord | None = None
    code: Code | None = None
    """That trained them."""
    note: str = ""
    """What else must be known of them; a sentence."""
    licence: str = ""
    """Of the data."""
    citation: str = ""
    """Of the data."""
    digest: str | None = None
    """Hex SHA-256 of this document without this field."""


@dataclass(frozen=True)
class Shipped:
    """One folder of weights."""

    folder: Path
    card: Card

    @property
    def model(self) -> Path:
        """The file of the weights; its checksum was compared with the card's."""
        return self.folder / MODEL


def folder(root: Path, dataset: str, network: str) -> Path:
    """Where the weights of a network that was trained on a data set lie."""
    return root.joinpath(FOLDER, *(quote(name, safe="+=,") for name in (dataset, network)))


def read(place: Path) -> Shipped:
    """The weights in a folder. Raises Damaged where the card cannot be used, or does not speak of these weights."""
    shipped = Shipped(place, Card.read(place / CARD))
    if not shipped.model.is_file():
        raise Damaged(shipped.model, "the file is missing", CURE)
    if seal.of_file(shipped.model) != shipped.card.weights:
        raise Damaged(shipped.model, "it is not the file of which config.json holds the SHA-256", CURE)
    return shipped


def places(root: Path) -> Iterator[Path]:
    """Folders with a card: those of `root` first, then those that came with this package and `root` has none for."""
    seen: set[tuple[str, ...]] = set()
    for home in dict.fromkeys((root, files.HOME)):
        for card in sorted((home / FOLDER).glob(f"*/*/{CARD}")):
            name = card.parts[-3:-1]
            if name not in seen:
                seen.add(name)
                yield card.parent


def find(root: Path, dataset: str, network: str) -> Shipped:
    """The weights of a network that was trained on a data set. Raises RequestError where none are there."""
    for home in (root, files.HOME):
        place = folder(home, dataset, network)
        if (place / CARD).exists():
            return read(place)
    there = [Card.read(place / CARD) for place in places(root)]
    known = ", ".join(f"{card.network} on {card.dataset}" for card in there) or "none"
    raise RequestError(
        f"There are no weights of {network} trained on {dataset}; there are: {known}. Name one of these, give a file "
        f"with --weights, or keep those of your own runs: {MAKE}."
    )
