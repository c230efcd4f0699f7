"""What killed processes leave in the folder of a cell, and who holds the cell's claim may remove."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from benchmarks.runner.claims import Claims
from benchmarks.training.checkpoint import CHECKPOINT
from results import files
from results.cell import CLAIM, FAILED, REPORT, Cell
from results.errors import Damaged
from results.schema import GivenUp, Report

CHECKPOINTS = f"{Path(CHECKPOINT).stem}*{Path(CHECKPOINT).suffix}"  # also those that were set aside


def clean(folder: Path) -> list[Path]:
    """Remove unfinished files, and the checkpoints of a cell that is finished or given up; returns what went.

    Only for who has claimed the cell: an unfinished file may be one that its owner is writing. A cell without a folder
    has none; one whose report is damaged keeps its checkpoints. Raises OSError where a file cannot be removed.
    """
    found = files.partials(folder)
    if _is_over(folder):
        found += sorted(folder.glob(CHECKPOINTS))
    for path in found:
        with suppress(FileNotFoundError):
            path.unlink()
    return found


def sweep(cells: Iterable[Cell], root: Path) -> None:
    """Clean the folders of cells that are done, where a killed process left something and none is at work."""
    with Claims(root) as claims:
        for cell in cells:
            folder = cell.folder(root)
            left = files.partials(folder) or list(folder.glob(CHECKPOINTS)) or (folder / CLAIM).exists()
            if left and claims.take(cell):
                clean(folder)
                claims.release(cell)


def _is_over(folder: Path) -> bool:
    """Whether a cell needs its checkpoints no more."""
    for kind, name in ((Report, REPORT), (GivenUp, FAILED)):
        with suppress(Damaged):
            kind.read(folder / name)
            return True
    return False
