"""All stored runs as one table, for people at work: `benchmarks.results()`."""

from pathlib import Path

import pandas as pd

from results.installation import results_to_read
from results.metrics import METRICS
from results.runs import Run, poolable


def results(folder: Path | str | None = None) -> pd.DataFrame:
    """One row per finished run: its cell, its metrics as fractions, and what it took to get them.

    folder: the results folder, by default the one that the commands use. Metrics are computed from the stored counts of
    pixels; `<metric>_per_image` is the mean over images. Columns and units are those of docs/results-format.md. What
    cannot be used, or cannot be pooled with the other seeds, is left out; `python -m benchmarks check` names it.
    Raises RequestError where somebody named a folder that there is not.
    """
    root = results_to_read(None if folder is None else Path(folder))
    return pd.DataFrame([_row(run) for run in poolable(root)], columns=COLUMNS)


_FACTS = (
    "best_epoch",
    "epochs",
    "validation_loss",
    "parameters",
    "seconds",
    "images_per_second",
    "peak_memory_mb",
    "device",
    "finished_at",
)
COLUMNS = [
    *("dataset", "recipe", "network", "seed", "label", "images"),
    *(metric.name for metric in METRICS),
    *(f"{metric.name}_per_image" for metric in METRICS),
    *_FACTS,
    *("commit", "folder"),
]


def _row(run: Run) -> dict[str, object]:
    cell, report, code = run.cell, run.report, run.config.code
    return {
        "dataset": cell.dataset,
        "recipe": cell.recipe,
        "network": cell.network,
        "seed": cell.seed,
        "label": run.config.label or cell.network,
        "images": len(run.per_image),
        **run.metrics,
        **{f"{metric.name}_per_image": float(metric(run.counts).mean()) for metric in METRICS},
        **{name: getattr(report, name) for name in _FACTS},
        "commit": None if code is None else code.commit,
        "folder": run.folder,
    }
