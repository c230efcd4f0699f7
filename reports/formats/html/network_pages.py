"""A page for each network: what it is, its counts, all its runs, its curves, the images it finds hardest, citation."""

import io
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from markupsafe import Markup

from reports.comparison.findings import Findings
from reports.comparison.names import place
from reports.figures import curves
from reports.figures.picture import Picture
from reports.formats.contents import Contents
from reports.formats.html.environment import TEMPLATES, environment, network_page
from reports.statistics.block import RunBlock
from reports.tables.grid import Grid, slug
from reports.tables.provenance import NetworkRuns, provenance
from reports.versus.pair import Side
from reports.versus.pictures import own_sheet
from results.catalogue import BEYOND, NETWORKS, TABLE_1
from results.citations import bibtex
from results.errors import RequestError
from results.metrics import metric_named
from results.predictions import Masks

IOU = metric_named("iou")
WORST = 20  # images
STEMS = ("table1", "table2", "table3", "beyond", "counts", "statistics", "edges", "definitions")
SECTIONS = (
    ("summary", "What it is"),
    ("numbers", "Numbers"),
    ("curves", "Curves"),
    ("images", "Hardest images"),
    ("runs", "Runs"),
    ("citation", "Citation"),
)


@dataclass(frozen=True)
class Worst:
    """The images of one block that a network finds hardest."""

    title: str
    seeds: int
    rows: list[tuple[str, str, str]]
    """Image, its IoU in percent, and that of all other networks."""
    sheet: Picture | None = None
    """The photographs with the edges of truth and prediction, where they are at hand and masks were kept."""


def network_pages(contents: Contents) -> dict[str, str]:
    """File name -> page, for every network of the paper's Table 1, every one beyond it, and whatever has runs."""
    findings = contents.findings
    trained = [run.cell.network for run in findings.evidence.runs]
    template = environment(findings.evidence.root).get_template("network.html.j2")
    shared = {name: Markup((TEMPLATES / f"page.{name}").read_text(encoding="utf-8")) for name in ("css", "js")}
    runs = _runs(findings)
    return {
        network_page(name): template.render(**shared, sections=SECTIONS, **_facts(name, contents, runs.get(name, [])))
        for name in dict.fromkeys((*TABLE_1, *BEYOND, *trained))
    }


def _facts(name: str, contents: Contents, runs: list[tuple[str, NetworkRuns]]) -> dict[str, object]:
    """What a page is filled with."""
    findings, known = contents.findings, NETWORKS.get(name)
    return {
        "name": name,
        "label": findings.label(name),
        "architecture": known.architecture if known else "",
        "remarks": [words for words in (known.interpretation, known.note) if words] if known else [],
        "facts": _about(name, findings),
        "grids": _grids(name, contents),
        "curves": _curves(name, findings),
        "worst": [found for block in findings.run_blocks if (found := _worst(name, block, contents)) is not None],
        "runs": runs,
        "bibtex": _cited(name),
    }


def _about(name: str, findings: Findings) -> list[tuple[str, str]]:
    counted, known = findings.evidence.complexity.get(name, {}), NETWORKS.get(name)
    facts = [("Name in commands", name), ("Venue", known.venue if known else "")]
    facts += [("Training loss of its own", known.own_loss if known else "")]
    words = {"parameters": "Parameters", "flops": "FLOPs at 256 px, true", "thop_macs": "Multiply-adds at 256 px, thop"}
    facts += [(heading, f"{counted[key]:,}") for key, heading in words.items() if key in counted]
    return [(heading, value) for heading, value in facts if value]


def _grids(name: str, contents: Contents) -> list[Grid]:
    """The network's rows of every table that has some, under names of their own."""
    found = []
    for stem in STEMS:
        for grid in contents.grids[stem]:
            rows = [row for row in grid.rows if row.key == name]
            if any(row.measured for row in rows):
                found.append(replace(grid, rows=[replace(row, group="") for row in rows], notes=()))
    return found


def _curves(name: str, findings: Findings) -> list[Picture]:
    """Of this network alone, so that its own training loss has its own axis."""
    pictures = []
    for block in findings.merged_blocks:
        own = replace(block, rows=[row for row in block.rows if row.network == name])
        histories, _ = curves.histories(own)
        where = place(block.dataset, block.recipe)
        drawn = curves.curves(histories, f"curves-{name}-{block.dataset}-{block.recipe}", where)
        pictures += [] if drawn is None else [drawn]
    return pictures


def _worst(name: str, block: RunBlock, contents: Contents) -> Worst | None:
    """None where the block has no run of the network."""
    if name not in block.networks:
        return None
    own = IOU(block.counts[name]).mean(axis=0)
    others = [IOU(counts).mean(axis=0) for network, counts in block.counts.items() if network != name]
    rest = np.mean(others, axis=0) if others else None
    ids = sorted(block.networks[name][0].per_image.index)
    rows = []
    for at in np.argsort(own, kind="stable")[:WORST]:
        rows.append((ids[at], f"{100 * own[at]:.1f}", "" if rest is None else f"{100 * rest[at]:.1f}"))
    side = Side(contents.findings.label(name), block.networks[name])
    shown = _sheet(side, [row[0] for row in rows], block, contents)
    return Worst(place(block.dataset, block.recipe), len(side.runs), rows, shown)


def _sheet(side: Side, ids: list[str], block: RunBlock, contents: Contents) -> Picture | None:
    """None without photographs, or without the masks of all these images."""
    kept = Masks(min(side.runs, key=lambda run: run.cell.seed))
    if contents.photographs is None or not kept.whole:
        return None
    try:
        drawn = own_sheet(side, ids, contents.photographs(block.dataset, ids))
    except RequestError:  # the data set is not prepared here, or the masks are damaged, which the page tells elsewhere
        return None
    content, title = io.BytesIO(), f"{side.name}, {place(block.dataset, block.recipe)}"
    drawn.save(content, "JPEG", quality=85)
    words = (
        f"The {len(ids)} images with the lowest IoU, the edges of the truth and of the lowest stored seed's prediction."
    )
    return Picture(slug("worst", block.dataset, block.recipe), title, words, words, jpeg=content.getvalue(), wide=True)


def _runs(findings: Findings) -> Mapping[str, list[tuple[str, NetworkRuns]]]:
    found: dict[str, list[tuple[str, NetworkRuns]]] = {}
    for block in provenance(findings):
        for network in block.networks:
            found.setdefault(network.name, []).append((block.title, network))
    return found


def _cited(name: str) -> str:
    """Of the network, without the suite and the paper where it is another's; of these alone where it has none."""
    try:
        return bibtex([name])
    except RequestError:  # a user's own network
        return bibtex()
