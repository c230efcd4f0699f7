"""What the overlap of masks does not say: how far edges lie apart, and whether probabilities can be believed."""

from collections.abc import Mapping, Sequence

import numpy as np

from reports.comparison.findings import Findings
from reports.comparison.join import Row
from reports.comparison.names import mark_notes, place
from reports.evidence import Evidence
from reports.statistics.block import RunBlock
from reports.tables.cells import context, label_cell, rounded
from reports.tables.grid import NOT_MEASURED, Column, Grid, GridRow, TableCell, percent, slug
from results.metrics import metric_named
from results.probabilities import calibration_error, counts_at
from results.runs import Run

IOU = metric_named("iou")
THRESHOLDS = (0.3, 0.7)  # beside one half
SURFACE = {  # column of surface.csv -> heading, unit, scale
    "hd95": ("HD95", "px", 1),
    "assd": ("ASSD", "px", 1),
    "boundary_f1": ("Boundary F1", "%", 100),
}


def edge_grids(findings: Findings) -> list[Grid]:
    """One grid per block that has a run with what is needed: runs from before version 0.7 have not."""
    grids = [_grid(block, findings) for block in findings.run_blocks]
    return [grid for grid in grids if grid.rows]


def _grid(block: RunBlock, findings: Findings) -> Grid:
    evidence = findings.evidence
    columns = [Column("label", "Network"), Column("seeds", "Seeds", "", "number")]
    columns += [Column(key, heading, unit, "number", "Edges") for key, (heading, unit, _) in SURFACE.items()]
    columns += [Column("calibration_error", "ECE", "%", "number", "Probabilities")]
    columns += [Column(f"iou_at_{at:g}", f"IoU at {at:g}", "%", "number", "Probabilities") for at in THRESHOLDS]
    rows = []
    for network, runs in block.networks.items():
        known = [run for run in runs if run.cell in evidence.spreads or run.cell in evidence.surfaces]
        if known:
            rows.append(GridRow(network, _cells(network, known, evidence, findings.first_rows)))
    return Grid(
        slug("edges", block.dataset, block.recipe),
        f"Edges and probabilities: {place(block.dataset, block.recipe)}",
        "Mean over seeds ± standard deviation. Distances between the edges of mask and truth, in pixels of the size "
        "that was trained on, mean over images; then the calibration of the probabilities, and the pooled IoU at other "
        "thresholds than one half.",
        columns,
        rounded(rows),
        [*_libraries(block, evidence), WHAT_ECE_IS, *mark_notes(row.key for row in rows)],
        context(block),
    )


WHAT_ECE_IS = (
    "ECE: expected calibration error over all pixels of the test images, in 16 bins that are narrow near 0 and 1. It "
    "is small for every network that finds the skin, because most pixels are sure; the figure shows the others."
)


def _libraries(block: RunBlock, evidence: Evidence) -> list[str]:
    """What measured the distances."""
    found = [evidence.surfaces[run.cell].about for run in block.runs if run.cell in evidence.surfaces]
    words = sorted({f"{each.library}, edges agree within {each.tolerance:g} px for the F1" for each in found})
    return [f"Distances by {each}. An empty mask counts as far off as the picture's diagonal." for each in words]


def _cells(network: str, runs: Sequence[Run], evidence: Evidence, known: Mapping[str, Row]) -> list[TableCell]:
    cells = [label_cell(network, known), TableCell(str(len(runs)), len(runs))]
    surfaces = [evidence.surfaces[run.cell].distances for run in runs if run.cell in evidence.surfaces]
    for key, (_, _, scale) in SURFACE.items():
        cells.append(_mean(key, [scale * float(each[key].mean()) for each in surfaces]))
    spreads = [evidence.spreads[run.cell].sum(axis=0) for run in runs if run.cell in evidence.spreads]
    cells.append(_mean("calibration_error", [100 * calibration_error(each) for each in spreads]))
    for at in THRESHOLDS:
        values = [100 * float(IOU(counts_at(each, at))) for each in spreads]
        cells.append(_mean(f"iou_at_{at:g}", values))
    return cells


def _mean(key: str, values: Sequence[float]) -> TableCell:
    """Mean and standard deviation over seeds; the deviation of one seed is unknown."""
    if not values:
        return TableCell(NOT_MEASURED)
    mean = float(np.mean(values))
    data: dict[str, object] = {key: mean}
    text = percent(mean / 100)
    if len(values) > 1:
        data[f"{key}_std"] = float(np.std(values, ddof=1))
        text += f" ± {np.std(values, ddof=1):.2f}"
    return TableCell(text, mean, data=data)
