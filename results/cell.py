"""The unit of work and of storage, and its folder.

    <root>/runs/<data set>/<recipe>/<network>/seed-<k>/
        config.json           written first: what was asked for, on which data
        history.csv           one row per epoch
        per_image.csv         id, tp, fp, fn, tn of the scored split, in pixels
        weights.safetensors   the scored weights
        predictions.tif       1-bit masks of all scored images, one below the other, in the order of per_image.csv
        probabilities.csv     how the predicted probabilities of each image spread, lesion and skin apart
        surface.json, .csv    distances between the edges of masks and truth, where they were measured afterwards
        masks/ID.png          of runs from before version 0.7: masks of 32 images only
        report.json           written last and atomically: a folder with it is a finished run
        failed.json           instead of report.json: at which epoch and why this seed was given up
        claim.json            while a process works on the cell: which one (claims.py)

schema.py says what is in each. Names of wrapped networks hold characters that no folder may ("smp:unet/resnet18"); they
are percent-encoded.
"""

import reprlib
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

from results.errors import RequestError

CONFIG, REPORT, FAILED, CLAIM = "config.json", "report.json", "failed.json", "claim.json"
HISTORY, PER_IMAGE = "history.csv", "per_image.csv"
WEIGHTS, MASKS = "weights.safetensors", "masks"
PREDICTIONS, PROBABILITIES, SURFACE = "predictions.tif", "probabilities.csv", "surface.json"
LONGEST = 255  # bytes of a name on most file systems


def check_name(kind: str, name: str) -> None:
    """Raises RequestError for a name that no folder can have, however it is encoded.

    kind: what the name is of, as in "network".
    """
    try:
        length = len(_encoded(name))
    except UnicodeEncodeError:
        length = 0
    if not 0 < length <= LONGEST or name in (".", "..") or not name.isprintable():
        raise RequestError(
            f"The {kind} name {reprlib.repr(name)} cannot name a folder of results; give it 1 to {LONGEST} printable "
            "characters (one that is no ASCII letter or digit may count several times), and not just dots."
        )


def _encoded(name: str) -> str:
    """As a folder's name."""
    return quote(name, safe="+=,")


@dataclass(frozen=True, order=True)
class Cell:
    """The unit of work and of storage. Raises RequestError for names that cannot name a folder."""

    dataset: str
    recipe: str
    network: str
    seed: int

    def __post_init__(self) -> None:
        for kind, name in (("data set", self.dataset), ("recipe", self.recipe), ("network", self.network)):
            check_name(kind, name)

    def folder(self, root: Path) -> Path:
        parts = map(_encoded, (self.dataset, self.recipe, self.network))
        return root.joinpath("runs", *parts, f"seed-{self.seed}")

    @classmethod
    def of_folder(cls, folder: Path) -> "Cell":
        """The cell whose folder this is. Raises ValueError or RequestError where the name is not one of ours."""
        dataset, recipe, network = (unquote(part) for part in folder.parts[-4:-1])
        cell = cls(dataset, recipe, network, int(folder.name.rpartition("-")[2]))
        if folder.parts[-4:] != cell.folder(Path()).parts[-4:]:
            raise ValueError(f"{folder} is not named as the folder of a cell")
        return cell

    def __str__(self) -> str:
        return f"{self.dataset} / {self.recipe} / {self.network} / seed {self.seed}"
