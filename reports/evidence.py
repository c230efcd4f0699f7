"""Everything that a report is made of, read once: stored runs, published tables, counts, profiles, shared images.

Nothing here raises for a damaged file: what cannot be used becomes a `Problem` that names the path and the cure, and
the rest is rendered.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from results import complexity, leakage, profiles, surface
from results import external as external_scores
from results.cell import PREDICTIONS, PROBABILITIES, Cell
from results.errors import Damaged, Problem
from results.files import RERUN, own_or_packaged
from results.probabilities import Probabilities, counts_at
from results.published import TABLES, BeyondTable, Claim, Claims, Contradictions, Documented, Printed, PublishedTable
from results.runs import Failure, Run, load_runs, of_one_identity


@dataclass(frozen=True)
class Profile:
    """Latency, throughput and memory measured on one machine."""

    path: Path
    machine: profiles.Machine
    rows: tuple[profiles.Row, ...]


@dataclass(frozen=True)
class Leakage:
    """What the parts of the data sets share: the two tables of results/leakage.py, empty where there is none."""

    pairs: pd.DataFrame
    shared: pd.DataFrame


@dataclass(frozen=True)
class Evidence:
    """What is known. `complexity`: network -> counted figures, without those that a counter failed to give."""

    root: Path
    runs: list[Run]
    failures: list[Failure]
    published: dict[str, pd.DataFrame]
    beyond: list[Printed]
    complexity: dict[str, dict[str, int]]
    profiles: list[Profile]
    documented: list[Documented]
    claims: list[Claim]
    leakage: Leakage
    problems: list[Problem]
    external: list[external_scores.Scored] = field(default_factory=list)
    """Scores of stored weights on other data sets."""
    surfaces: dict[Cell, surface.Measured] = field(default_factory=dict)
    """Distances between the edges of masks and truth, of the runs where they were measured."""
    spreads: dict[Cell, np.ndarray] = field(default_factory=dict)
    """Pixels of each image by truth and bin of probability, (N, 2, BINS), of the runs that kept them."""

    @cached_property
    def _by_network(self) -> dict[tuple[str, str, str], list[Run]]:
        return by_network(self.runs)

    def runs_of(self, dataset: str, recipe: str, network: str) -> list[Run]:
        """The runs of one network, in the order of `runs`; none where nothing is stored."""
        return self._by_network.get((dataset, recipe, network), [])


def by_network(runs: Iterable[Run]) -> dict[tuple[str, str, str], list[Run]]:
    """(data set, recipe, network) -> its runs, both in the order of `runs`."""
    found: dict[tuple[str, str, str], list[Run]] = {}
    for run in runs:
        found.setdefault((run.cell.dataset, run.cell.recipe, run.cell.network), []).append(run)
    return found


def load_everything(root: Path) -> Evidence:
    """Read the results folder `root` and the published tables of this checkout."""
    stored = load_runs(root)
    problems = list(stored.problems)
    counts = _complexity(root, problems)
    runs, mixed = of_one_identity(stored.runs)
    problems += mixed
    alike = _scored_alike(runs, problems)
    elsewhere, damaged = external_scores.load(root, alike)
    problems += damaged
    surfaces, spreads = _beyond_counts(alike, problems)
    return Evidence(
        root=root,
        runs=alike,
        external=elsewhere,
        surfaces=surfaces,
        spreads=spreads,
        failures=stored.failures,
        published={name: _published(name, set(counts), problems) for name in TABLES},
        beyond=_beyond(problems),
        complexity=counts,
        profiles=_profiles(root, problems),
        documented=_documented(problems),
        claims=_claims(problems),
        leakage=_leakage(root, problems),
        problems=problems,
    )


def _scored_alike(runs: list[Run], problems: list[Problem]) -> list[Run]:
    """Drop runs that scored other images, or other masks, than most runs of their data set and recipe."""
    truths: dict[tuple[str, str], Counter] = {}
    for run in runs:
        truths.setdefault((run.cell.dataset, run.cell.recipe), Counter())[run.truth] += 1
    alike = []
    for run in runs:
        usual = truths[run.cell.dataset, run.cell.recipe].most_common(1)[0][0]
        if run.truth == usual:
            alike.append(run)
            continue
        message = f"it scored other images or masks than the other runs of {run.cell.dataset} / {run.cell.recipe}"
        problems.append(Problem(run.folder / "per_image.csv", message, "prepare the data again and rerun this cell"))
    return alike


def _beyond_counts(
    runs: list[Run], problems: list[Problem]
) -> tuple[dict[Cell, surface.Measured], dict[Cell, np.ndarray]]:
    """What runs have beside their counts, where they have it."""
    surfaces: dict[Cell, surface.Measured] = {}
    spreads: dict[Cell, np.ndarray] = {}
    for run in runs:
        try:
            if measured := surface.read(run.folder, (run.report.files or {}).get(PREDICTIONS)):
                surfaces[run.cell] = measured
            if (path := run.folder / PROBABILITIES).exists():
                spreads[run.cell] = _agreeing(Probabilities.read(path), run, path)
        except Damaged as damage:
            problems.append(damage.problem)
    return surfaces, spreads


def _agreeing(found: Probabilities, run: Run, path: Path) -> np.ndarray:
    """The pixels of the file. Raises Damaged where they do not give the run's counts."""
    same = list(found.rows["id"]) == list(run.per_image.index)
    if not same or not np.array_equal(counts_at(found.pixels, 0.5), run.counts):
        raise Damaged(path, "its pixels do not give the counts of per_image.csv", RERUN)
    return found.pixels


def _published(name: str, known: set[str], problems: list[Problem]) -> pd.DataFrame:
    """One table as typed; an empty one where the file is unusable."""
    try:
        table = PublishedTable.read(name)
    except Damaged as damage:
        problems.append(damage.problem)
        table = PublishedTable.empty(name)
    problems += table.problems
    for network in table.rows["model"].unique() if known else ():
        if network not in known:
            cure = "correct the name, or register the network and run python -m benchmarks count"
            problems.append(Problem(table.path, f"no network is called {network!r}", cure))
    return table.rows


def _complexity(root: Path, problems: list[Problem]) -> dict[str, dict[str, int]]:
    path = own_or_packaged(root, complexity.FILE)
    if not path.exists():
        return {}
    try:
        return complexity.ComplexityTable.read(path).by_network
    except Damaged as damage:
        problems.append(damage.problem)
        return {}


def _profiles(root: Path, problems: list[Problem]) -> list[Profile]:
    usable = []
    for path in profiles.found(root):
        try:
            profile = profiles.Profile.read(path)
            usable.append(Profile(path, profile.machine, profile.rows))
        except Damaged as damage:
            problems.append(damage.problem)
    return usable


def _documented(problems: list[Problem]) -> list[Documented]:
    try:
        return Contradictions.read(Contradictions.path()).documented
    except Damaged as damage:
        problems.append(damage.problem)
        return []


def _claims(problems: list[Problem]) -> list[Claim]:
    try:
        return Claims.read(Claims.path()).claims
    except Damaged as damage:
        problems.append(damage.problem)
        return []


def _beyond(problems: list[Problem]) -> list[Printed]:
    try:
        return BeyondTable.read(BeyondTable.path()).printed
    except Damaged as damage:
        problems.append(damage.problem)
        return []


def _leakage(root: Path, problems: list[Problem]) -> Leakage:
    tables = []
    for read, columns in ((leakage.pairs, leakage.PAIR_COLUMNS), (leakage.shared, leakage.SHARED_COLUMNS)):
        try:
            tables.append(read(root))
        except Damaged as damage:
            problems.append(damage.problem)
            tables.append(pd.DataFrame(columns=list(columns)))
    return Leakage(*tables)
