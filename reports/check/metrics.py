"""Checks of metrics: measured against published, seeds that were given up, published pairs against each other."""

from reports.check.item import Item, Status
from reports.comparison.findings import Findings
from reports.comparison.published_pairs import dsc_of
from reports.comparison.verdict import OUTSIDE, RECIPE, Verdict
from reports.tables.grid import percent
from results import published


def metric_items(findings: Findings) -> list[Item]:
    """One item for each published metric, however many tables hold it; not measured is skipped, never passed."""
    items: dict[str, Item] = {}
    blocks = [block for block in findings.blocks if block.recipe == RECIPE and not block.reference_only]
    for row in (row for block in blocks for row in block.rows):
        for metric, found in row.comparisons.items():
            if found.published is None:
                continue
            status = Status.SKIPPED
            if found.verdict in OUTSIDE:
                status = Status.DOCUMENTED if found.documented else Status.FAILED
            elif found.verdict is Verdict.REPRODUCED:
                status = Status.PASSED
            values = f"published {percent(found.published)}"
            values += f", measured {percent(found.measured.mean)} (n = {found.measured.n})" if found.measured else ""
            name = f"{row.dataset} {row.network} {metric}"
            message = f"{values}: {found.verdict}; {found.reason}"
            path = row.runs[0].folder.parent if row.runs else published.PUBLISHED / "table1.csv"
            items.setdefault(name, Item("metrics", name, status, message, path))
    return list(items.values())


def seed_items(findings: Findings) -> list[Item]:
    """One item for each seed that was given up."""
    evidence = findings.evidence
    explained = {(note.network, note.dataset): note.reason for note in evidence.documented if note.column == "seeds"}
    items = []
    for failure in evidence.failures:
        cell = failure.cell
        reason = explained.get((cell.network, cell.dataset)) or explained.get((cell.network, ""))
        message = f"given up at epoch {failure.epoch}: {failure.reason}" + (f"; {reason}" if reason else "")
        status = Status.DOCUMENTED if reason else Status.FAILED
        items.append(Item("seeds", str(cell), status, message, failure.folder / "failed.json"))
    return items


def pair_items(findings: Findings) -> list[Item]:
    """Published mIoU and DSC against each other: one item for all pairs that agree, one for each that does not."""
    found = findings.published_pairs
    items = []
    for pair in (pair for pair in found if not pair.holds):
        name = f"{pair.table} {pair.dataset} {pair.network} iou and dsc"
        message = (
            f"published DSC {percent(pair.dsc)}, but its mIoU {percent(pair.iou)} gives {percent(dsc_of(pair.iou))}"
        )
        items.append(Item("published", name, Status.DOCUMENTED, message, published.PUBLISHED / f"{pair.table}.csv"))
    message = f"{len(found) - len(items)} of {len(found)} published pairs obey DSC = 2 IoU / (1 + IoU) within rounding"
    return [Item("published", "iou and dsc", Status.PASSED, message, published.PUBLISHED), *items]
