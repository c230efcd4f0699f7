"""What was trained on one data set and tested on another; and weights from elsewhere, which were not trained here."""

from collections.abc import Sequence

from reports.comparison.findings import Findings
from reports.comparison.names import dataset_label, mark_notes
from reports.statistics.block import stacked
from reports.statistics.estimates import of_one, sample
from reports.tables.cells import interval_cell, label_cell
from reports.tables.grid import NOTHING, Column, Grid, GridRow, TableCell, percent
from results.external import WHOLE_SET, Scored
from results.metrics import METRICS, Metric
from results.spread import mean_and_sd

SHOWN = METRICS[:2]
CAPTION = (
    "Weights of stored runs on a data set that they were not trained on. Percent; mean ± standard deviation over seeds "
    "(number of seeds), with the 95 % interval over images and seeds. Own test: the same weights on the test part of "
    "their own data set."
)
OTHER_IMAGES = (
    "Two data sets differ in cameras, selection and the hands that drew the masks: a lower score elsewhere says that "
    "these differ, not which."
)
LEFT_OUT = "Left out: images that training or validation also shows, by id or by their pixels."
NOT_TRAINED_HERE = "These weights were not trained here. How, on what, and selected by what is their authors' to say."


def external_grids(findings: Findings) -> list[Grid]:
    """One grid for runs of this suite, one for weights from elsewhere."""
    scored = findings.evidence.external
    groups: dict[tuple[str, ...], list[Scored]] = {}
    for each in scored:
        if each.run is None:
            continue
        cell = each.run.cell
        key = (cell.dataset, cell.recipe, cell.network, each.about.dataset, each.about.part, each.about.split or "")
        groups.setdefault(key, []).append(each)
    elsewhere = [each for each in scored if each.run is None]
    return [
        *([_trained_and_tested(groups, findings)] if groups else []),
        *([_from_elsewhere(elsewhere, findings)] if elsewhere else []),
    ]


def _metric_columns(own: bool) -> list[Column]:
    columns = []
    for metric in SHOWN:
        columns += [
            Column(metric.name, "there", "", "number", metric.heading),
            Column(f"{metric.name}_interval", "95 % interval", "", "number", metric.heading),
            *([Column(f"{metric.name}_own", "own test", "", "number", metric.heading)] if own else []),
        ]
    return columns


def _trained_and_tested(groups: dict[tuple[str, ...], list[Scored]], findings: Findings) -> Grid:
    columns = [
        Column("label", "Network"),
        Column("trained_on", "Trained on"),
        Column("recipe", "Recipe"),
        Column("tested_on", "Tested on"),
        Column("images", "Images", "", "number"),
        Column("left_out", "Left out", "", "number"),
        *_metric_columns(own=True),
    ]
    rows = []
    for (dataset, recipe, network, *_), mine in sorted(groups.items()):
        cells = [
            label_cell(network, findings.first_rows),
            TableCell(dataset_label(dataset), dataset, data={"trained_on": dataset}),
            TableCell(recipe, recipe),
            *_of_test(mine),
        ]
        for metric in SHOWN:
            own = [float(metric.over_images(each.run.counts)) for each in mine if each.run is not None]
            cells += [*_scores(metric, mine), TableCell(percent(sum(own) / len(own)), sum(own) / len(own))]
        rows.append(GridRow(network, cells))
    notes = [OTHER_IMAGES, LEFT_OUT, *mark_notes([row.key for row in rows])]
    return Grid("external", "Trained on, tested on", CAPTION, columns, rows, notes)


def _from_elsewhere(scored: Sequence[Scored], findings: Findings) -> Grid:
    columns = [
        Column("label", "Network"),
        Column("weights", "Weights", "", "prose"),
        Column("tested_on", "Tested on"),
        Column("images", "Images", "", "number"),
        Column("left_out", "Left out", "", "number"),
        *_metric_columns(own=False),
    ]
    rows = []
    for each in scored:
        about = each.about
        name = f"{about.source} (SHA-256 {about.weights[:12]})"
        cells = [
            label_cell(about.network, findings.first_rows),
            TableCell(name, name, data={"weights": about.source or NOTHING, "weights_sha256": about.weights}),
            *_of_test([each]),
        ]
        rows.append(GridRow(about.network, [*cells, *(cell for metric in SHOWN for cell in _scores(metric, [each]))]))
    caption = "Percent, with the 95 % interval over images."
    return Grid("external-weights", "Weights from elsewhere", caption, columns, rows, [NOT_TRAINED_HERE])


def _of_test(mine: Sequence[Scored]) -> list[TableCell]:
    """Data set, images and images left out, of scores on one test."""
    first = mine[0].about
    part = "" if first.part == WHOLE_SET else f", {first.part} part of {first.split}"
    words = f"{dataset_label(first.dataset)}{part}, {first.size} px"
    counts = {len(each.per_image): len(each.about.left_out) for each in mine}
    images, left_out = (" or ".join(f"{number:,}" for number in found) for found in (counts, counts.values()))
    return [
        TableCell(words, words, data={"tested_on": first.dataset, "part": first.part, "size": first.size}),
        TableCell(images, min(counts), data={"images": min(counts)}),
        TableCell(left_out, max(counts.values()), data={"left_out": max(counts.values())}),
    ]


def _scores(metric: Metric, mine: Sequence[Scored]) -> list[TableCell]:
    """Mean and spread over seeds, and the interval; only where all seeds scored the same images has it both parts."""
    mean, sd = mean_and_sd([float(metric.over_images(each.counts)) for each in mine])
    spread = "" if sd is None else f" ± {percent(sd)}"
    data = {metric.name: mean, f"{metric.name}_sd": NOTHING if sd is None else sd, f"{metric.name}_n": len(mine)}
    value = TableCell(f"{percent(mean)}{spread} ({len(mine)})", mean, data=data)
    ids = {tuple(sorted(each.per_image.index)) for each in mine}
    if len(ids) > 1:
        return [value, TableCell(NOTHING)]
    found = of_one(sample(metric, stacked([each.per_image for each in mine])))
    return [value, interval_cell(float(found.low), float(found.high), (f"{metric.name}_low", f"{metric.name}_high"))]
