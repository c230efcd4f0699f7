"""Which images train, validate and test: pure functions of the ids, the same on every machine."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from results.errors import unknown

# Train, validation, test. The ISIC sizes are the paper's; the synthetic ones keep the quick suite quick.
COUNTS = {"isic2018": (1815, 259, 520), "isic2017": (1250, 150, 600), "synthetic": (64, 16, 32)}


@dataclass(frozen=True, eq=False)
class Split:
    """Positions in a prepared set, int64, read-only, in the order of the rule; disjoint, and together the set."""

    rule: str
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def by_hash(identifier: str) -> str:
    """Key of the order `paper`: hex SHA-256 of the id, in place of the authors' order, which cannot be recovered."""
    return hashlib.sha256(identifier.encode()).hexdigest()


def by_name(identifier: str) -> str:
    """Key of the order `sorted`, which many reproductions use; it puts harder images in the test split."""
    return identifier


RULES: dict[str, Callable[[str], str]] = {"paper": by_hash, "sorted": by_name}


def cut(ids: Sequence[str], counts: tuple[int, int, int], rule: str) -> Split:
    """Order the ids by the rule and cut train, validation and test from that order.

    Raises RequestError for an unknown rule and ValueError when the counts do not add up to the number of ids.
    """
    if rule not in RULES:
        raise unknown("split", rule, RULES, "choose one of {names}")
    if sum(counts) != len(ids):
        raise ValueError(f"split sizes {counts} add up to {sum(counts)}, but there are {len(ids)} ids")
    key = RULES[rule]
    order = np.array(sorted(range(len(ids)), key=lambda position: key(ids[position])), dtype=np.int64)
    order.setflags(write=False)
    train, validation, _ = counts
    return Split(rule, *np.split(order, [train, train + validation]))
