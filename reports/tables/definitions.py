"""The same runs under each definition that papers call mIoU."""

from collections.abc import Mapping

from reports.comparison.findings import Findings
from reports.comparison.join import Row
from reports.comparison.names import mark_notes, place
from reports.statistics.block import RunBlock
from reports.statistics.contrasts import Finding, Interval
from reports.statistics.ranks import Rank
from reports.tables.cells import context, interval_cell, label_cell, rounded
from reports.tables.grid import Column, Grid, GridRow, TableCell, percent, slug
from results.metrics import DEFINITIONS, Metric


def definition_grids(findings: Findings) -> list[Grid]:
    """One grid per block: the same runs under each definition that papers call mIoU, and the ranking under each."""
    return [_definition_grid(block, findings.first_rows) for block in findings.run_blocks]


def _definition_grid(block: RunBlock, known: Mapping[str, Row]) -> Grid:
    columns = [Column("label", "Network")]
    for definition in DEFINITIONS:
        columns += [
            Column(definition.name, "mean", definition.unit, "number", definition.heading, definition.meaning),
            Column(f"{definition.name}_interval", "95 % interval", "", "number", definition.heading),
            Column(f"{definition.name}_rank", "rank (95 %)", "", "number", definition.heading),
        ]
    found = {each: (block.intervals(each), block.ranks(each)) for each in DEFINITIONS}
    rows = []
    for k, network in enumerate(block.networks):
        cells = [label_cell(network, known)]
        for definition, (values, places) in found.items():
            cells += _definition_cells(definition.name, values[k], places[k])
        rows.append(GridRow(network, cells))
    caption = "The same runs, from the same stored counts; percent, mean over seeds; bold: first. Nothing is retrained."
    notes = [*(_definition_note(each, block, known) for each in DEFINITIONS), *mark_notes(block.networks)]
    name = slug("definitions", block.dataset, block.recipe)
    title = f"Four definitions of mIoU: {place(block.dataset, block.recipe)}"
    return Grid(name, title, caption, columns, rounded(rows), notes, context(block))


def _definition_cells(name: str, value: Interval, rank: Rank) -> list[TableCell]:
    """Mean, interval and rank of one network under one definition."""
    keys = (f"{name}_rank", f"{name}_rank_low", f"{name}_rank_high", f"{name}_first")
    numbers = (rank.rank, rank.low, rank.high, rank.first)
    return [
        TableCell(percent(value.mean), value.mean, rank.rank == 1, data={name: value.mean}),
        interval_cell(value.low, value.high, (f"{name}_low", f"{name}_high")),
        TableCell(f"{rank.rank} ({rank.low} to {rank.high})", rank.rank, data=dict(zip(keys, numbers, strict=True))),
    ]


def _definition_note(definition: Metric, block: RunBlock, known: Mapping[str, Row]) -> str:
    """What the definition is, the ranking under it, and how many pairs it separates."""
    order = sorted(block.intervals(definition), key=lambda each: each.mean, reverse=definition.better == "higher")
    ranking = ", ".join(label_cell(each.network, known).text for each in order)
    pairs = block.contrasts(definition)
    separated = sum(each.finding is Finding.DIFFERS for each in pairs)
    said = f" Separated pairs: {separated} of {len(pairs)}." if pairs else ""
    return f"{definition.heading}: {definition.meaning}. Ranking: {ranking}.{said}"
