"""Which figures the report has, under which names."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from reports.comparison.findings import Findings
from reports.comparison.join import Block
from reports.comparison.names import dataset_label
from reports.comparison.verdict import RECIPE
from reports.evidence import Evidence
from reports.figures import curves
from reports.figures.figure2 import figure2
from reports.figures.intervals import intervals
from reports.figures.latency import latency
from reports.figures.picture import Picture
from reports.figures.predictions import Photographs, predictions
from reports.figures.reliability import reliabilities
from reports.statistics.block import RunBlock
from reports.tables.grid import slug
from results.errors import Problem, RequestError

NO_PHOTOGRAPHS = (
    "No photographs, which are never stored with runs: the report draws them where the data set is prepared."
)
PANELS = {"isic2017": "a", "isic2018": "b"}  # of the paper's Figure 2


@dataclass(frozen=True)
class Figures:
    """Pictures by section of the page, what was wrong with their files, and why a picture is missing."""

    pictures: Mapping[str, Sequence[Picture]]
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def all_figures(findings: Findings, photographs: Photographs | None) -> Figures:
    """Draw everything: Table 1's rows in Figure 2 and among the predictions, all networks in the other figures."""
    compared, everything = findings.tables["table1"].blocks, findings.merged_blocks
    histories, problems = [], []
    for block in everything:
        found, damaged = curves.histories(block)
        histories.append((block, found))
        problems += damaged
    shown, unreadable, notes = _predictions(compared, photographs)
    pictures = {
        "figure2": _drawn(figure2(block, *_names("figure2", "Figure 2", block)) for block in compared),
        "latency": _latencies(compared, findings.evidence),
        "intervals": _drawn(
            intervals(block, findings.run_block(block.dataset, block.recipe), *_names("intervals", "Intervals", block))
            for block in everything
        ),
        "reliability": _drawn(
            reliabilities(
                block, _labels(block, findings), findings.evidence, *_names("reliability", "Calibration", block)
            )
            for block in findings.run_blocks
        ),
        "curves": _drawn(
            curves.curves(found, *_names("curves", "Learning curves", block)) for block, found in histories
        ),
        "predictions": shown,
    }
    return Figures(pictures, problems + unreadable, notes)


def _drawn(pictures: Iterable[Picture | None]) -> list[Picture]:
    return [picture for picture in pictures if picture is not None]


def _labels(block: RunBlock, findings: Findings) -> dict[str, str]:
    return {network: findings.label(network) for network in block.networks}


def _names(stem: str, words: str, block: Block | RunBlock) -> tuple[str, str]:
    """File stem and title of a block's figure."""
    title = dataset_label(block.dataset)
    if stem == "figure2" and block.recipe == RECIPE and block.dataset in PANELS:
        panel = PANELS[block.dataset]
        return f"figure2{panel}", f"{words} ({panel}): {title}"
    recipe = "" if block.recipe == RECIPE else f", recipe {block.recipe}"
    return slug(stem, block.dataset, block.recipe), f"{words}: {title}{recipe}"


def _latencies(blocks: Sequence[Block], evidence: Evidence) -> list[Picture]:
    """One figure for each block, machine and device: they are never mixed."""
    pictures = []
    for profile in evidence.profiles:
        for device in sorted({row.device for row in profile.rows}):
            for block in blocks:
                machine = profile.machine.name
                words = f"Latency, {device.upper()} of {machine}"
                name, title = _names(slug("latency", profile.path.stem, device), words, block)
                pictures.append(latency(block, profile, device, name, title))
    return _drawn(pictures)


def _predictions(
    blocks: Sequence[Block], photographs: Photographs | None
) -> tuple[list[Picture], list[Problem], list[str]]:
    """The figures of predictions, or why there are none."""
    with_runs = [block for block in blocks if any(row.runs for row in block.rows)]
    if not with_runs:
        return [], [], ["Predictions need finished runs; none is stored yet."]
    if photographs is None:
        return [], [], [NO_PHOTOGRAPHS]
    pictures, problems, notes = [], [], []
    for block in with_runs:
        name, title = _names("predictions", "Predictions", block)
        try:
            drawn, damaged = predictions(block, photographs, name, title)
        except RequestError as error:
            notes.append(f"{title} is not drawn: {error}")
            continue
        problems += damaged
        pictures += _drawn([drawn])
        if drawn is None:
            notes.append(f"{title} is not drawn: no image has a stored mask from every network.")
    return pictures, problems, notes
