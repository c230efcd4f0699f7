"""predictions.tif: the masks that a run predicted on all scored images, one bit per pixel.

One picture, the masks one below the other in the order of per_image.csv, compressed as CCITT group 4: 80 bytes a mask
at 128 px. Runs from before version 0.7 have masks/ID.png of 32 images instead; `Masks` reads both.
"""

import io
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from PIL import Image, TiffImagePlugin

from results import files
from results.cell import MASKS, PREDICTIONS
from results.errors import Damaged
from results.runs import Run

_FAULTS = (OSError, SyntaxError, ValueError, EOFError, RuntimeError, OverflowError, KeyError, TypeError)


def write(path: Path, masks: np.ndarray) -> None:
    """Write (N, H, W) bool atomically."""
    whole = Image.fromarray(masks.reshape(-1, masks.shape[-1]))
    with files.replacing(path) as partial:
        whole.save(partial, "TIFF", compression="group4")


def read(path: Path, images: int, size: int) -> np.ndarray:
    """(N, H, W) bool of N images of H = W = size. Raises Damaged where the file is missing or has another shape."""
    content = io.BytesIO(files.read_bytes(path, files.RERUN))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, of a header without sense
            with TiffImagePlugin.TiffImageFile(content) as picture:
                if picture.mode != "1" or picture.size != (size, images * size):
                    found = f"{picture.width} x {picture.height} pixels of mode {picture.mode}"
                    raise Damaged(path, f"it has {found}, not {images} masks of {size} x {size}", files.RERUN)
                picture.load()
                return np.asarray(picture).reshape(images, size, size)
    except _FAULTS as error:
        raise Damaged(path, f"it cannot be read ({error})", files.RERUN) from None


class Masks(Mapping[str, np.ndarray]):
    """What a run predicted: id -> (H, W) bool, for the images whose mask it kept. Reading one may raise Damaged."""

    def __init__(self, run: Run) -> None:
        self.run = run
        ids = list(run.per_image.index)
        self.whole = (run.folder / PREDICTIONS).exists()
        kept = {path.stem for path in (run.folder / MASKS).glob("*.png")}
        self._rows = {name: row for row, name in enumerate(ids) if self.whole or name in kept}
        self._all: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __getitem__(self, name: str) -> np.ndarray:
        row = self._rows[name]
        if self.whole:
            return self.all()[row]
        path = self.run.folder / MASKS / f"{name}.png"
        try:
            with Image.open(path) as file:
                return np.asarray(file.convert("1"))
        except (*_FAULTS, Image.DecompressionBombError) as error:
            raise Damaged(path, f"it cannot be read ({error})", files.RERUN) from None

    def all(self) -> np.ndarray:
        """(N, H, W) bool of all scored images, in the order of per_image.csv; of a run with predictions.tif."""
        if self._all is None:
            side = round(float(self.run.counts[0].sum()) ** 0.5)
            self._all = read(self.run.folder / PREDICTIONS, len(self.run.per_image), side)
        return self._all
