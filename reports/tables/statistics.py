"""Every metric of every network with its interval, and beside it the mean over images."""

from collections.abc import Mapping
from dataclasses import replace

from reports.comparison.findings import Findings
from reports.comparison.join import Row
from reports.comparison.names import mark_notes, place
from reports.statistics.block import RunBlock
from reports.statistics.contrasts import WHAT_THE_SOURCES_SAY, Interval
from reports.tables.cells import context, interval_cell, label_cell, rounded, share_cell
from reports.tables.grid import Column, Grid, GridRow, TableCell, percent, slug
from results.metrics import METRICS, Metric

WHAT_THE_INTERVAL_SAYS = (
    "95 % interval of the mean over seeds: where it would lie if other images of the same kind were scored and the "
    "network were trained again with other seeds. With a single seed it speaks of the images alone."
)


def statistics_grids(findings: Findings) -> list[Grid]:
    """One grid per block: each metric pooled with its interval, and beside it the mean over images."""
    return [_statistics_grid(block, findings.first_rows) for block in findings.run_blocks]


def _statistics_grid(block: RunBlock, known: Mapping[str, Row]) -> Grid:
    columns = [Column("label", "Network"), Column("seeds", "Seeds", "", "number")]
    for metric in METRICS:
        columns += [
            Column(metric.name, "pooled", "", "number", metric.own_heading),
            Column(f"{metric.name}_interval", "95 % interval", "", "number", metric.own_heading),
            Column(f"{metric.name}_images", "images", "%", "number", metric.own_heading, "share of the variance"),
            Column(f"{metric.name}_per_image", "mean over images", "", "number", metric.own_heading),
        ]
    pooled = {metric: block.intervals(metric) for metric in METRICS}
    single = {metric: block.intervals(replace(metric, pooled=False)) for metric in METRICS}
    rows = []
    for k, network in enumerate(block.networks):
        seeds = pooled[METRICS[0]][k].seeds
        cells = [label_cell(network, known), TableCell(str(seeds), seeds)]
        for metric in METRICS:
            cells += _metric_cells(metric, pooled[metric][k], single[metric][k].mean)
        rows.append(GridRow(network, cells))
    caption = (
        "Percent, mean over seeds. Pooled: counts summed over the test split first, as in the paper's tables; beside "
        "it the mean over images of each image's own metric, which is another number."
    )
    notes = [WHAT_THE_INTERVAL_SAYS, WHAT_THE_SOURCES_SAY, *mark_notes(row.key for row in rows)]
    name, title = slug("statistics", block.dataset, block.recipe), f"Statistics: {place(block.dataset, block.recipe)}"
    return Grid(name, title, caption, columns, rounded(rows), notes, context(block))


def _metric_cells(metric: Metric, found: Interval, per_image: float) -> list[TableCell]:
    name = metric.name
    error = {f"{name}_standard_error": found.standard_error}
    return [
        TableCell(percent(found.mean), found.mean, data={name: found.mean}),
        replace(
            interval_cell(found.low, found.high, (f"{name}_low", f"{name}_high")),
            title="images alone: one seed" if found.seeds == 1 else "",
        ),
        _one_share_cell(found, f"{name}_images", error),
        TableCell(percent(per_image), per_image, data={f"{name}_per_image": per_image}),
    ]


def _one_share_cell(found: Interval, key: str, more: dict[str, float]) -> TableCell:
    """Share of the images; with one seed the spread of seeds is unknown, not zero."""
    if found.seeds == 1:
        return TableCell("one seed", data={key: "one seed", **more})
    return replace(share_cell(key, found.share_of_images), data={key: found.share_of_images, **more})
