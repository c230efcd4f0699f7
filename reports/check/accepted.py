"""Accepted measured values: a later change that moves one fails, even where the paper's tolerance would let it pass.

The file is a CSV with one line for each data set, recipe, network and metric: the accepted mean over seeds, n, and the
tolerance, all as fractions. `accept` writes it; a person may widen a tolerance there, and later acceptances keep it.
"""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from reports.comparison.join import measure
from reports.evidence import by_network
from results.accepted import Accepted
from results.errors import RequestError
from results.metrics import METRICS
from results.runs import Run

TOLERANCE = 0.0001  # 0.01 point, the last digit of every published metric
ROUNDING = 1e-12  # of writing a number and reading it again
KEYS = list(Accepted.KEY)
COLUMNS = Accepted.names()


def accept(runs: Iterable[Run], path: Path) -> list[str]:
    """Record every stored mean as accepted; returns a sentence for each value that is new, moved or gone."""
    before = _read(path) if path.exists() else pd.DataFrame(columns=COLUMNS).set_index(KEYS)
    now = _stored(runs)
    known = before.index.intersection(now.index)
    now.loc[known, "tolerance"] = before.loc[known, "tolerance"]
    Accepted(now.reset_index()).write(path)
    changes = []
    for key in before.index.union(now.index):
        old, new = (float(table["mean"].get(key, float("nan"))) for table in (before, now))
        if not abs(new - old) <= ROUNDING:  # also where one of them is missing
            changes.append(f"{' / '.join(key)}: {_written(old)} -> {_written(new)}")
    return changes


def compare_with_baseline(runs: Iterable[Run], path: Path) -> list[tuple[str, str, bool]]:
    """(name, message, moved) for every accepted or stored value."""
    accepted, now = _read(path), _stored(runs)
    found = []
    for key, old in accepted.iterrows():
        name = " / ".join(key)
        if key not in now.index:
            found.append((name, "accepted, but no run is stored any more: restore the runs, or use --accept", True))
            continue
        new = now.loc[key]
        moved = abs(new["mean"] - old["mean"]) > old["tolerance"] or new["n"] != old["n"]
        message = (
            f"accepted {_written(old['mean'])} (n = {old['n']:.0f}), now {_written(new['mean'])} (n = {new['n']:.0f})"
        )
        found.append((name, message + ("; if this is meant, use --accept" if moved else ""), bool(moved)))
    for key in now.index.difference(accepted.index):
        found.append((" / ".join(key), "measured, not accepted yet: use --accept", False))
    return found


def _written(fraction: float) -> str:
    return "nothing" if fraction != fraction else f"{100 * fraction:.4f} %"


def _stored(runs: Iterable[Run]) -> pd.DataFrame:
    """Means of all stored runs in the file's form, sorted."""
    rows = []
    for group, members in sorted(by_network(runs).items()):
        for metric in METRICS:
            measured = measure(members, metric.name)
            if measured is not None:
                rows.append((*group, metric.name, measured.mean, measured.n, TOLERANCE))
    return pd.DataFrame(rows, columns=COLUMNS).set_index(KEYS)


def _read(path: Path) -> pd.DataFrame:
    """Raises RequestError where the file is missing or not a baseline."""
    if not path.exists():
        raise RequestError(f"{path} is missing; record a baseline with --accept first.")
    return Accepted.read(path).rows.set_index(KEYS)[["mean", "n", "tolerance"]].astype(float)
