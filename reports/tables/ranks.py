"""How stable the ranking by pooled IoU is when images and seeds are drawn again."""

from collections.abc import Mapping

from reports.comparison.findings import Findings
from reports.comparison.join import Row
from reports.comparison.names import mark_notes, place
from reports.statistics.block import RunBlock
from reports.statistics.ranks import WHAT_THE_RANKS_SAY, Rank
from reports.tables.cells import context, label_cell, rounded
from reports.tables.grid import Column, Grid, GridRow, TableCell, slug
from results.metrics import metric_named

MIOU = metric_named("iou")


def rank_grids(findings: Findings) -> list[Grid]:
    """One grid per block with at least two networks."""
    return [_rank_grid(block, findings.first_rows) for block in findings.run_blocks if len(block.networks) > 1]


def _rank_grid(block: RunBlock, known: Mapping[str, Row]) -> Grid:
    columns = [
        Column("label", "Network"),
        Column("rank", "Rank", "", "number"),
        Column("rank_interval", "95 % of ranks", "", "number"),
        Column("first", "First", "% of draws", "number"),
    ]
    rows = [GridRow(each.network, _cells(each, known)) for each in block.ranks(MIOU)]
    return Grid(
        slug("ranks", block.dataset, block.recipe),
        f"Rank stability: {place(block.dataset, block.recipe)}",
        "Ranks by pooled IoU, 1 is best.",
        columns,
        rounded(rows),
        [WHAT_THE_RANKS_SAY, *mark_notes(row.key for row in rows)],
        context(block),
    )


def _cells(rank: Rank, known: Mapping[str, Row]) -> list[TableCell]:
    return [
        label_cell(rank.network, known),
        TableCell(str(rank.rank), rank.rank),
        TableCell(f"{rank.low} to {rank.high}", rank.low, data={"rank_low": rank.low, "rank_high": rank.high}),
        TableCell(f"{100 * rank.first:.1f}", rank.first, data={"first": rank.first}),
    ]
