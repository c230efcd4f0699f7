"""The page: one HTML file that needs nothing else."""

from collections.abc import Iterable, Sequence
from functools import partial

from markupsafe import Markup

from reports.comparison.findings import Findings
from reports.comparison.join import Row
from reports.comparison.names import dataset_label
from reports.comparison.verdict import OUTSIDE, TOLERANCE_REASON, TOLERANCES
from reports.formats.contents import Contents
from reports.formats.html.environment import TEMPLATES, environment, table_links
from reports.headline import headline
from reports.tables.data_sets import FACT_HEADINGS, SCORE_HEADINGS, data_facts
from reports.tables.grid import Grid
from reports.tables.provenance import provenance, split_words
from results.errors import Problem
from results.metrics import METRICS
from results.runs import Run

ELSEWHERE = "elsewhere"  # only there where weights were scored on other data, or folds were run
SECTIONS = (
    ("summary", "Summary"),
    ("claims", "Claims"),
    ("table1", "Table 1"),
    ("figure2", "Figure 2"),
    ("latency", "Latency"),
    ("ablations", "Tables 2, 3"),
    ("beyond", "Beyond"),
    (ELSEWHERE, "Other data"),
    ("statistics", "Statistics"),
    ("pictures", "Predictions"),
    ("curves", "Curves"),
    ("protocol", "Protocol"),
    ("differences", "Differences"),
    ("problems", "Problems"),
    ("provenance", "Provenance"),
)


def page(contents: Contents) -> str:
    """The whole page as text."""
    findings, figures = contents.findings, contents.figures
    elsewhere = [*contents.grids["external"], *contents.grids["folds"]]
    ran, problems = provenance(findings), [*findings.evidence.problems, *figures.problems]
    return (
        environment(findings.evidence.root)
        .get_template("page.html.j2")
        .render(
            css=Markup((TEMPLATES / "page.css").read_text(encoding="utf-8")),
            js=Markup((TEMPLATES / "page.js").read_text(encoding="utf-8")),
            beside="figures" in contents.formats,
            formats=contents.formats,
            table_links=partial(table_links, formats=contents.formats),
            sections=[each for each in SECTIONS if each[0] != ELSEWHERE or elsewhere],
            elsewhere=elsewhere,
            headline=headline(findings),
            tally=findings.tally,
            grids={**contents.grids, "table1": _measured_first(contents.grids["table1"], findings)},
            figures=figures,
            ran=ran,
            anchors={network.anchor for block in ran for network in block.networks},
            faults=_faults(findings, problems),
            problems=problems,
            failures=findings.evidence.failures,
            data=data_facts(findings),
            fact_headings=FACT_HEADINGS,
            score_headings=SCORE_HEADINGS,
            **_protocol(findings),
            **_differences(findings),
        )
    )


def _protocol(findings: Findings) -> dict[str, object]:
    """What the section on the protocol says that depends on the stored runs and on the rule of the verdict."""
    return {
        "splits": _splits(findings.evidence.runs),
        "share": _lesion_share(findings),
        "recipes": {run.cell.recipe: run.config.recipe_settings for run in findings.evidence.runs},
        "tolerances": [f"{100 * TOLERANCES[metric.name]:.1f} ({metric.heading})" for metric in METRICS],
        "tolerance_reason": TOLERANCE_REASON,
    }


def _differences(findings: Findings) -> dict[str, object]:
    """What the section on differences lists."""
    rows, label = findings.rows, findings.label
    recorded = (
        (str(words), label(run.cell.network)) for run in findings.evidence.runs for words in run.config.deviations
    )
    restored = ((_restored(row.source), f"{row.label} on {dataset_label(row.dataset)}") for row in rows)
    return {
        "interpretations": _by_words((row.note, label(row.network)) for row in rows if row.interpretation),
        "restored": _by_words(restored),
        "deviations": _by_words(recorded),
        "beyond": list(dict.fromkeys(_beyond(rows))),
    }


def _measured_first(grids: Sequence[Grid], findings: Findings) -> list[Grid]:
    """Blocks with runs before blocks without: the first screen should show numbers where there are any."""
    measured = {(block.dataset, block.recipe) for block in findings.run_blocks}
    return sorted(grids, key=lambda grid: (grid.context["dataset"], grid.context["recipe"]) not in measured)


def _faults(findings: Findings, problems: Sequence[Problem]) -> str:
    parts = [(len(findings.evidence.failures), "failed seed"), (len(problems), "file that could not be used")]
    words = [
        f"{n} {noun if n == 1 else noun.replace('file', 'files', 1).replace('seed', 'seeds')}" for n, noun in parts if n
    ]
    return " and ".join(words)


def _splits(runs: Iterable[Run]) -> list[str]:
    found = {dataset_label(run.cell.dataset): split_words(run) for run in runs}
    return [f"{dataset}, split {words}." for dataset, words in sorted(found.items())]


def _lesion_share(findings: Findings) -> str:
    """The lesion's share of the authors' test pixels, which their metrics imply, beside that of our test split."""
    if findings.lesion_shares is None:
        return ""
    implied, ours = findings.lesion_shares
    return (
        "That the order behaves like theirs can be checked: the accuracy, sensitivity and specificity published for "
        f"ISIC2018 imply that {100 * implied:.1f} % of their test pixels are lesion; in our test split it is "
        f"{100 * ours:.1f} %."
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
                where = dataset_label(row.dataset)
                yield f"{row.label} on {where}, {headings[name]}: {found.verdict.value}; {found.reason}."
