"""Everything that a report is made of, read once: stored runs, published tables, counts, profiles, shared images.

Nothing here raises for a damaged file: what cannot be used becomes a `Problem` that names the path and the cure, and
the rest is rendered.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from results import files, leakage, published
from results.errors import RequestError
from results.metrics import METRICS
from results.runs import Failure, Problem, Run, load_runs, of_one_identity

TABLES = ("table1", "table2", "table3")
COUNT_FIELDS = ("parameters", "thop_parameters", "thop_macs", "fvcore_macs", "flops")
_KEYS = ("dataset", "model")


@dataclass(frozen=True)
class Documented:
    """A disagreement with a published number that a person has looked into and typed into contradictions.csv."""

    network: str
    column: str  # params_m, gflops, or the name of a metric
    dataset: str  # empty: on every data set
    reason: str


@dataclass(frozen=True)
class Profile:
    """Latency, throughput and memory measured on one machine; `rows` as in the file."""

    path: Path
    machine: dict
    rows: list[dict]


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
    complexity: dict[str, dict[str, int]]
    profiles: list[Profile]
    documented: list[Documented]
    leakage: Leakage
    problems: list[Problem]

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
    complexity = _complexity(root, problems)
    runs, mixed = of_one_identity(stored.runs)
    problems += mixed
    return Evidence(
        root=root,
        runs=_scored_alike(runs, problems),
        failures=stored.failures,
        published={name: _published(name, set(complexity), problems) for name in TABLES},
        complexity=complexity,
        profiles=_profiles(root, problems),
        documented=_documented(problems),
        leakage=_leakage(root, problems),
        problems=problems,
    )


def _scored_alike(runs: list[Run], problems: list[Problem]) -> list[Run]:
    """Drop runs that scored other images, or other masks, than most runs of their data set and recipe."""
    truths: dict[tuple[str, str], Counter] = {}
    for run in runs:
        truths.setdefault((run.cell.dataset, run.cell.recipe), Counter())[_truth(run)] += 1
    alike = []
    for run in runs:
        usual = truths[run.cell.dataset, run.cell.recipe].most_common(1)[0][0]
        if _truth(run) == usual:
            alike.append(run)
            continue
        message = f"it scored other images or masks than the other runs of {run.cell.dataset} / {run.cell.recipe}"
        problems.append(Problem(run.folder / "per_image.csv", message, "prepare the data again and rerun this cell"))
    return alike


def _truth(run: Run) -> int:
    """A fingerprint of the scored ids and of the lesion's size in each."""
    lesion = (run.per_image["tp"] + run.per_image["fn"]).sort_index()
    return hash((*lesion.index, *lesion))


def _published(name: str, known: set[str], problems: list[Problem]) -> pd.DataFrame:
    """One table as typed; an empty one where the file is unusable."""
    path = published.PUBLISHED / f"{name}.csv"
    try:
        table = published.published_table(name)
    except (RequestError, ValueError) as error:
        problems.append(Problem(path, f"this table cannot be read ({error})", "restore it from the repository"))
        return pd.DataFrame(columns=[*_KEYS, "label"])
    for column in table.columns.intersection(_numeric_columns()):
        numbers = pd.to_numeric(table[column], errors="coerce")
        for row in table[numbers.isna() & table[column].notna()].itertuples():
            message = f"{column} of {row.model} on {row.dataset} is {getattr(row, column)!r}, not a number"
            problems.append(Problem(path, message, "correct the cell"))
        table[column] = numbers
    for row in table[table.duplicated(list(_KEYS))].itertuples():
        problems.append(Problem(path, f"{row.model} on {row.dataset} stands twice", "remove one of the two lines"))
    table = table.drop_duplicates(list(_KEYS))
    for network in table["model"].unique() if known else ():
        if network not in known:
            cure = "correct the name, or register the network and run python -m benchmarks count"
            problems.append(Problem(path, f"no network is called {network!r}", cure))
    return table


def _numeric_columns() -> list[str]:
    metrics = [metric.name for metric in METRICS]
    return ["params_m", "gflops", *metrics, *(f"{name}_std" for name in metrics)]


def complexity_path(root: Path) -> Path:
    """<root>/complexity.csv, or this checkout's where there is none: counts belong to the code, not to the runs."""
    own = root / "complexity.csv"
    return own if own.exists() else files.HOME / "complexity.csv"


def _complexity(root: Path, problems: list[Problem]) -> dict[str, dict[str, int]]:
    path = complexity_path(root)
    try:
        table = pd.read_csv(path).drop_duplicates("network").set_index("network")
        counts = table[list(COUNT_FIELDS)].astype("Int64")  # empty where a counter failed
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, KeyError, pd.errors.ParserError) as error:
        problems.append(Problem(path, f"it cannot be read ({error})", "write it again: python -m benchmarks count"))
        return {}
    return {
        str(network): {name: int(row[name]) for name in COUNT_FIELDS if row[name] is not pd.NA}
        for network, row in counts.iterrows()
    }


def _profiles(root: Path, problems: list[Problem]) -> list[Profile]:
    profiles = []
    for path in sorted(root.glob("profiles/*.json")):
        try:
            content = files.read_json(path)
            if content.get("format") != 1:
                raise ValueError(f"it has format {content.get('format')!r}, this version reads format 1")
            profiles.append(Profile(path, dict(content["machine"]), [_profile_row(row) for row in content["rows"]]))
        except (RequestError, KeyError, TypeError, ValueError) as error:
            cure = "delete it and measure again: python -m benchmarks profile"
            problems.append(Problem(path, f"this profile cannot be used ({error!r})", cure))
    return profiles


def _profile_row(row: dict) -> dict:
    """Raises KeyError or ValueError where the row lacks a network, a device or a finite median."""
    for name in ("network", "device"):
        row[name]
    for name in ("latency_ms", "kernels_latency_ms", "throughput_ips"):
        if row.get(name) is not None and not np.isfinite(row[name]["median"]):
            raise ValueError(f"{name} of {row['network']} is not a number")
    return row


def _documented(problems: list[Problem]) -> list[Documented]:
    path = published.PUBLISHED / "contradictions.csv"
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)[["network", "column", "dataset", "reason"]]
        return [Documented(*row) for row in table.itertuples(index=False)]
    except (OSError, ValueError, KeyError, pd.errors.ParserError) as error:
        message = f"the documented contradictions cannot be read ({error})"
        problems.append(Problem(path, message, "restore it from the repository"))
        return []


def _leakage(root: Path, problems: list[Problem]) -> Leakage:
    tables = []
    for read, name, columns in (
        (leakage.pairs, leakage.PAIRS_FILE, leakage.PAIR_COLUMNS),
        (leakage.shared, leakage.SHARED_FILE, leakage.SHARED_COLUMNS),
    ):
        try:
            tables.append(read(root))
        except RequestError as error:
            path = leakage.path_of(root, name)
            message = str(error).removesuffix(f"; {leakage.CURE}.").replace(str(path), "it", 1)
            problems.append(Problem(path, message, leakage.CURE))
            tables.append(pd.DataFrame(columns=list(columns)))
    return Leakage(*tables)
