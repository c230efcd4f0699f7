"""The unit of work and of storage, and its folder.

    <root>/runs/<data set>/<recipe>/<network>/seed-<k>/
        config.json           written first: what was asked for, on which data
        history.csv           one row per epoch
        per_image.csv         id, tp, fp, fn, tn of the scored split, in pixels
        weights.safetensors   the scored weights
        masks/ID.png          1-bit predictions of the images that the qualitative figure may show
        report.json           written last and atomically: a folder with it is a finished run
        failed.json           instead of report.json: at which epoch and why this seed was given up
        claim.json            while a process works on the cell: which one (claims.py)

schema.py says what is in each. Names of wrapped networks hold characters that no folder may ("smp:unet/resnet18"); they
are percent-encoded.
"""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

CONFIG, REPORT, FAILED, CLAIM = "config.json", "report.json", "failed.json", "claim.json"
HISTORY, PER_IMAGE = "history.csv", "per_image.csv"
WEIGHTS, MASKS = "weights.safetensors", "masks"


@dataclass(frozen=True, order=True)
class Cell:
    """The unit of work and of storage."""

    dataset: str
    recipe: str
    network: str
    seed: int

    def folder(self, root: Path) -> Path:
        parts = (quote(part, safe="+=,") for part in (self.dataset, self.recipe, self.network))
        return root.joinpath("runs", *parts, f"seed-{self.seed}")

    @classmethod
    def of_folder(cls, folder: Path) -> "Cell":
        """The cell whose folder this is. Raises ValueError where the name is not one of ours."""
        dataset, recipe, network = (unquote(part) for part in folder.parts[-4:-1])
        cell = cls(dataset, recipe, network, int(folder.name.rpartition("-")[2]))
        if folder.name != cell.folder(Path()).name:
            raise ValueError(f"{folder} is not named seed-<k>")
        return cell

    def __str__(self) -> str:
        return f"{self.dataset} / {self.recipe} / {self.network} / seed {self.seed}"
