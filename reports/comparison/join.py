"""The one join of published and measured numbers: every row of Tables 1 to 3 with its comparisons.

All metrics here are fractions in [0, 1]; percent and points exist only in tables and sentences. Counts are in the
paper's units: parameters in millions, operations in GFLOPs (its counter's multiply-adds / 1e9).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from reports.comparison.expected import LAYOUTS, Line, lines, networks
from reports.comparison.names import (
    DAGGER,
    DATASETS,
    DOUBLE_DAGGER,
    INTERPRETATIONS,
    NOTES,
    REFERENCE_ONLY,
    place,
)
from reports.comparison.verdict import AT_PRINTED_DIGITS, OUTSIDE, RECIPE, SEEDS, TOLERANCES, Verdict, verdict
from reports.evidence import Evidence
from results.catalogue import BEYOND
from results.metrics import metric_named
from results.published import Documented
from results.runs import Failure, Run
from results.spread import mean_and_sd


@dataclass(frozen=True)
class Count:
    """A column of counts: CSV key, heading, unit, field of complexity.csv and its scale, name of the convention."""

    name: str
    heading: str
    unit: str
    field: str
    scale: float
    convention: str


COUNTS = (
    Count("params_m", "Params", "M", "parameters", 1e6, "true sum"),
    Count("gflops", "GFLOPs", "", "thop_macs", 1e9, "thop's multiply-adds"),
)

NOT_COUNTED = "Not counted yet: run python -m benchmarks count."


@dataclass(frozen=True)
class Measured:
    """A metric over seeds: mean and sample standard deviation (None for one seed) of the pooled metric."""

    mean: float
    sd: float | None
    n: int
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Comparison:
    """One published metric beside the measured one. `difference`: measured - published, None where it says nothing."""

    metric: str
    published: float | None
    published_sd: float | None
    measured: Measured | None
    difference: float | None
    tolerance: float
    verdict: Verdict
    reason: str
    unreadable: bool = False  # the paper has a number here that nobody could read
    documented: bool = False  # a person has explained this verdict in contradictions.csv


@dataclass(frozen=True)
class CountComparison:
    """One published count beside ours, both in the paper's unit; `convention`: what the published count agrees with."""

    column: str
    published: float | None
    counted: float | None
    convention: str
    verdict: Verdict
    reason: str
    documented: bool = False
    digits: int = 3  # decimals of the published count


@dataclass(frozen=True)
class Row:
    """One network in one block.

    `interpretation`: the architecture is our interpretation of the paper; no released code has it.
    """

    dataset: str
    network: str
    label: str
    venue: str
    interpretation: bool
    comparisons: dict[str, Comparison]
    counts: dict[str, CountComparison]
    runs: list[Run]
    failures: list[Failure]
    group: str = ""  # heading of a part of the block, as Table 3 has
    note: str = ""  # what a reader must know of this architecture, as a sentence
    source: str = ""  # where the published numbers were read

    @property
    def marked_label(self) -> str:
        """The label, marked where the architecture is our interpretation, or not in the paper."""
        return f"{self.label}{DAGGER if self.interpretation else ''}{DOUBLE_DAGGER if self.beyond else ''}"

    @property
    def beyond(self) -> bool:
        """Whether the network is one of the catalogue's that are not in the paper."""
        return self.network in BEYOND


@dataclass(frozen=True)
class Block:
    """Rows of one data set and one recipe: recipes are never mixed. `note`: what the block leaves out."""

    dataset: str
    recipe: str
    title: str
    rows: list[Row]
    reference_only: bool = False  # published values belong to another data set and are shown for reference only
    note: str = ""

    @property
    def published(self) -> bool:
        """Whether any number of this block was published; none was on a user's own data."""
        return any(
            each.published is not None or each.unreadable for row in self.rows for each in row.comparisons.values()
        )


@dataclass(frozen=True)
class PaperTable:
    """A table of the paper, filled."""

    name: str
    caption: str
    metrics: tuple[str, ...]
    blocks: list[Block]


def measure(runs: Iterable[Run], metric: str) -> Measured | None:
    """Mean and spread over seeds of a metric of METRICS or DEFINITIONS; None without runs."""
    named = metric_named(metric)
    by_seed = {run.cell.seed: float(named.over_images(run.counts)) for run in runs}
    if not by_seed:
        return None
    mean, sd = mean_and_sd(list(by_seed.values()))
    return Measured(mean, sd, len(by_seed), tuple(sorted(by_seed)))


def compare_count(column: Count, published: float | None, network: str, evidence: Evidence) -> CountComparison:
    """A published count against complexity.csv, at the published digits."""
    known = evidence.complexity.get(network, {})
    if column.field not in known:
        found = verdict(published, None, AT_PRINTED_DIGITS, counted=True)
        return CountComparison(column.name, published, None, "", found, NOT_COUNTED)
    counted = known[column.field] / column.scale
    found = verdict(published, counted, AT_PRINTED_DIGITS, counted=True)
    seen_by_thop = known.get("thop_parameters")
    thop = verdict(published, seen_by_thop and seen_by_thop / 1e6, AT_PRINTED_DIGITS, counted=True)
    mixed = column.name == "params_m" and thop is Verdict.REPRODUCED
    convention, reason = column.convention, f"Counted {known[column.field]:,}."
    if found is Verdict.REPRODUCED and published != round(counted, 3):
        reason = f"Counted {known[column.field]:,}; the published number is truncated, not rounded."
    if found is Verdict.CONTRADICTED:
        convention = "thop's parameter count" if mixed else "none"
        seen = f", and thop sees {seen_by_thop:,}" if mixed else ""
        reason = f"Published {published:.3f}, counted {known[column.field]:,}{seen}."
    note = _documented(evidence, network, column.name, "") if found is Verdict.CONTRADICTED else None
    reason = note.reason if note else reason
    return CountComparison(column.name, published, counted, convention, found, reason, documented=note is not None)


def compare_metric(metric: str, line: Line, runs: list[Run], shortfall: str, evidence: Evidence) -> Comparison:
    """One metric of one row: published, measured, and what follows."""
    measured, published, tolerance = measure(runs, metric), line.fraction(metric), TOLERANCES[metric]
    if measured is not None and measured.n < SEEDS:
        shortfall = "; ".join(filter(None, (shortfall, f"n = {measured.n} of {SEEDS} seeds")))
    value = None if measured is None else measured.mean
    found = verdict(published, value, (-tolerance, tolerance), shortfall=shortfall)
    difference = None if published is None or value is None or line.reference_only else value - published
    note = _documented(evidence, line.network, metric, line.dataset) if found in OUTSIDE else None
    unreadable = metric in line.published and published is None
    return Comparison(
        metric=metric,
        published=published,
        published_sd=line.fraction(f"{metric}_std"),
        measured=measured,
        difference=difference,
        tolerance=tolerance,
        verdict=found,
        reason=note.reason if note else _reason(found, difference, tolerance, shortfall, unreadable),
        unreadable=unreadable,
        documented=note is not None,
    )


def _reason(found: Verdict, difference: float | None, tolerance: float, shortfall: str, unreadable: bool) -> str:
    if found is Verdict.NO_CLAIM:
        return "the published number cannot be read" if unreadable else "nothing was published"
    if found is Verdict.NOT_MEASURED:
        return "no finished run is stored"
    if found is Verdict.INCOMPLETE or difference is None:
        return shortfall
    place = "within" if found is Verdict.REPRODUCED else "beyond"
    return f"{100 * difference:+.2f} points, {place} the tolerance of {100 * tolerance:.1f} points"


def _documented(evidence: Evidence, network: str, column: str, dataset: str) -> Documented | None:
    fitting = (
        note
        for note in evidence.documented
        if (note.network, note.column) == (network, column) and note.dataset in ("", dataset)
    )
    return next(fitting, None)


def fill(name: str, evidence: Evidence) -> PaperTable:
    """The paper's table of that name ("table1", "table2", "table3"), filled: a block for each data set and recipe."""
    layout = LAYOUTS[name]
    blocks = [_block(name, dataset, recipe, evidence) for dataset, recipe in _plan(name, evidence)]
    return PaperTable(layout.title, layout.caption, layout.metrics, blocks)


def _plan(name: str, evidence: Evidence) -> list[tuple[str, str]]:
    """The paper's recipe on the paper's data sets, always; then every other pair that adds something to this table."""
    always = [(dataset, RECIPE) for dataset in evidence.published[name]["dataset"].unique()]
    cells = [run.cell for run in evidence.runs] + [failure.cell for failure in evidence.failures]
    if name != "table1":
        own = networks(name, evidence) - networks("table1", evidence)
        cells = [cell for cell in cells if cell.network in own]
    else:
        own = (networks("table2", evidence) | networks("table3", evidence)) - networks("table1", evidence)
        cells = [cell for cell in cells if cell.network not in own]
    further = sorted({(cell.dataset, cell.recipe) for cell in cells} - set(always))
    return always + further


def _block(name: str, dataset: str, recipe: str, evidence: Evidence) -> Block:
    rows = [_row(name, line, recipe, evidence) for line in lines(name, dataset, recipe, evidence)]
    paper = recipe == RECIPE and dataset not in REFERENCE_ONLY
    kept = rows if paper else [row for row in rows if row.runs or row.failures]
    reference_only = dataset in REFERENCE_ONLY
    notes = [] if paper else _settings(kept)
    notes += [] if paper else _of_own_data(kept)
    if reference_only:
        notes.append(f"Published numbers are those on {DATASETS[REFERENCE_ONLY[dataset]]}, for reference only.")
    if len(kept) < len(rows):
        notes.append(f"{len(rows) - len(kept)} further rows were not measured under this recipe.")
    return Block(dataset, recipe, place(dataset, recipe), kept, reference_only, " ".join(notes))


def _settings(rows: list[Row]) -> list[str]:
    """What a recipe that is not the paper's trains with, as a sentence; none where no run is stored."""
    settings: dict = next((run.config.recipe_settings for row in rows for run in row.runs), {})
    units = {"size": "px", "epochs": "epochs", "batch": "images per batch"}
    said = [f"{settings[name]} {unit}" for name, unit in units.items() if name in settings]
    return [f"Trained with {', '.join(said)}."] if said else []


def _of_own_data(rows: list[Row]) -> list[str]:
    """Name, citation and licence of a data set that has them on record."""
    data = next((run.config.data for row in rows for run in row.runs if run.config.data), None)
    if data is None:
        return []
    texts = {"Data set": data.label, "Cite": data.citation, "Licence": data.licence}
    return [f"{word}: {text.removesuffix('.')}." for word, text in texts.items() if text]


def _row(name: str, line: Line, recipe: str, evidence: Evidence) -> Row:
    group = (line.dataset, recipe, line.network)
    runs = evidence.runs_of(*group)
    failures = [f for f in evidence.failures if (f.cell.dataset, f.cell.recipe, f.cell.network) == group]
    shortfall = _shortfall(line, recipe)
    return Row(
        dataset=line.dataset,
        network=line.network,
        label=line.label,
        venue=line.venue,
        interpretation=line.network in INTERPRETATIONS,
        note=INTERPRETATIONS.get(line.network) or NOTES.get(line.network, ""),
        source=line.source,
        comparisons={
            metric: compare_metric(metric, line, runs, shortfall, evidence) for metric in LAYOUTS[name].metrics
        },
        counts={
            column.name: compare_count(column, line.published.get(column.name), line.network, evidence)
            for column in COUNTS
        },
        runs=runs,
        failures=failures,
        group=line.group,
    )


def _shortfall(line: Line, recipe: str) -> str:
    """Why numbers of this block may not be judged against the published ones, if so."""
    reasons = []
    if line.reference_only:
        reasons.append(f"another data set: the published number is of {DATASETS[REFERENCE_ONLY[line.dataset]]}")
    if recipe != RECIPE:
        reasons.append(f"another recipe: {recipe}")
    return "; ".join(reasons)
