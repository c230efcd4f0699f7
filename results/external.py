"""Scores of stored weights on another data set than they were trained on.

<folder of a run>/external/<data set>/            of weights that were trained here
<root>/external_weights/<network>-<hash>/<data set>/    of a file from elsewhere
    per_image.csv    id, tp, fp, fn, tn of each scored image, in pixels
    external.json    written last: what was scored, on which images, with which weights
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from results import seal
from results.cell import PER_IMAGE, WEIGHTS
from results.document import Count, Document
from results.errors import Damaged, Problem
from results.metrics import COUNT_COLUMNS, pooled
from results.runs import Run
from results.schema import Code, EngineRecord, Metrics, PerImage

EXTERNAL, FOLDER, FROM_ELSEWHERE = "external.json", "external", "external_weights"
WHOLE_SET = "all"
CURE = "delete its folder and evaluate again"


class External(Document):
    """external.json."""

    CURE = CURE
    format: int
    network: str
    identity: str
    """Hash of what the network is."""
    weights: str
    """Hex SHA-256 of the file of weights."""
    source: str | None = None
    """What that file is, where it was not trained here."""
    dataset: str
    """That was scored."""
    size: Count
    """Side of its images, pixels."""
    fingerprint: str
    """Of the prepared set."""
    part: str
    """Of that data set: "all", or "test" under its split."""
    split: str | None = None
    """The rule that cut the part out; None: all of it."""
    left_out: dict[str, str]
    """Id -> why an image of the part was not scored."""
    metrics: Metrics
    """Pooled, by key."""
    engine: EngineRecord | None = None
    torch: str | None = None
    device: str | None = None
    code: Code | None = None
    finished_at: str | None = None
    """ISO 8601, UTC."""
    files: dict[str, str]
    """Hex SHA-256 of the file beside it, by name."""
    digest: str | None = None


@dataclass(frozen=True)
class Scored:
    """One folder of external scores; the metrics are recomputed from the counts."""

    folder: Path
    about: External
    per_image: pd.DataFrame = field(repr=False)
    run: Run | None = None
    """Whose weights they are; None: a file from elsewhere."""

    @property
    def counts(self) -> np.ndarray:
        """(N, 4) int64: tp, fp, fn, tn of each scored image."""
        return self.per_image[list(COUNT_COLUMNS)].to_numpy(np.int64)


def place(parent: Path, dataset: str, part: str) -> Path:
    """The folder of the scores on a data set; parent: of a run, or of weights from elsewhere."""
    return parent / (dataset if part == WHOLE_SET else f"{dataset}+{part}")


def read(folder: Path, run: Run | None = None) -> Scored:
    """Raises Damaged where it cannot be used, or belongs to other weights than the run has now."""
    about = External.read(folder / EXTERNAL)
    try:
        same = seal.of_file(folder / PER_IMAGE) == about.files.get(PER_IMAGE)
    except OSError as error:
        raise Damaged(folder / PER_IMAGE, f"it cannot be read ({error.strerror})", CURE) from None
    if not same:
        raise Damaged(folder / PER_IMAGE, f"it is not the file of which {EXTERNAL} holds the SHA-256", CURE)
    found = Scored(folder, about, PerImage.read(folder / PER_IMAGE).by_id, run)
    if pooled(found.counts) != about.metrics:
        raise Damaged(folder / EXTERNAL, "its metrics are not those of its counts", CURE)
    recorded = (run.report.files or {}).get(WEIGHTS) if run else None
    if run and (about.network != run.cell.network or (recorded and about.weights != recorded)):
        raise Damaged(folder / EXTERNAL, "it was scored with other weights than the run has", CURE)
    return found


def load(root: Path, runs: list[Run]) -> tuple[list[Scored], list[Problem]]:
    """All external scores of these runs, and of weights from elsewhere; what is damaged becomes a problem."""
    found: list[Scored] = []
    problems: list[Problem] = []
    places: list[tuple[Path, Run | None]] = [
        (path.parent, run) for run in runs for path in sorted(run.folder.glob(f"{FOLDER}/*/{EXTERNAL}"))
    ]
    places += [(path.parent, None) for path in sorted(root.glob(f"{FROM_ELSEWHERE}/*/*/{EXTERNAL}"))]
    for folder, run in places:
        try:
            found.append(read(folder, run))
        except Damaged as damage:
            problems.append(damage.problem)
    return found, problems
