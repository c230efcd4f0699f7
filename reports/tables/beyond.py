"""Networks that are not in the paper: what was published of their accuracy, beside what is measured here."""

from collections.abc import Iterator

from reports.comparison.findings import Findings
from reports.comparison.join import measure
from reports.comparison.names import dataset_label, mark_notes
from reports.tables.cells import label_cell
from reports.tables.grid import NOT_MEASURED, NOT_PUBLISHED, NOTHING, Column, Grid, GridRow, TableCell, percent
from results.catalogue import BEYOND
from results.metrics import metric_named
from results.published import COUNTED, Printed

OWN_PROTOCOL = (
    "Published numbers come from other splits, other training and other definitions than ours. They are shown for "
    "reference only, and none is judged."
)
SECOND_HAND = "Second-hand: listed by others; the text of the authors was not read."
SHOWN = ("iou", "dsc")
"""Metrics of a measured network whether they were published or not."""


def beyond_grids(findings: Findings) -> list[Grid]:
    """One grid: a row per published number and recipe, and the measured numbers that have no published one."""
    rows = [row for network in BEYOND for row in _rows(network, findings)]
    columns = [
        Column("label", "Network"),
        Column("dataset", "Data set"),
        Column("metric", "Metric"),
        Column("published", "published", "%", "number"),
        Column("definition", "What was published", "", "prose"),
        Column("protocol", "Their protocol", "", "prose"),
        Column("source", "Source", "", "prose"),
        Column("recipe", "Our recipe"),
        Column("measured", "measured", "%", "number", title="mean ± standard deviation over seeds (number of seeds)"),
    ]
    notes = [OWN_PROTOCOL, SECOND_HAND, *mark_notes(BEYOND)]
    caption = "Networks that AULUNet's paper does not compare with: smaller rivals and later ones."
    return [Grid("beyond-published", "Beyond the paper", caption, columns, rows, notes)] if rows else []


def _rows(network: str, findings: Findings) -> Iterator[GridRow]:
    """The published numbers in the order of their file, then what was measured on further data sets."""
    evidence = findings.evidence
    printed = {(p.dataset, p.metric): p for p in evidence.beyond if p.network == network and p.metric not in COUNTED}
    cells = (run.cell for run in evidence.runs)
    places = sorted({(cell.dataset, cell.recipe) for cell in cells if cell.network == network})
    measured = [(dataset, metric) for dataset, _ in places for metric in SHOWN]
    for dataset, metric in dict.fromkeys([*printed, *measured]):
        number, recipes = printed.get((dataset, metric)), [recipe for where, recipe in places if where == dataset]
        for recipe in recipes or [""]:
            yield _row(network, dataset, metric, number, recipe, findings)


def _row(network: str, dataset: str, metric: str, number: Printed | None, recipe: str, findings: Findings) -> GridRow:
    named = metric_named(metric)
    return GridRow(
        network,
        [
            label_cell(network, findings.first_rows),
            TableCell(dataset_label(dataset), dataset, data={"dataset": dataset}),
            TableCell(named.own_heading, title=named.meaning, data={"metric": metric}),
            *_published(number),
            TableCell(recipe or NOTHING),
            _measured(network, dataset, metric, recipe, findings),
        ],
    )


def _published(number: Printed | None) -> list[TableCell]:
    """The number, what it is, how it was made, and where it stands."""
    if number is None:
        return [TableCell(NOT_PUBLISHED), *[TableCell(NOTHING)] * 3]
    text = f"{100 * number.value:.{number.digits}f}"
    source = f"second-hand: {number.source}" if number.second_hand else number.source
    value = TableCell(text, number.value, data={"published": round(number.value, 6)})
    return [value, *(TableCell(words) for words in (number.definition, number.protocol, source))]


def _measured(network: str, dataset: str, metric: str, recipe: str, findings: Findings) -> TableCell:
    found = measure(findings.evidence.runs_of(dataset, recipe, network), metric)
    if found is None:
        return TableCell(NOT_MEASURED, data={"measured": NOT_MEASURED, "measured_sd": NOT_MEASURED, "measured_n": 0})
    spread = "" if found.sd is None else f" ± {percent(found.sd)}"
    sd = "one seed" if found.sd is None else found.sd
    data = {"measured": found.mean, "measured_sd": sd, "measured_n": found.n}
    return TableCell(f"{percent(found.mean)}{spread} ({found.n})", found.mean, data=data)
