"""What the data are, for the page: originals and masks, what the parts share, and scores without what is shared."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pandas as pd

from reports.comparison.findings import Findings
from reports.comparison.names import dataset_label
from reports.evidence import by_network
from reports.tables.grid import percent
from results import data_sets, leakage
from results.metrics import pooled
from results.runs import Run
from results.schema import DataRecord

PARTS = {"train": "training", "validation": "validation", "test": "test"}
FACT_HEADINGS = ("data set", "scaled to", "original images", "their masks", "masks as trained on", "fingerprint")
SCORE_HEADINGS = (
    "data set",
    "recipe",
    "network",
    "seeds",
    "all test images",
    "without near-duplicates",
    "without these and the same lesions",
)


@dataclass
class DataFacts:
    """Ready to be written: rows in the order of their headings, and sentences."""

    facts: list[list[str]] = field(default_factory=list)
    came_scaled: list[str] = field(default_factory=list)
    """Names of data sets none of whose files is larger than 256 px."""
    unrecorded: bool = False
    shared: list[str] = field(default_factory=list)
    alike: list[str] = field(default_factory=list)
    thresholds: dict[str, str] = field(default_factory=dict)
    """Kind of pair -> its rule in words."""
    scores: list[list[str]] = field(default_factory=list)


def data_facts(findings: Findings) -> DataFacts:
    """All of it, from stored runs and the two tables of results/leakage.py."""
    found, pairs = DataFacts(), findings.evidence.leakage.pairs
    _add_facts(found, findings.evidence.runs)
    found.shared = _shared(findings.evidence.leakage.shared)
    found.alike = [_alike(rows) for _, rows in pairs.groupby(["dataset", "split"], sort=True)]
    found.thresholds = {row.kind: row.threshold for row in pairs.itertuples() if row.kind != leakage.NONE}
    found.scores = _scores(findings, pairs)
    return found


def _add_facts(found: DataFacts, runs: Sequence[Run]) -> None:
    """One row per prepared set that runs were trained on; what one run recorded holds for all of its fingerprint."""
    known: dict[str, DataRecord] = {}
    for run in runs:
        data = run.config.data
        if data is not None and data.originals is not None:
            known.setdefault(run.config.fingerprint or "", data)
    sets = {(run.cell.dataset, run.config.size or 0, run.config.fingerprint or "") for run in runs}
    for dataset, size, fingerprint in sorted(sets):
        data = known.get(fingerprint)
        words = (data_sets.originals_in_words(data), data_sets.masks_in_words(data))
        trained = data_sets.trained_masks_in_words(data)
        found.facts.append([dataset_label(dataset), f"{size} px", *words, trained, fingerprint[:12]])
        found.unrecorded |= data is None
        if data_sets.came_scaled(data) and dataset_label(dataset) not in found.came_scaled:
            found.came_scaled.append(dataset_label(dataset))


def _shared(table: pd.DataFrame) -> list[str]:
    """How far two data sets are one, in total and for the test part of the first under each split rule."""
    sentences: list[str] = []
    for (first, second), rows in table.groupby(["dataset", "other_dataset"]):
        names = dataset_label(first), dataset_label(second)
        for rule, cut in rows.groupby("split"):
            if not sentences:
                sizes = cut.drop_duplicates("part")["images"].sum()
                sentences.append(
                    f"{cut['shared'].sum():,} of the {sizes:,} images of {names[0]} are also in {names[1]}, by id: "
                    "results on the two, such as the halves of Table 1, are not independent of each other."
                )
            test = cut[cut["part"] == "test"]
            parts = [f"{row.shared or 'none'} are {PARTS[str(row.other_part)]} images" for row in test.itertuples()]
            sentences.append(
                f"Under the split {rule}, of the {test['images'].iloc[0]} test images of {names[0]}, "
                f"{', '.join(parts[:-1])} and {parts[-1]} of {names[1]}."
            )
    return sentences


def _alike(rows: pd.DataFrame) -> str:
    """How many test images of one data set and split training or validation also shows."""
    first = rows.iloc[0]
    close = _ids(rows, leakage.NEAR_DUPLICATE)
    same = _ids(rows, leakage.SAME_LESION) - close
    where = f"{dataset_label(first['dataset'])}, split {first['split']}: of {first['test_images']} test images"
    if not close | same:
        return f"{where} none is like a training or validation image ({first['threshold']})."
    told = []
    if close:
        told.append(f"{len(close)} {'has a near-duplicate' if len(close) == 1 else 'have near-duplicates'}")
    if same:
        told.append(f"{len(same)} {'shows' if len(same) == 1 else 'show'} the same lesion as an image")
    return f"{where} {' and another '.join(told)} among the training and validation images."


def _ids(rows: pd.DataFrame, kind: str) -> set[str]:
    """Test images with a pair of this kind."""
    return set(rows.loc[rows["kind"] == kind, "test_id"])


def _scores(findings: Findings, pairs: pd.DataFrame) -> list[list[str]]:
    """Pooled IoU with and without the test images that have a pair, mean over seeds; weights unchanged."""
    rows = []
    for (dataset, recipe, network), mine in by_network(findings.evidence.runs).items():
        rule = mine[0].config.split.rule
        searched = pairs[(pairs["dataset"] == dataset) & (pairs["split"] == rule)]
        close = _ids(searched, leakage.NEAR_DUPLICATE)
        wider = close | _ids(searched, leakage.SAME_LESION)
        if not wider:
            continue
        whole = _mean_iou(mine, set())
        cells = [_without(mine, left_out, whole) for left_out in (close, wider)]
        names = (dataset_label(dataset), recipe, findings.label(network))
        rows.append([*names, str(len(mine)), percent(whole), *cells])
    return rows


def _without(runs: Sequence[Run], left_out: set[str], whole: float) -> str:
    """ "80.12 (-0.03; 517 images)"."""
    rest = _mean_iou(runs, left_out)
    images = sum(name not in left_out for name in runs[0].per_image.index)
    return f"{percent(rest)} ({100 * (rest - whole):+.2f}; {images} images)"


def _mean_iou(runs: Sequence[Run], left_out: set[str]) -> float:
    """Mean over runs of the pooled foreground IoU without some images."""
    values = [pooled(run.counts[~run.per_image.index.isin(list(left_out))])["iou"] for run in runs]
    return sum(values) / len(values)
