"""Every published pair of mIoU and DSC, held against DSC = 2 IoU / (1 + IoU)."""

from collections.abc import Mapping

from reports.comparison.findings import Findings
from reports.comparison.join import Row
from reports.comparison.names import DAGGER, DAGGER_NOTE, dataset_label
from reports.comparison.published_pairs import PublishedPair, dsc_of
from reports.tables.cells import rounded
from reports.tables.grid import Column, Grid, GridRow, TableCell, percent


def published_pairs_grid(findings: Findings) -> Grid:
    """One row per pair, in the paper's order."""
    found = findings.published_pairs
    columns = [
        Column("label", "Network"),
        Column("table", "Table"),
        Column("dataset", "Data set"),
        Column("iou", "mIoU", "", "number"),
        Column("dsc", "DSC", "", "number"),
        Column("expected", "DSC of the mIoU", "", "number"),
        Column("allowed", "allowed", "", "number", title="what rounding and the mean over seeds allow"),
        Column("agreement", "Agreement"),
    ]
    violating = [each for each in found if not each.holds]
    independent = sum(not each.derived for each in found)
    caption = (
        f"{len(found) - len(violating)} of {len(found)} published pairs obey DSC = 2 IoU / (1 + IoU) within rounding; "
        f"in {independent} both numbers were read independently."
    )
    listed = ", ".join(f"{each.label} ({each.table}, {dataset_label(each.dataset)})" for each in violating)
    notes = [
        f"Not in agreement: {listed or 'none'}.",
        "The identity holds for counts pooled over images and not for means over images: that the pairs obey it says "
        "that the paper's mIoU is the pooled IoU of the lesion, as here.",
        "Allowed: half a unit of the last published digit of either number, and what the mean over five seeds of a "
        "curved function can lose (for a spread of one point where none is published, at most 0.003 points).",
        DAGGER_NOTE,
    ]
    rows = [GridRow(each.network, _cells(each, findings.first_rows)) for each in found]
    return Grid("published-pairs", "Do the published mIoU and DSC agree?", caption, columns, rounded(rows), notes)


def _cells(pair: PublishedPair, known: Mapping[str, Row]) -> list[TableCell]:
    words = f"off by {100 * pair.excess:+.3f} points" if not pair.holds else "derived" if pair.derived else "agrees"
    low, high, expected = pair.low, pair.high, dsc_of(pair.iou)
    interpretation = pair.network in known and known[pair.network].interpretation
    agreement = words if words in ("agrees", "derived") else "differs"
    return [
        TableCell(f"{pair.label}{DAGGER if interpretation else ''}", pair.label),
        TableCell(pair.table.replace("table", "Table "), pair.table, data={"table": pair.table}),
        TableCell(dataset_label(pair.dataset), pair.dataset, data={"dataset": pair.dataset}),
        TableCell(percent(pair.iou), pair.iou, data={"iou": round(pair.iou, 6)}),
        TableCell(percent(pair.dsc), pair.dsc, data={"dsc": round(pair.dsc, 6)}),
        TableCell(f"{100 * expected:.3f}", expected, data={"dsc_of_iou": expected}),
        TableCell(f"{100 * low:.3f} to {100 * high:.3f}", low, data={"dsc_low": low, "dsc_high": high}),
        TableCell(words, words, not pair.holds, data={"agreement": agreement}),
    ]
