"""Cells that several tables have: labels, intervals, shares, numbers cut to what every processor agrees on."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from reports.comparison.join import Row
from reports.comparison.names import DOUBLE_DAGGER, label_of
from reports.statistics.block import RunBlock
from reports.tables.grid import GridRow, TableCell, percent


def label_cell(network: str, known: Mapping[str, Row]) -> TableCell:
    """The row's label with its marks; for networks of no table the catalogue's, or the name itself.

    `known`: network -> its first row.
    """
    if network not in known:
        label = label_of(network)
        return TableCell(label, label, data={"label": label.removesuffix(DOUBLE_DAGGER)})
    row = known[network]
    return TableCell(row.marked_label, row.label, title=row.note, data={"label": row.label})


def context(block: RunBlock) -> dict[str, object]:
    """What every CSV row of this block begins with."""
    return {"dataset": block.dataset, "recipe": block.recipe}


def interval_cell(low: float, high: float, keys: tuple[str, str]) -> TableCell:
    """Two fractions in percent; `keys` are their CSV keys."""
    return TableCell(f"{percent(low)} to {percent(high)}", low, data=dict(zip(keys, (low, high), strict=True)))


def share_cell(key: str, share: float) -> TableCell:
    """A share in whole percent."""
    return TableCell(f"{100 * share:.0f}", share, data={key: share})


def rounded(rows: Sequence[GridRow]) -> list[GridRow]:
    """Floats at nine digits: what lies beyond depends on the processor's order of summation."""

    def shorter(value: Any) -> Any:
        return float(f"{round(value, 12):.9g}") if isinstance(value, float) else value

    def cell(each: TableCell) -> TableCell:
        data = None if each.data is None else {key: shorter(value) for key, value in each.data.items()}
        return replace(each, sort=shorter(each.sort), data=data)

    return [replace(row, cells=[cell(each) for each in row.cells]) for row in rows]
