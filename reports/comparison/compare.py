"""The one join of published and measured numbers, and the verdict.

All metrics here are fractions in [0, 1]; percent and points exist only in print. Counts are in the paper's printed
units: parameters in millions, operations in GFLOPs (its counter's multiply-adds / 1e9).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from reports.comparison.expected import DATASETS, LAYOUTS, NOTES, ORIENTATION, READINGS, Line, lines, networks
from reports.evidence import Documented, Evidence, load_everything
from results.runs import Failure, Run
from results.spread import mean_and_sd

__all__ = ["DATASETS", "READINGS", "Evidence", "load_everything"]

RECIPE = "paper"  # the authors' released configuration: the only recipe whose numbers may be judged against the print
SEEDS = 5  # runs per network in the paper's protocol


class Verdict(StrEnum):
    """What can be said of one published number."""

    REPRODUCED = "reproduced"
    ABOVE = "above"
    BELOW = "below"
    CONTRADICTED = "contradicted"
    INCOMPLETE = "incomplete"
    NOT_MEASURED = "not measured"
    NO_CLAIM = "no claim"


TOLERANCES = {"miou": 0.021, "dsc": 0.014, "acc": 0.006, "spe": 0.004, "sen": 0.024}  # fractions: 0.021 = 2.1 points
TOLERANCE_REASON = (
    "The authors' test images cannot be recovered, and which 520 of the 2,594 images are scored moves every metric. "
    "The tolerance is two standard errors of the pooled metric over one such test split, by bootstrap over the images "
    "for a small U-Net of 81 % mIoU (1.06, 0.68, 0.31, 0.19 and 1.20 points for mIoU, DSC, Acc, Spe and Sen); the "
    "spread of five seeds adds little to it, and on ISIC2017 the errors are a little smaller. As the authors' split is "
    "a random draw too, a faithful reproduction still falls outside about one time in nine."
)
AT_PRINTED_DIGITS = (-0.0005, 0.000999)  # counts have three decimals: the print may be rounded or truncated
OUTSIDE = (Verdict.ABOVE, Verdict.BELOW, Verdict.CONTRADICTED)


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
    unreadable: bool = False  # the paper prints a number here that nobody could read
    documented: bool = False  # a person has explained this verdict in contradictions.csv


@dataclass(frozen=True)
class CountComparison:
    """One printed count beside ours, both in the printed unit; `convention` is what the print agrees with."""

    column: str
    printed: float | None
    counted: float | None
    convention: str
    verdict: Verdict
    reason: str
    documented: bool = False


@dataclass(frozen=True)
class Row:
    """One network in one block. `reading`: the architecture is our reading of the paper (no released code has it)."""

    dataset: str
    network: str
    label: str
    venue: str
    reading: bool
    comparisons: dict[str, Comparison]
    counts: dict[str, CountComparison]
    runs: list[Run]
    failures: list[Failure]
    group: str = ""  # heading of a part of the block, as Table 3 has
    note: str = ""  # what a reader must know of this architecture, as a sentence
    source: str = ""  # where the published numbers were read


@dataclass(frozen=True)
class Block:
    """Rows of one data set and one recipe: recipes are never mixed. `note`: what the block leaves out."""

    dataset: str
    recipe: str
    title: str
    rows: list[Row]
    orientation: bool = False  # published values belong to another data set and are shown for orientation only
    note: str = ""


@dataclass(frozen=True)
class PaperTable:
    """A table of the paper, filled."""

    name: str
    caption: str
    metrics: tuple[str, ...]
    blocks: list[Block]


def verdict(
    published: float | None,
    measured: float | None,
    allowed: tuple[float, float],
    *,
    shortfall: str = "",
    counted: bool = False,
) -> Verdict:
    """The rule, for metrics and for counts alike. The first line that fits decides:

    1. no number was published (or nobody can read it)               -> no claim
    2. there is no number of ours                                     -> not measured
    3. it was not made as the paper's was: fewer than five seeds,
       another recipe, another data set (`shortfall` says which)      -> incomplete
    4. measured - published lies in `allowed`, bounds included        -> reproduced
    5. otherwise: a count                                             -> contradicted
                  a metric                                            -> above or below

    For a metric `allowed` is (-tolerance, +tolerance) of TOLERANCES; for a count it is what rounding or truncation
    to the printed digits allows (`AT_PRINTED_DIGITS`). Differences of metrics are judged as printed, to 0.01 point.
    """
    if published is None:
        return Verdict.NO_CLAIM
    if measured is None:
        return Verdict.NOT_MEASURED
    if shortfall:
        return Verdict.INCOMPLETE
    difference = round(measured - published if counted else as_printed(measured - published), 9)
    if allowed[0] <= difference <= allowed[1]:
        return Verdict.REPRODUCED
    if counted:
        return Verdict.CONTRADICTED
    return Verdict.ABOVE if difference > 0 else Verdict.BELOW


def as_printed(fraction: float) -> float:
    """A fraction rounded to 0.01 %, the digits of every printed metric."""
    return round(100 * fraction, 2) / 100


def measure(runs: Iterable[Run], metric: str) -> Measured | None:
    """Mean and spread over seeds of the pooled metric; None without runs."""
    by_seed = {run.cell.seed: run.metrics[metric] for run in runs}
    if not by_seed:
        return None
    mean, sd = mean_and_sd(list(by_seed.values()))
    return Measured(mean, sd, len(by_seed), tuple(sorted(by_seed)))


def count(column: Count, printed: float | None, network: str, evidence: Evidence) -> CountComparison:
    """A printed count against complexity.csv, at the printed digits."""
    known = evidence.complexity.get(network, {})
    if column.field not in known:
        found = verdict(printed, None, AT_PRINTED_DIGITS, counted=True)
        return CountComparison(column.name, printed, None, "", found, NOT_COUNTED)
    counted = known[column.field] / column.scale
    found = verdict(printed, counted, AT_PRINTED_DIGITS, counted=True)
    seen_by_thop = known.get("thop_parameters")
    thop = verdict(printed, seen_by_thop and seen_by_thop / 1e6, AT_PRINTED_DIGITS, counted=True)
    mixed = column.name == "params_m" and thop is Verdict.REPRODUCED
    convention, reason = column.convention, f"Counted {known[column.field]:,}."
    if found is Verdict.REPRODUCED and printed != round(counted, 3):
        reason = f"Counted {known[column.field]:,}; the print is truncated, not rounded."
    if found is Verdict.CONTRADICTED:
        convention = "thop's parameter count" if mixed else "none"
        seen = f", and thop sees {seen_by_thop:,}" if mixed else ""
        reason = f"Printed {printed:.3f}, counted {known[column.field]:,}{seen}."
    note = _documented(evidence, network, column.name, "") if found is Verdict.CONTRADICTED else None
    reason = note.reason if note else reason
    return CountComparison(column.name, printed, counted, convention, found, reason, documented=note is not None)


def compare(metric: str, line: Line, runs: list[Run], shortfall: str, evidence: Evidence) -> Comparison:
    """One metric of one row: published, measured, and what follows."""
    measured, published, tolerance = measure(runs, metric), line.fraction(metric), TOLERANCES[metric]
    if measured is not None and measured.n < SEEDS:
        shortfall = "; ".join(filter(None, (shortfall, f"n = {measured.n} of {SEEDS} seeds")))
    value = None if measured is None else measured.mean
    found = verdict(published, value, (-tolerance, tolerance), shortfall=shortfall)
    difference = None if published is None or value is None or line.orientation else value - published
    note = _documented(evidence, line.network, metric, line.dataset) if found in OUTSIDE else None
    unreadable = metric in line.printed and published is None
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


def table(name: str, evidence: Evidence) -> PaperTable:
    """The table of that name ("table1", "table2", "table3"), filled: a block for each data set and recipe."""
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
    paper = recipe == RECIPE and dataset not in ORIENTATION
    kept = rows if paper else [row for row in rows if row.runs or row.failures]
    orientation = dataset in ORIENTATION
    notes = [] if paper else _settings(kept)
    if orientation:
        notes.append(f"Published numbers are those on {DATASETS[ORIENTATION[dataset]]}, for orientation only.")
    if len(kept) < len(rows):
        notes.append(f"{len(rows) - len(kept)} further rows were not measured under this recipe.")
    title = f"{DATASETS.get(dataset, dataset)}, recipe {recipe}"
    return Block(dataset, recipe, title, kept, orientation, " ".join(notes))


def _settings(rows: list[Row]) -> list[str]:
    """What a recipe that is not the paper's trains with, as a sentence; none where no run is stored."""
    settings: dict = next((run.config.recipe_settings for row in rows for run in row.runs), {})
    units = {"size": "px", "epochs": "epochs", "batch": "images a batch"}
    said = [f"{settings[name]} {unit}" for name, unit in units.items() if name in settings]
    return [f"Trained with {', '.join(said)}."] if said else []


def _row(name: str, line: Line, recipe: str, evidence: Evidence) -> Row:
    cell = (line.dataset, recipe, line.network)
    runs = [run for run in evidence.runs if (run.cell.dataset, run.cell.recipe, run.cell.network) == cell]
    failures = [f for f in evidence.failures if (f.cell.dataset, f.cell.recipe, f.cell.network) == cell]
    shortfall = _shortfall(line, recipe)
    return Row(
        dataset=line.dataset,
        network=line.network,
        label=line.label,
        venue=line.venue,
        reading=line.network in READINGS,
        note=READINGS.get(line.network) or NOTES.get(line.network, ""),
        source=line.source,
        comparisons={metric: compare(metric, line, runs, shortfall, evidence) for metric in LAYOUTS[name].metrics},
        counts={column.name: count(column, line.printed.get(column.name), line.network, evidence) for column in COUNTS},
        runs=runs,
        failures=failures,
        group=line.group,
    )


def _shortfall(line: Line, recipe: str) -> str:
    """Why numbers of this block may not be judged against the print, if so."""
    reasons = []
    if line.orientation:
        reasons.append(f"another data set: the print speaks of {DATASETS[ORIENTATION[line.dataset]]}")
    if recipe != RECIPE:
        reasons.append(f"another recipe: {recipe}")
    return "; ".join(reasons)


@dataclass(frozen=True)
class Tally:
    """How many published numbers got which verdict: metrics and counts apart, because they say different things."""

    metrics: dict[Verdict, int]
    counts: dict[Verdict, int]


def tally(tables: Iterable[PaperTable]) -> Tally:
    """How many published numbers, each counted once over all tables, got which verdict.

    A number that is not measured under the paper's recipe counts as incomplete where another recipe has measured it
    on the same data set. Counts (parameters, GFLOPs) are one number for all data sets.
    """
    metrics: dict[tuple[str, str, str], Verdict] = {}
    counts: dict[tuple[str, str], Verdict] = {}
    for block in (block for paper_table in tables for block in paper_table.blocks if not block.orientation):
        for row in block.rows:
            _note(metrics, {(row.dataset, row.network, name): c.verdict for name, c in row.comparisons.items()})
            _note(counts, {(row.network, name): c.verdict for name, c in row.counts.items()})
    of_metrics = (Verdict.REPRODUCED, Verdict.ABOVE, Verdict.BELOW, Verdict.INCOMPLETE, Verdict.NOT_MEASURED)
    of_counts = (Verdict.REPRODUCED, Verdict.CONTRADICTED, Verdict.NOT_MEASURED)
    return Tally(_times(metrics, of_metrics), _times(counts, of_counts))


def _note(best: dict, found: dict) -> None:
    """Keep the first verdict that says more than "not measured"."""
    for number, judged in found.items():
        if best.get(number, Verdict.NOT_MEASURED) is Verdict.NOT_MEASURED and judged is not Verdict.NO_CLAIM:
            best[number] = judged


def _times(found: dict, order: tuple[Verdict, ...]) -> dict[Verdict, int]:
    return {judged: list(found.values()).count(judged) for judged in order}
