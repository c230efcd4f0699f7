"""Every pair of networks of a block, tested under every metric."""

from collections.abc import Mapping
from dataclasses import replace

from reports.comparison.findings import Findings
from reports.comparison.join import Row
from reports.comparison.names import mark_notes, place
from reports.statistics.block import RunBlock
from reports.statistics.contrasts import (
    ALPHA,
    HOW_IT_IS_COMPUTED,
    WHAT_THE_SOURCES_SAY,
    WHAT_THE_TEST_SAYS,
    Contrast,
    Finding,
)
from reports.tables.cells import context, label_cell, rounded, share_cell
from reports.tables.grid import Column, Grid, GridRow, TableCell, slug
from results.metrics import METRICS, Metric


def pair_grids(findings: Findings) -> list[Grid]:
    """For each block with at least two networks one grid per metric: every pair, tested."""
    return [
        _pair_grid(block, metric, findings.first_rows)
        for block in findings.run_blocks
        if len(block.networks) > 1
        for metric in METRICS
    ]


def _pair_grid(block: RunBlock, metric: Metric, known: Mapping[str, Row]) -> Grid:
    columns = [
        Column("first", "Network"),
        Column("second", "against"),
        Column("difference", "difference", "points", "number"),
        Column("interval", "95 % interval", "points", "number"),
        Column("p", "p", "", "number"),
        Column("p_holm", "p (Holm)", "", "number"),
        Column("finding", f"at {ALPHA}", "", "text"),
        Column("images", "images", "%", "number", "", "share of the variance; the rest comes from the seeds"),
        Column("seeds", "seeds", "", "number"),
    ]
    found = block.contrasts(metric)
    rows = [GridRow(each.first, _pair_cells(each, known)) for each in found]
    title = f"Pairs by {metric.own_heading}: {place(block.dataset, block.recipe)}"
    separated = sum(each.finding is Finding.DIFFERS for each in found)
    caption = (
        f"Difference of pooled {metric.own_heading}, first minus second, mean over seeds. "
        f"Separated: {separated} of {len(found)} pairs (bold)."
    )
    notes = [WHAT_THE_TEST_SAYS, HOW_IT_IS_COMPUTED, WHAT_THE_SOURCES_SAY, *mark_notes(block.networks)]
    name, told = slug("pairs", metric.name, block.dataset, block.recipe), {**context(block), "metric": metric.name}
    return Grid(name, title, caption, columns, rounded(rows), notes, told)


def _pair_cells(found: Contrast, known: Mapping[str, Row]) -> list[TableCell]:
    differs = found.finding is Finding.DIFFERS
    low, high = found.low, found.high
    corrected = TableCell("not tested") if found.holm is None else _p_cell("p_holm", found.holm, differs)
    unknown = min(found.seeds) == 1
    share = TableCell("one seed") if unknown else share_cell("images", found.share_of_images)
    return [
        replace(label_cell(found.first, known), data={"first": found.first}),
        replace(label_cell(found.second, known), data={"second": found.second}),
        TableCell(f"{100 * found.difference:+.2f}", found.difference, data={"difference": found.difference}),
        TableCell(f"{100 * low:+.2f} to {100 * high:+.2f}", low, data={"low": low, "high": high}),
        _p_cell("p", found.p),
        corrected,
        TableCell(found.finding.value, bold=differs),
        share,
        TableCell(" / ".join(map(str, found.seeds)), min(found.seeds)),
    ]


def _p_cell(key: str, p: float, bold: bool = False) -> TableCell:
    return TableCell("< 0.0001" if p < 0.0001 else f"{p:.4f}", p, bold, data={key: p})
