"""Cross-validation: the folds of one network and recipe together, where runs of several folds are stored."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from reports.comparison.findings import Findings
from reports.comparison.names import mark_notes, place
from reports.tables.cells import interval_cell, label_cell
from reports.tables.grid import NOTHING, Column, Grid, GridRow, TableCell, percent, slug
from results.metrics import METRICS, Metric, pooled
from results.runs import Run
from results.spread import mean_and_sd

FOLD = re.compile(r"fold-(\d+)-of-(\d+)", re.ASCII)
SHOWN = METRICS[:2]
CAPTION = (
    "Percent. Mean over folds of the mean over seeds of each fold, ± standard deviation over folds; all images: the "
    "metric of the pixels of all folds together, so that each image counts once, mean over seeds; bold: best."
)
INTERVALS = (
    "The 95 % interval is the corrected resampled t of Nadeau and Bengio (2003): folds share training images, so that "
    "their spread alone would promise too much."
)


@dataclass(frozen=True)
class Folds:
    """The runs of one network under one recipe, by fold."""

    dataset: str
    recipe: str
    """Without its split."""
    network: str
    of: int
    """How many folds the data set was cut into."""
    runs: Mapping[int, Sequence[Run]]

    @property
    def missing(self) -> list[int]:
        """Folds without a finished run."""
        return [number for number in range(1, self.of + 1) if number not in self.runs]

    @property
    def seeds(self) -> int:
        """Of the fold that has fewest."""
        return min(map(len, self.runs.values()))

    def by_fold(self, metric: Metric) -> list[float]:
        """Mean over seeds of each fold, as fractions, in the order of the folds."""
        found = ([float(metric.over_images(run.counts)) for run in self.runs[number]] for number in sorted(self.runs))
        return [sum(values) / len(values) for values in found]

    def over_all(self, metric: Metric) -> float:
        """Of all images together, mean over the seeds that every fold has."""
        shared = set.intersection(*({run.cell.seed for run in runs} for runs in self.runs.values()))
        values = [
            pooled(np.concatenate([run.counts for runs in self.runs.values() for run in runs if run.cell.seed == seed]))
            for seed in sorted(shared)
        ]
        return sum(each[metric.name] for each in values) / len(values) if values else math.nan

    def interval(self, metric: Metric) -> tuple[float, float]:
        """95 % interval of the mean over folds, corrected for the training images that folds share."""
        values = self.by_fold(metric)
        sizes = next(iter(self.runs.values()))[0].config.split.sizes
        shared = 1 / len(values) + sizes.test / sizes.train
        half = float(stats.t.ppf(0.975, len(values) - 1)) * math.sqrt(shared * float(np.var(values, ddof=1)))
        middle = sum(values) / len(values)
        return max(0.0, middle - half), min(1.0, middle + half)


def base_of(recipe: str) -> str:
    """A recipe's name without its split: "half+size=64,split=fold-1-of-5" is half+size=64."""
    base, _, changes = recipe.partition("+")
    kept = [each for each in changes.split(",") if each and not each.startswith("split=")]
    return base + ("+" + ",".join(kept) if kept else "")


def folds_of(runs: Sequence[Run]) -> list[Folds]:
    """What was run fold by fold, where at least two folds are there."""
    found: dict[tuple[str, str, int, str], dict[int, list[Run]]] = {}
    for run in runs:
        if fold := FOLD.fullmatch(run.config.split.rule):
            key = run.cell.dataset, base_of(run.cell.recipe), int(fold[2]), run.cell.network
            found.setdefault(key, {}).setdefault(int(fold[1]), []).append(run)
    return [
        Folds(dataset, recipe, network, of, mine)
        for (dataset, recipe, of, network), mine in sorted(found.items(), key=lambda each: each[0][:3])
        if len(mine) > 1
    ]


def fold_grids(findings: Findings) -> list[Grid]:
    """One grid for each data set, recipe and number of folds."""
    every = folds_of(findings.evidence.runs)
    blocks = dict.fromkeys((each.dataset, each.recipe, each.of) for each in every)
    return [_grid([each for each in every if (each.dataset, each.recipe, each.of) == key], findings) for key in blocks]


def _grid(block: list[Folds], findings: Findings) -> Grid:
    first = block[0]
    columns = [
        Column("label", "Network"),
        Column("folds", "Folds", "", "number"),
        Column("seeds", "Seeds", "", "number"),
    ]
    for metric in SHOWN:
        columns += [
            Column(metric.name, "mean over folds", "", "number", metric.heading),
            Column(f"{metric.name}_interval", "95 % interval", "", "number", metric.heading),
            Column(f"{metric.name}_all", "all images", "", "number", metric.heading),
        ]
    best = {metric.name: max(percent(sum(each.by_fold(metric)) / len(each.runs)) for each in block) for metric in SHOWN}
    rows = [GridRow(each.network, _cells(each, best, findings)) for each in block]
    notes = [INTERVALS]
    for each in (each for each in block if each.missing):
        listed = ", ".join(map(str, each.missing))
        notes.append(f"{findings.label(each.network)}: no finished run of fold {listed}; its mean is over the others.")
    notes += mark_notes([each.network for each in block])
    return Grid(
        slug(f"folds-{first.of}", first.dataset, first.recipe),
        f"{first.of} folds: {place(first.dataset, first.recipe)}",
        CAPTION,
        columns,
        rows,
        notes,
        {"dataset": first.dataset, "recipe": first.recipe, "folds_planned": first.of},
    )


def _cells(found: Folds, best: Mapping[str, str], findings: Findings) -> list[TableCell]:
    cells = [
        label_cell(found.network, findings.first_rows),
        TableCell(str(len(found.runs)), len(found.runs)),
        TableCell(str(found.seeds), found.seeds, title="of the fold that has fewest"),
    ]
    for metric in SHOWN:
        name, (mean, sd), (low, high) = metric.name, mean_and_sd(found.by_fold(metric)), found.interval(metric)
        together = found.over_all(metric)
        data = {name: mean, f"{name}_sd_over_folds": NOTHING if sd is None else sd}
        text = f"{percent(mean)} ± {percent(sd or 0.0)}"
        cells += [
            TableCell(text, mean, percent(mean) == best[name], data=data),
            interval_cell(low, high, (f"{name}_low", f"{name}_high")),
            TableCell(
                NOTHING if math.isnan(together) else percent(together), None if math.isnan(together) else together
            ),
        ]
    return cells
