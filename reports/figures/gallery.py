"""Which figures the report has, under which names."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from reports.comparison.compare import DATASETS, RECIPE, Block, PaperTable, Row
from reports.evidence import Evidence
from reports.figures import curves, scatter
from reports.figures.pictures import Picture
from reports.figures.qualitative import Photographs, qualitative
from reports.tables.grid import Grid, slug
from results.errors import RequestError
from results.runs import Problem

NO_PHOTOGRAPHS = (
    "No photographs, which are never stored with runs: the report draws them where the data set is prepared."
)
PANELS = {"isic2017": "a", "isic2018": "b"}  # of the paper's Figure 2


@dataclass(frozen=True)
class Gallery:
    """Pictures by section of the page, what was wrong with their files, and why a picture is missing."""

    pictures: Mapping[str, Sequence[Picture]]
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def illustrate(
    evidence: Evidence,
    tables: Sequence[PaperTable],
    grids: Mapping[str, Sequence[Grid]],
    photographs: Photographs | None,
) -> Gallery:
    """Draw everything: Table 1's rows in Figure 2 and among the predictions, all networks in the other figures."""
    compared, everything = tables[0].blocks, _merged(tables)
    histories, problems = [], []
    for block in everything:
        found, damaged = curves.histories(block)
        histories.append((block, found))
        problems += damaged
    shown, unreadable, notes = _predictions(compared, photographs)
    pictures = {
        "figure2": _drawn(scatter.tradeoff(block, *_names("figure2", "Figure 2", block)) for block in compared),
        "latency": _latencies(compared, evidence),
        "intervals": _drawn(
            scatter.intervals(block, _reach(block, grids["statistics"]), *_names("intervals", "Intervals", block))
            for block in everything
        ),
        "curves": _drawn(
            curves.curves(found, *_names("curves", "Learning curves", block)) for block, found in histories
        ),
        "qualitative": shown,
    }
    return Gallery(pictures, problems + unreadable, notes)


def _drawn(pictures: Iterable[Picture | None]) -> list[Picture]:
    return [picture for picture in pictures if picture is not None]


def _names(stem: str, words: str, block: Block) -> tuple[str, str]:
    """File stem and title of a block's figure."""
    title = DATASETS.get(block.dataset, block.dataset)
    if stem == "figure2" and block.recipe == RECIPE and block.dataset in PANELS:
        panel = PANELS[block.dataset]
        return f"figure2{panel}", f"{words} ({panel}): {title}"
    recipe = "" if block.recipe == RECIPE else f", recipe {block.recipe}"
    return slug(stem, block.dataset, block.recipe), f"{words}: {title}{recipe}"


def _merged(tables: Sequence[PaperTable]) -> list[Block]:
    """One block for each data set and recipe, with the rows of all tables, each network once."""
    merged: dict[tuple[str, str], Block] = {}
    for block in (block for filled in tables for block in filled.blocks):
        key = (block.dataset, block.recipe)
        rows: dict[str, Row] = {row.network: row for row in merged[key].rows} if key in merged else {}
        for row in block.rows:
            rows.setdefault(row.network, row)
        merged[key] = replace(merged.get(key, block), rows=list(rows.values()))
    return list(merged.values())


def _latencies(blocks: Sequence[Block], evidence: Evidence) -> list[Picture]:
    """One figure for each block, machine and device: they are never mixed."""
    pictures = []
    for profile in evidence.profiles:
        for device in sorted({row.device for row in profile.rows}):
            for block in blocks:
                machine = profile.machine.name
                words = f"Latency, {device.upper()} of {machine}"
                name, title = _names(slug("latency", profile.path.stem, device), words, block)
                pictures.append(scatter.latency(block, profile, device, name, title))
    return _drawn(pictures)


def _reach(block: Block, grids: Sequence[Grid]) -> dict[str, tuple[float, float]]:
    """network -> ends of the interval that the table of this block prints."""
    reach = {}
    for grid in grids:
        if (grid.context["dataset"], grid.context["recipe"]) != (block.dataset, block.recipe):
            continue
        for row in grid.rows:
            values = {key: value for cell in row.cells if cell.data for key, value in cell.data.items()}
            reach[row.key] = (float(str(values["miou_low"])), float(str(values["miou_high"])))
    return reach


def _predictions(
    blocks: Sequence[Block], photographs: Photographs | None
) -> tuple[list[Picture], list[Problem], list[str]]:
    """The qualitative figures, or why there are none."""
    with_runs = [block for block in blocks if any(row.runs for row in block.rows)]
    if not with_runs:
        return [], [], ["Predictions need finished runs; none is stored yet."]
    if photographs is None:
        return [], [], [NO_PHOTOGRAPHS]
    pictures, problems, notes = [], [], []
    for block in with_runs:
        name, title = _names("predictions", "Predictions", block)
        try:
            drawn, damaged = qualitative(block, photographs, name, title)
        except RequestError as error:
            notes.append(f"{title} is not drawn: {error}")
            continue
        problems += damaged
        pictures += _drawn([drawn])
        if drawn is None:
            notes.append(f"{title} is not drawn: no image has a stored mask from every network.")
    return pictures, problems, notes
