"""Tables 1 to 3: published beside measured, the difference and the verdict."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from reports.comparison.join import COUNTS, Block, Comparison, CountComparison, PaperTable, Row
from reports.comparison.names import DAGGER, DOUBLE_DAGGER_NOTE
from reports.comparison.verdict import TOLERANCES, Verdict
from reports.tables.grid import (
    NOT_COUNTED,
    NOT_MEASURED,
    NOT_PUBLISHED,
    NOTHING,
    UNREADABLE,
    Column,
    Grid,
    GridRow,
    TableCell,
    percent,
    record,
    slug,
    thousandths,
)
from results.metrics import metric_named

HOW_TO_READ = (
    "Percent; measured: mean ± standard deviation over seeds (number of seeds); difference: measured - published, in "
    "points; bold: best of its column."
)
HOW_TO_READ_OWN = "Percent; mean ± standard deviation over seeds (number of seeds); bold: best of its column."


def paper_grids(name: str, filled: PaperTable) -> list[Grid]:
    """One grid for each block of a paper's table."""
    return [_paper_grid(name, filled, block) for block in filled.blocks]


def _paper_grid(name: str, filled: PaperTable, block: Block) -> Grid:
    venues = name == "table1"
    columns = [Column("label", "Network"), *([Column("venue", "Venue")] if venues else [])]
    for count in COUNTS:
        heading = f"{count.heading} ({count.unit})" if count.unit else count.heading
        columns += [
            Column(f"{count.name}_published", "published", "", "number", heading),
            Column(f"{count.name}_counted", "counted", "", "number", heading),
        ]
    for metric in filled.metrics:
        columns += _metric_columns(metric)
    best = _Best(block.rows, filled.metrics)
    rows = [
        GridRow(
            row.network,
            [
                TableCell(row.marked_label, row.label, title=_title(row), data={"label": row.label}),
                *([TableCell(row.venue or NOTHING, row.venue)] if venues else []),
                *(cell for count in COUNTS for cell in _count_cells(row.counts[count.name], best)),
                *(cell for metric in filled.metrics for cell in _metric_cells(row, metric, best)),
            ],
            row.group,
            measured=bool(row.runs),
        )
        for row in block.rows
    ]
    context = {"dataset": block.dataset, "recipe": block.recipe}
    title = f"{filled.name}: {block.title}"
    grid = Grid(
        slug(name, block.dataset, block.recipe),
        title,
        f"{filled.caption} {HOW_TO_READ}",
        columns,
        rows,
        _notes(block, filled.metrics),
        context,
    )
    return grid if block.published else _measured_only(grid, block)


def _measured_only(grid: Grid, block: Block) -> Grid:
    """Without the columns and notes of published numbers, where there are none; machines still read the words."""
    gone = [column.key.endswith(("_published", "_difference", "_verdict")) for column in grid.columns]
    rows = []
    for row in grid.rows:
        data = record(grid.columns, row)
        kept = [cell for cell, left in zip(row.cells, gone, strict=True) if not left]
        rows.append(replace(row, cells=[replace(kept[0], data=data), *(replace(cell, data={}) for cell in kept[1:])]))
    return replace(
        grid,
        title=f"Measured: {block.title}",
        caption=f"Networks on a data set without published numbers. {HOW_TO_READ_OWN}",
        columns=[column for column, left in zip(grid.columns, gone, strict=True) if not left],
        rows=rows,
        notes=grid.notes[:-1],
    )


def _metric_columns(metric: str) -> list[Column]:
    heading = metric_named(metric).heading
    tolerance = f"reproduced means within {100 * TOLERANCES[metric]:.1f} points"
    return [
        Column(f"{metric}_published", "published", "", "number", heading),
        Column(f"{metric}_measured", "measured", "", "number", heading),
        Column(f"{metric}_difference", "difference", "", "number", heading),
        Column(f"{metric}_verdict", "verdict", "", "text", heading, tolerance),
    ]


class _Best:
    """The best published and the best measured value of each column at the published digits; ties are all best."""

    def __init__(self, rows: Sequence[Row], metrics: Iterable[str]) -> None:
        self.published, self.measured = {}, {}
        for metric in metrics:
            found = [row.comparisons[metric] for row in rows]
            self.published[metric] = _extreme(max, (c.published for c in found), percent)
            self.measured[metric] = _extreme(max, (c.measured.mean if c.measured else None for c in found), percent)
        for count in COUNTS:
            counted = [row.counts[count.name] for row in rows]
            self.published[count.name] = _extreme(min, (c.published for c in counted), thousandths)
            self.measured[count.name] = _extreme(min, (c.counted for c in counted), thousandths)


def _extreme(choose: Callable, values: Iterable[float | None], write: Callable[[float], str]) -> str:
    """The extreme value as written, "" where there is none."""
    known = [value for value in values if value is not None]
    return write(choose(known)) if known else ""


def _count_cells(found: CountComparison, best: _Best) -> list[TableCell]:
    key = f"{found.column}_published"
    published = TableCell(NOT_PUBLISHED, data={key: NOT_PUBLISHED})
    if found.published is not None:
        text = thousandths(found.published)
        bold = text == best.published[found.column]
        published = TableCell(text, found.published, bold, data={key: found.published})
    text = NOT_COUNTED if found.counted is None else thousandths(found.counted)
    bold = text == best.measured[found.column]
    text += " (contradicted)" if found.verdict is Verdict.CONTRADICTED else ""
    counted = {
        f"{found.column}_counted": NOT_COUNTED if found.counted is None else found.counted,
        f"{found.column}_verdict": found.verdict.value,
    }
    return [published, TableCell(text, found.counted, bold, found.verdict, found.reason, counted)]


def _metric_cells(row: Row, metric: str, best: _Best) -> list[TableCell]:
    found = row.comparisons[metric]
    return [
        _published_cell(found, best, row.source),
        _measured_cell(row, found, best),
        _difference_cell(found),
        TableCell(found.verdict.value, found.verdict.value, verdict=found.verdict, title=found.reason),
    ]


def _published_cell(found: Comparison, best: _Best, source: str) -> TableCell:
    keys = (f"{found.metric}_published", f"{found.metric}_published_sd")
    if found.published is None:
        word = UNREADABLE if found.unreadable else NOT_PUBLISHED
        return TableCell(word, title=source, data=dict.fromkeys(keys, word))
    text, spread = percent(found.published), found.published_sd
    text += "" if spread is None else f" ± {percent(spread)}"
    bold = percent(found.published) == best.published[found.metric]
    values = (round(found.published, 6), NOT_PUBLISHED if spread is None else round(spread, 6))
    return TableCell(text, found.published, bold, title=source, data=dict(zip(keys, values, strict=True)))


def _measured_cell(row: Row, found: Comparison, best: _Best) -> TableCell:
    key, measured = f"{found.metric}_measured", found.measured
    failed = ", ".join(f"seed {failure.cell.seed} failed" for failure in row.failures)
    if measured is None:
        text = f"{NOT_MEASURED} ({failed})" if failed else NOT_MEASURED
        return TableCell(text, data={key: NOT_MEASURED, f"{key}_sd": NOT_MEASURED, f"{key}_n": 0})
    spread = "" if measured.sd is None else f" ± {percent(measured.sd)}"
    text = f"{percent(measured.mean)}{spread} ({measured.n}{f'; {failed}' if failed else ''})"
    sd = "one seed" if measured.sd is None else measured.sd
    data = {key: measured.mean, f"{key}_sd": sd, f"{key}_n": measured.n}
    title = f"seeds {', '.join(map(str, measured.seeds))}"
    bold = percent(measured.mean) == best.measured[found.metric]
    return TableCell(text, measured.mean, bold, title=title, data=data)


def _difference_cell(found: Comparison) -> TableCell:
    key = f"{found.metric}_difference"
    if found.difference is None:
        return TableCell(NOTHING, data={key: NOTHING})
    return TableCell(
        f"{100 * found.difference:+.2f}", found.difference, title=found.reason, data={key: found.difference}
    )


def _title(row: Row) -> str:
    return " ".join(filter(None, (row.note, f"Published numbers: {row.source}." if row.source else "")))


def _notes(block: Block, metrics: Iterable[str]) -> list[str]:
    """What a reader must know beside the numbers, in every format."""
    notes = [block.note] if block.note else []
    for note in dict.fromkeys(row.note for row in block.rows if row.interpretation):
        notes.append(f"{DAGGER} {', '.join(row.label for row in block.rows if row.note == note)}: {note}")
    for note in dict.fromkeys(row.note for row in block.rows if row.note and not row.interpretation):
        notes.append(f"{', '.join(row.label for row in block.rows if row.note == note)}: {note}")
    notes += [DOUBLE_DAGGER_NOTE] if any(row.beyond for row in block.rows) else []
    notes += [f"Published numbers of {row.label}: {row.source}." for row in block.rows if ";" in row.source]
    for failure in (failure for row in block.rows for failure in row.failures):
        notes.append(f"{failure.cell} failed at epoch {failure.epoch}: {failure.reason}.")
    tolerances = ", ".join(f"{metric_named(m).heading} {100 * TOLERANCES[m]:.1f}" for m in metrics)
    notes.append(f"Reproduced means within this many points of the published value: {tolerances}.")
    return notes
