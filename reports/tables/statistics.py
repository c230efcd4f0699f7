"""Statistics as grids: intervals, ranks, the four definitions of mIoU, every pair of networks, and published pairs.

`blocks`: (data set, recipe) -> network -> runs, as `blocks_of_runs` gives them; `known`: network -> its row.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from reports.comparison.join import Row
from reports.comparison.expected import DATASETS
from reports.comparison.published_pairs import PublishedPair, dsc_of, published_pairs
from reports.evidence import Evidence
from reports.statistics.contrasts import (
    ALPHA,
    HOW_IT_IS_COMPUTED,
    WHAT_THE_SOURCES_SAY,
    WHAT_THE_TEST_SAYS,
    Contrast,
    Finding,
    Interval,
    contrasts,
    intervals,
)
from reports.statistics.ranks import WHAT_THE_RANKS_SAY, ranks
from reports.tables.grid import Cell, Column, Grid, GridRow, percent, slug
from reports.tables.efficiency import READING, label_cell
from results.metrics import DEFINITIONS, METRICS, Metric
from results.runs import Run

Networks = Mapping[str, Sequence[Run]]
Blocks = Mapping[tuple[str, str], Networks]
Known = dict[str, Row]

WHAT_THE_INTERVAL_SAYS = (
    "95 % interval of the mean over seeds: where it would lie if other images of the same kind were scored and the "
    "network were trained again with other seeds. With a single seed it speaks of the images alone."
)
MAIN = METRICS[0]


def _place(dataset: str, recipe: str) -> str:
    return f"{DATASETS.get(dataset, dataset)}, recipe {recipe}"


def _interval_cell(low: float, high: float, keys: tuple[str, str]) -> Cell:
    return Cell(f"{percent(low)} to {percent(high)}", low, data=dict(zip(keys, (low, high), strict=True)))


def _share_cell(key: str, share: float) -> Cell:
    return Cell(f"{100 * share:.0f}", share, data={key: share})


def _rounded(rows: Sequence[GridRow]) -> list[GridRow]:
    """Floats at nine digits: what lies beyond depends on the processor's order of summation."""

    def shorter(value: Any) -> Any:
        return float(f"{round(value, 12):.9g}") if isinstance(value, float) else value

    def cell(each: Cell) -> Cell:
        data = None if each.data is None else {key: shorter(value) for key, value in each.data.items()}
        return replace(each, sort=shorter(each.sort), data=data)

    return [replace(row, cells=[cell(each) for each in row.cells]) for row in rows]


# One network by itself


def statistics_grids(blocks: Blocks, known: Known) -> list[Grid]:
    """One grid a block: each metric pooled with its interval, and beside it the mean over images."""
    return [_statistics_grid(dataset, recipe, networks, known) for (dataset, recipe), networks in blocks.items()]


def _statistics_grid(dataset: str, recipe: str, networks: Networks, known: Known) -> Grid:
    columns = [Column("label", "Network"), Column("seeds", "Seeds", "", "number")]
    for metric in METRICS:
        columns += [
            Column(metric.name, "pooled", "", "number", metric.heading),
            Column(f"{metric.name}_interval", "95 % interval", "", "number", metric.heading),
            Column(f"{metric.name}_images", "images", "%", "number", metric.heading, "share of the variance"),
            Column(f"{metric.name}_per_image", "mean over images", "", "number", metric.heading),
        ]
    pooled = {metric: intervals(networks, metric) for metric in METRICS}
    single = {metric: intervals(networks, replace(metric, pooled=False)) for metric in METRICS}
    rows = []
    for k, network in enumerate(networks):
        seeds = pooled[MAIN][k].seeds
        cells = [label_cell(network, known), Cell(str(seeds), seeds)]
        for metric in METRICS:
            cells += _metric_cells(metric, pooled[metric][k], single[metric][k].mean)
        rows.append(GridRow(network, cells))
    caption = (
        "Percent, mean over seeds. Pooled: counts summed over the test split first, as in the paper's tables; beside "
        "it the mean over images of each image's own metric, which is another number."
    )
    notes = [WHAT_THE_INTERVAL_SAYS, WHAT_THE_SOURCES_SAY, READING]
    title, context = f"Statistics: {_place(dataset, recipe)}", {"dataset": dataset, "recipe": recipe}
    return Grid(slug("statistics", dataset, recipe), title, caption, columns, _rounded(rows), notes, context)


def _metric_cells(metric: Metric, found: Interval, per_image: float) -> list[Cell]:
    name = metric.name
    error = {f"{name}_standard_error": found.standard_error}
    return [
        Cell(percent(found.mean), found.mean, data={name: found.mean}),
        replace(
            _interval_cell(found.low, found.high, (f"{name}_low", f"{name}_high")),
            title="images alone: one seed" if found.seeds == 1 else "",
        ),
        _one_share_cell(found, f"{name}_images", error),
        Cell(percent(per_image), per_image, data={f"{name}_per_image": per_image}),
    ]


def _one_share_cell(found: Interval, key: str, more: dict[str, float]) -> Cell:
    """Share of the images; with one seed the spread of seeds is unknown, not zero."""
    if found.seeds == 1:
        return Cell("one seed", data={key: "one seed", **more})
    return replace(_share_cell(key, found.share_of_images), data={key: found.share_of_images, **more})


# Ranks and definitions


def rank_grids(blocks: Blocks, known: Known) -> list[Grid]:
    """One grid a block with at least two networks: ranks by pooled mIoU when images and seeds are drawn again."""
    columns = [
        Column("label", "Network"),
        Column("rank", "Rank", "", "number"),
        Column("rank_interval", "95 % of ranks", "", "number"),
        Column("first", "First", "% of draws", "number"),
    ]
    grids = []
    for (dataset, recipe), networks in blocks.items():
        if len(networks) < 2:
            continue
        rows = [
            GridRow(
                each.network,
                [
                    label_cell(each.network, known),
                    Cell(str(each.rank), each.rank),
                    Cell(f"{each.low} to {each.high}", each.low, data={"rank_low": each.low, "rank_high": each.high}),
                    Cell(f"{100 * each.first:.1f}", each.first, data={"first": each.first}),
                ],
            )
            for each in ranks(networks, MAIN)
        ]
        title, context = f"Rank stability: {_place(dataset, recipe)}", {"dataset": dataset, "recipe": recipe}
        name, notes = slug("ranks", dataset, recipe), [WHAT_THE_RANKS_SAY, READING]
        grids.append(Grid(name, title, "Ranks by pooled mIoU, 1 is best.", columns, _rounded(rows), notes, context))
    return grids


def definition_grids(blocks: Blocks, known: Known) -> list[Grid]:
    """One grid a block: the same runs under each definition that papers call mIoU, and the ranking under each."""
    return [_definition_grid(dataset, recipe, networks, known) for (dataset, recipe), networks in blocks.items()]


def _definition_grid(dataset: str, recipe: str, networks: Networks, known: Known) -> Grid:
    columns = [Column("label", "Network")]
    for definition in DEFINITIONS:
        columns += [
            Column(definition.name, "mean", definition.unit, "number", definition.heading, definition.meaning),
            Column(f"{definition.name}_interval", "95 % interval", "", "number", definition.heading),
            Column(f"{definition.name}_rank", "rank (95 %)", "", "number", definition.heading),
        ]
    found = {each: (intervals(networks, each), ranks(networks, each)) for each in DEFINITIONS}
    rows = []
    for k, network in enumerate(networks):
        cells = [label_cell(network, known)]
        for definition, (values, places) in found.items():
            name, value, place = definition.name, values[k], places[k]
            keys = (f"{name}_rank", f"{name}_rank_low", f"{name}_rank_high", f"{name}_first")
            numbers = (place.rank, place.low, place.high, place.first)
            cells += [
                Cell(percent(value.mean), value.mean, place.rank == 1, data={name: value.mean}),
                _interval_cell(value.low, value.high, (f"{name}_low", f"{name}_high")),
                Cell(
                    f"{place.rank} ({place.low} to {place.high})",
                    place.rank,
                    data=dict(zip(keys, numbers, strict=True)),
                ),
            ]
        rows.append(GridRow(network, cells))
    title, context = f"Four definitions of mIoU: {_place(dataset, recipe)}", {"dataset": dataset, "recipe": recipe}
    caption = "The same runs, from the same stored counts; percent, mean over seeds; bold: first. Nothing is retrained."
    notes = [*(_definition_note(each, networks, known) for each in DEFINITIONS), READING]
    return Grid(slug("definitions", dataset, recipe), title, caption, columns, _rounded(rows), notes, context)


def _definition_note(definition: Metric, networks: Networks, known: Known) -> str:
    """What the definition is, the ranking under it, and how many pairs it separates."""
    values = intervals(networks, definition)
    order = sorted(values, key=lambda each: each.mean, reverse=definition.better == "higher")
    ranking = ", ".join(label_cell(each.network, known).text for each in order)
    pairs = contrasts(networks, definition)
    separated = sum(each.finding is Finding.DIFFERS for each in pairs)
    said = f" Separated pairs: {separated} of {len(pairs)}." if pairs else ""
    return f"{definition.heading}: {definition.meaning}. Ranking: {ranking}.{said}"


# Pairs


def pair_grids(blocks: Blocks, known: Known) -> list[Grid]:
    """For each block with at least two networks one grid a metric: every pair, tested."""
    return [
        _pair_grid(dataset, recipe, metric, contrasts(networks, metric), known)
        for (dataset, recipe), networks in blocks.items()
        if len(networks) > 1
        for metric in METRICS
    ]


def _pair_grid(dataset: str, recipe: str, metric: Metric, found: Sequence[Contrast], known: Known) -> Grid:
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
    rows = [GridRow(each.first, _pair_cells(each, known)) for each in found]
    title = f"Pairs by {metric.heading}: {_place(dataset, recipe)}"
    separated = sum(each.finding is Finding.DIFFERS for each in found)
    caption = (
        f"Difference of pooled {metric.heading}, first minus second, mean over seeds. "
        f"Separated: {separated} of {len(found)} pairs (bold)."
    )
    context = {"dataset": dataset, "recipe": recipe, "metric": metric.name}
    notes = [WHAT_THE_TEST_SAYS, HOW_IT_IS_COMPUTED, WHAT_THE_SOURCES_SAY, READING]
    return Grid(slug("pairs", metric.name, dataset, recipe), title, caption, columns, _rounded(rows), notes, context)


def _pair_cells(found: Contrast, known: Known) -> list[Cell]:
    differs = found.finding is Finding.DIFFERS
    low, high = found.low, found.high
    corrected = Cell("not tested") if found.holm is None else _p_cell("p_holm", found.holm, differs)
    unknown = min(found.seeds) == 1
    share = Cell("one seed") if unknown else _share_cell("images", found.share_of_images)
    return [
        replace(label_cell(found.first, known), data={"first": found.first}),
        replace(label_cell(found.second, known), data={"second": found.second}),
        Cell(f"{100 * found.difference:+.2f}", found.difference, data={"difference": found.difference}),
        Cell(f"{100 * low:+.2f} to {100 * high:+.2f}", low, data={"low": low, "high": high}),
        _p_cell("p", found.p),
        corrected,
        Cell(found.finding.value, bold=differs),
        share,
        Cell(" / ".join(map(str, found.seeds)), min(found.seeds)),
    ]


def _p_cell(key: str, p: float, bold: bool = False) -> Cell:
    return Cell("< 0.0001" if p < 0.0001 else f"{p:.4f}", p, bold, data={key: p})


# What was published


def published_pairs_grid(evidence: Evidence, known: Known) -> Grid:
    """Every published pair of mIoU and DSC, held against DSC = 2 IoU / (1 + IoU)."""
    found = published_pairs(evidence)
    columns = [
        Column("label", "Network"),
        Column("table", "Table"),
        Column("dataset", "Data set"),
        Column("miou", "mIoU", "", "number"),
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
    listed = ", ".join(f"{each.label} ({each.table}, {DATASETS.get(each.dataset, each.dataset)})" for each in violating)
    notes = [
        f"Not in agreement: {listed or 'none'}.",
        "The identity holds for counts pooled over images and not for means over images: that the pairs obey it says "
        "that the paper's mIoU is the pooled IoU of the lesion, as here.",
        "Allowed: half a unit of the last printed digit of either number, and what the mean over five seeds of a "
        "curved function can lose (for a spread of one point where none is printed, at most 0.003 points).",
        READING,
    ]
    rows = [GridRow(each.network, _published_cells(each, known)) for each in found]
    return Grid("published-pairs", "Do the published mIoU and DSC agree?", caption, columns, _rounded(rows), notes)


def _published_cells(pair: PublishedPair, known: Known) -> list[Cell]:
    words = f"off by {100 * pair.excess:+.3f} points" if not pair.holds else "derived" if pair.derived else "agrees"
    low, high, expected = pair.low, pair.high, dsc_of(pair.miou)
    return [
        Cell(pair.label + ("†" if pair.network in known and known[pair.network].reading else ""), pair.label),
        Cell(pair.table.replace("table", "Table "), pair.table, data={"table": pair.table}),
        Cell(DATASETS.get(pair.dataset, pair.dataset), pair.dataset, data={"dataset": pair.dataset}),
        Cell(percent(pair.miou), pair.miou, data={"miou": round(pair.miou, 6)}),
        Cell(percent(pair.dsc), pair.dsc, data={"dsc": round(pair.dsc, 6)}),
        Cell(f"{100 * expected:.3f}", expected, data={"dsc_of_miou": expected}),
        Cell(f"{100 * low:.3f} to {100 * high:.3f}", low, data={"dsc_low": low, "dsc_high": high}),
        Cell(words, words, not pair.holds, data={"agreement": words if words in ("agrees", "derived") else "differs"}),
    ]
