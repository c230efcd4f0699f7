"""The page: one HTML file that needs nothing else."""

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from reports.comparison.compare import (
    DATASETS,
    OUTSIDE,
    RECIPE,
    TOLERANCE_REASON,
    TOLERANCES,
    PaperTable,
    Row,
    Verdict,
    tally,
)
from reports.evidence import Evidence
from reports.figures.gallery import Gallery
from reports.figures.pictures import INK, PAPER, Picture
from reports.headline import headline
from reports.tables.data_sets import FACT_HEADINGS, SCORE_HEADINGS, data_facts
from reports.tables.grid import (
    NOT_COUNTED,
    NOT_MEASURED,
    NOT_PUBLISHED,
    NOTHING,
    UNREADABLE,
    Column,
    Grid,
    GridRow,
    slug,
)
from reports.tables.provenance import provenance, split_words
from reports.tables.supplements import blocks_of_runs
from results.metrics import METRICS
from results.runs import Problem, Run

TEMPLATES = Path(__file__).resolve().parent / "templates"
SECTIONS = (
    ("summary", "Summary"),
    ("table1", "Table 1"),
    ("figure2", "Figure 2"),
    ("latency", "Latency"),
    ("ablations", "Tables 2 and 3"),
    ("statistics", "Statistics"),
    ("pictures", "Predictions"),
    ("curves", "Curves"),
    ("protocol", "Protocol"),
    ("differences", "Differences"),
    ("problems", "Problems"),
    ("provenance", "Provenance"),
)
SYMBOLS = {  # beside the word and never instead of it
    Verdict.REPRODUCED: "✓",
    Verdict.ABOVE: "▲",
    Verdict.BELOW: "▼",
    Verdict.CONTRADICTED: "✕",
    Verdict.INCOMPLETE: "◐",
    Verdict.NOT_MEASURED: "○",
    Verdict.NO_CLAIM: "·",
}
ABSENT = {NOT_COUNTED, NOT_MEASURED, NOT_PUBLISHED, NOTHING, UNREADABLE}


def page(
    evidence: Evidence, tables: Sequence[PaperTable], grids: Mapping[str, Sequence[Grid]], gallery: Gallery
) -> str:
    """The whole page as text; `grids` by file stem."""
    rows = _rows(tables)
    blocks = blocks_of_runs(tables, evidence)
    labels = {row.network: row.label for row in reversed(rows)}
    data = data_facts(evidence, labels)
    ran, problems = provenance(blocks, labels, evidence), [*evidence.problems, *gallery.problems, *data.problems]
    first = {
        "headline": headline(tables, evidence),
        "ran": ran,
        "faults": _faults(evidence, problems),
        "tally": tally(tables),
        "grids": {**grids, "table1": _measured_first(grids["table1"], blocks)},
        "anchors": {network.anchor for block in ran for network in block.networks},
    }
    return (
        _environment(evidence.root)
        .get_template("page.html.j2")
        .render(
            css=Markup((TEMPLATES / "page.css").read_text(encoding="utf-8")),
            js=Markup((TEMPLATES / "page.js").read_text(encoding="utf-8")),
            sections=SECTIONS,
            gallery=gallery,
            problems=problems,
            failures=evidence.failures,
            data=data,
            fact_headings=FACT_HEADINGS,
            score_headings=SCORE_HEADINGS,
            **first,
            **_protocol(evidence),
            **_differences(rows, labels, evidence.runs),
        )
    )


def _protocol(evidence: Evidence) -> dict[str, object]:
    """What the section on the protocol says that depends on the stored runs and on the rule of the verdict."""
    return {
        "splits": _splits(evidence.runs),
        "share": _lesion_share(evidence),
        "recipes": {run.cell.recipe: run.config.recipe_settings for run in evidence.runs},
        "tolerances": [f"{100 * TOLERANCES[metric.name]:.1f} ({metric.heading})" for metric in METRICS],
        "tolerance_reason": TOLERANCE_REASON,
    }


def _differences(rows: Sequence[Row], labels: Mapping[str, str], runs: Iterable[Run]) -> dict[str, object]:
    """What the section on differences lists."""
    recorded = (
        (str(words), labels.get(run.cell.network, run.cell.network)) for run in runs for words in _recorded(run)
    )
    restored = ((_restored(row.source), f"{row.label} on {DATASETS.get(row.dataset, row.dataset)}") for row in rows)
    return {
        "readings": _by_words((row.note, labels[row.network]) for row in rows if row.reading),
        "restored": _by_words(restored),
        "deviations": _by_words(recorded),
        "beyond": list(dict.fromkeys(_beyond(rows))),
    }


def _recorded(run: Run) -> Sequence[str]:
    return run.config.deviations


def inline(picture: Picture) -> Markup:
    """A picture as part of the page: drawings take the page's colours, photographs travel inside the file."""
    if picture.jpeg:
        data = base64.b64encode(picture.jpeg).decode()
        return Markup('<img src="data:image/jpeg;base64,{}" alt="{}" loading="lazy">').format(data, picture.alt)
    svg = picture.svg[picture.svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    own = slug(picture.name)
    svg = re.sub(r'\bid="', f'id="{own}-', svg)
    svg = re.sub(r'(xlink:href="#|url\(#)', rf"\g<1>{own}-", svg)
    svg = svg.replace(INK, "currentColor").replace(PAPER, "var(--page)")
    head = f'<svg role="img" aria-label="{escape(picture.alt)}" '
    return Markup(re.sub(r'<svg (?:width|height)="[^"]*" ?|<svg ', head, svg, count=1))


def _environment(root: Path) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        inline=inline,
        slug=slug,
        symbol=SYMBOLS.__getitem__,
        column_groups=_column_groups,
        row_groups=_row_groups,
        number=_number,
        shown=lambda path: _shown(path, root),
    )
    environment.tests["absent"] = lambda cell: cell.text in ABSENT
    return environment


def _number(text: str) -> str:
    """The text of a cell without the verdict that a mark will stand for; what belongs together stays on one line."""
    bare = text.removesuffix(f" ({Verdict.CONTRADICTED})")
    return re.sub(
        r" ± | (?=\(\d)|(?<=not) (?=measured)", lambda found: found[0].replace(" ", "\N{NO-BREAK SPACE}"), bare
    )


def _shown(path: Path, root: Path) -> str:
    """A path as the reader can find it, without the folders that only one machine has."""
    return path.relative_to(root.parent).as_posix() if path.is_relative_to(root.parent) else path.name


def _column_groups(grid: Grid) -> list[tuple[str, list[tuple[int, Column]]]]:
    """Neighbouring columns under one heading, each with its place in the row."""
    placed = enumerate(grid.columns)
    return [(group, list(members)) for group, members in groupby(placed, key=lambda pair: pair[1].group)]


def _row_groups(grid: Grid) -> list[tuple[str, list[GridRow]]]:
    return [(group, list(members)) for group, members in groupby(grid.rows, key=lambda row: row.group)]


def _rows(tables: Iterable[PaperTable]) -> list[Row]:
    return [row for table in tables for block in table.blocks for row in block.rows]


def _measured_first(grids: Sequence[Grid], blocks: Mapping[tuple[str, str], object]) -> list[Grid]:
    """Blocks with runs before blocks without: the first screen should show numbers where there are any."""
    return sorted(grids, key=lambda grid: (grid.context["dataset"], grid.context["recipe"]) not in blocks)


def _faults(evidence: Evidence, problems: Sequence[Problem]) -> str:
    parts = [(len(evidence.failures), "failed seed"), (len(problems), "file that could not be used")]
    words = [
        f"{n} {noun if n == 1 else noun.replace('file', 'files', 1).replace('seed', 'seeds')}" for n, noun in parts if n
    ]
    return " and ".join(words)


def _splits(runs: Iterable[Run]) -> list[str]:
    found = {DATASETS.get(run.cell.dataset, run.cell.dataset): split_words(run) for run in runs}
    return [f"{dataset}, split {words}." for dataset, words in sorted(found.items())]


def _lesion_share(evidence: Evidence) -> str:
    """The lesion's share of the authors' test pixels, which their metrics imply, beside that of our test split."""
    table = evidence.published["table2"]
    if not {"acc", "spe", "sen"} <= set(table.columns):
        return ""
    implied = float(np.nanmedian((table["spe"] - table["acc"]) / (table["spe"] - table["sen"])))
    ours = [run for run in evidence.runs if (run.cell.dataset, run.cell.recipe) == ("isic2018", RECIPE)]
    if not ours or not np.isfinite(implied):
        return ""
    tp, _, fn, _ = ours[0].counts.sum(axis=0)
    share = (tp + fn) / ours[0].counts.sum()
    return (
        "That the order behaves like theirs can be checked: the accuracy, sensitivity and specificity printed for "
        f"ISIC2018 imply that {100 * implied:.1f} % of their test pixels are lesion; in our test split it is "
        f"{100 * share:.1f} %."
    )


def _by_words(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Words -> those of whom they are said, each once."""
    found: dict[str, dict[str, None]] = {}
    for words, name in pairs:
        if words:
            found.setdefault(words, {})[name] = None
    return {words: list(names) for words, names in found.items()}


def _restored(source: str) -> str:
    """What a published row's source says beyond where it was read."""
    return source.removeprefix("poster").removeprefix("; ")


def _beyond(rows: Iterable[Row]) -> Iterable[str]:
    """Metrics that are above or below the published value, with the reason as stated."""
    headings = {metric.name: metric.heading for metric in METRICS}
    for row in rows:
        for name, found in row.comparisons.items():
            if found.verdict in OUTSIDE:
                where = DATASETS.get(row.dataset, row.dataset)
                yield f"{row.label} on {where}, {headings[name]}: {found.verdict.value}; {found.reason}."
