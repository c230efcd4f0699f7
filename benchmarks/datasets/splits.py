"""Which images train, validate and test: pure functions of ids, groups and published parts, the same on every machine.

    paper, sorted   the ids in the order of their hash or name, cut at the paper's counts; of other data sets, 70 %
                    train, 10 % validation, 20 % test
    official        as the publisher cut the set; where it has no validation part, a tenth of the training part
                    validates
    seven_three     70 % train, 30 % select the epoch and are scored, as the EGE-UNet family reports
    fold-K-of-N     the K-th of N equal parts tests, a tenth of the others validates
    STEM-HEX        a file of the user's own, see split_files.py

Groups, such as the images of one patient, are never torn apart: they are ordered by the hash or name of the group, and
each goes where its middle image falls.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from results.errors import RequestError, unknown

PARTS = ("train", "validation", "test")
# Train, validation, test. The ISIC sizes are the paper's; the synthetic ones keep the quick suite quick.
COUNTS = {"isic2018": (1815, 259, 520), "isic2017": (1250, 150, 600), "synthetic": (64, 16, 32)}
SHARES = (0.7, 0.1, 0.2)  # of other data sets
VALIDATES = 0.1  # of the images that do not test, where nobody says which validate
FOLD = re.compile(r"fold-([1-9]\d{0,3})-of-([1-9]\d{0,3})", re.ASCII)
FILE = re.compile(r"[\w.-]{1,100}-[0-9a-f]{8}", re.ASCII)
NAMED = {
    "paper": "by the hash of the id, cut as the paper cuts; 70, 10 and 20 % of other data sets",
    "sorted": "by the id, cut as the paper cuts; 70, 10 and 20 % of other data sets",
    "official": "as the publisher cut the set",
    "seven_three": "70 % train; 30 % select the epoch and are scored, as the EGE-UNet family reports",
}
TAKEN = f"{', '.join(NAMED)}, fold-K-of-N (as fold-1-of-5), or a CSV or JSON file of ids per part"


@dataclass(frozen=True, eq=False)
class Split:
    """Positions in a prepared set, int64, read-only; disjoint, but where the test part itself selects the epoch."""

    rule: str
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    selected_on: str = "validation"
    """The part whose loss chooses the epoch: the test part where it takes the place of the validation part."""
    fingerprint: str = ""
    """Hex SHA-256 of a line "part, tab, id" for each image, parts in the order of PARTS, ids ascending."""


def by_hash(identifier: str) -> str:
    """Key of the order `paper`: hex SHA-256 of the id, in place of the authors' order, which cannot be recovered."""
    return hashlib.sha256(identifier.encode()).hexdigest()


def by_name(identifier: str) -> str:
    """Key of the order `sorted`, which many reproductions use; it puts harder images in the test split."""
    return identifier


RULES: dict[str, Callable[[str], str]] = {"paper": by_hash, "sorted": by_name}


def fault_of(name: str) -> str:
    """What must be given in place of what can name no split; empty where it can.

    Whether there is a file of that name is found out later.
    """
    fold = FOLD.fullmatch(name)
    if fold and not (int(fold[2]) >= 2 and int(fold[1]) <= int(fold[2])):
        return "a K from 1 to N, of N folds, N at least 2"
    return "" if fold or name in NAMED or FILE.fullmatch(name) else TAKEN


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
    train, validation, _ = counts
    return made(rule, ids, dict(zip(PARTS, np.split(order, [train, train + validation]), strict=True)))


def named(
    rule: str, dataset: str, ids: Sequence[str], groups: Sequence[str] | None, parts: Sequence[str] | None
) -> Split:
    """The split of a data set under a rule of this file.

    groups, parts: as in `PreparedSet`. Raises RequestError for a rule that there is not, or that the set does not
    allow.
    """
    if rule == "official":
        return _official(dataset, ids, groups, parts)
    if parts is not None and rule in RULES:
        cut_apart = f"{dataset} was cut into parts by its publisher"
        raise RequestError(f"{cut_apart}; give --split official, or fold-K-of-N to leave that aside.")
    if rule in RULES:
        if dataset in COUNTS:
            return cut(ids, COUNTS[dataset], rule)
        return whole(made(rule, ids, _shared_out(_ordered(ids, groups, RULES[rule]), SHARES)))
    if rule == "seven_three":
        found = _shared_out(_ordered(ids, groups, by_hash), (0.7, 0, 0.3))
        return whole(made(rule, ids, found | {"validation": found["test"]}, selected_on="test"))
    if fold := FOLD.fullmatch(rule):
        return whole(made(rule, ids, _fold(_ordered(ids, groups, by_hash), int(fold[1]), int(fold[2]))))
    raise unknown("split", rule, NAMED, "choose one of {names}, fold-K-of-N, or a file of ids per part")


def made(
    rule: str,
    ids: Sequence[str],
    parts: Mapping[str, Sequence[int] | np.ndarray],
    *,
    selected_on: str = "validation",
) -> Split:
    """Of positions for each part."""
    arrays = {part: np.asarray(parts[part], dtype=np.int64) for part in PARTS}
    for positions in arrays.values():
        positions.setflags(write=False)
    lines = (f"{part}\t{each}\n" for part in PARTS for each in sorted(ids[at] for at in arrays[part]))
    fingerprint = hashlib.sha256("".join(lines).encode()).hexdigest()
    return Split(rule, arrays["train"], arrays["validation"], arrays["test"], selected_on, fingerprint)


def whole(split: Split) -> Split:
    """The split itself. Raises RequestError where one of its parts is empty."""
    if empty := [part for part in PARTS if not len(getattr(split, part))]:
        count = sum(len(getattr(split, part)) for part in PARTS)
        raise RequestError(
            f"The split {split.rule} of {count} images leaves its {empty[0]} part empty; take more images, or another "
            "--split."
        )
    return split


def torn(groups: Sequence[str] | None, parts: Mapping[str, Sequence[int] | np.ndarray]) -> list[str]:
    """The groups of which images stand in several parts."""
    if groups is None:
        return []
    seen = {(groups[at], part) for part, positions in parts.items() for at in positions}
    return sorted(group for group, count in Counter(group for group, _ in seen).items() if count > 1)


def _ordered(ids: Sequence[str], groups: Sequence[str] | None, key: Callable[[str], str]) -> list[list[int]]:
    """Positions of each group, ascending, the groups in the order of the key."""
    members: dict[str, list[int]] = {}
    for position, group in enumerate(groups or ids):
        members.setdefault(group, []).append(position)
    return [members[group] for group in sorted(members, key=key)]


def _shared_out(groups: list[list[int]], shares: tuple[float, float, float]) -> dict[str, list[int]]:
    """Whole groups, one after another: each goes to the part where its middle falls."""
    ends = np.cumsum(shares) * sum(map(len, groups))
    found: dict[str, list[int]] = {part: [] for part in PARTS}
    seen = 0
    for group in groups:
        middle, seen = seen + len(group) / 2, seen + len(group)
        part = next((part for part, end in zip(PARTS, ends, strict=True) if middle < end), PARTS[-1])
        found[part] += group
    return found


def _fold(groups: list[list[int]], k: int, n: int) -> dict[str, list[int]]:
    """The k-th of n equal parts tests; of what follows it, in a circle, the first tenth validates."""
    total, seen = sum(map(len, groups)), 0
    before: list[list[int]] = []
    test: list[list[int]] = []
    after: list[list[int]] = []
    for group in groups:
        fold, seen = int((seen + len(group) / 2) / total * n) + 1, seen + len(group)
        (before if fold < k else test if fold == k else after).append(group)
    rest = after + before
    parts = _shared_out(rest, (0, VALIDATES, 1 - VALIDATES))
    return {"train": parts["test"], "validation": parts["validation"], "test": [at for group in test for at in group]}


def _official(dataset: str, ids: Sequence[str], groups: Sequence[str] | None, parts: Sequence[str] | None) -> Split:
    if parts is None and dataset in ("isic2018", "isic2017"):
        raise RequestError(
            f"{dataset} is the official training part alone; prepare {dataset}_official, and run with --dataset "
            f"{dataset}_official."
        )
    if parts is None:
        raise RequestError(f"Nobody cut {dataset} into official parts; give another --split.")
    found = {part: [at for at, each in enumerate(parts) if each == part] for part in PARTS}
    if not found["validation"]:
        training = found["train"]
        mine = _ordered([ids[at] for at in training], [groups[at] for at in training] if groups else None, by_hash)
        shared = _shared_out(mine, (1 - VALIDATES, VALIDATES, 0))
        found |= {part: [training[at] for at in shared[part]] for part in ("train", "validation")}
    if apart := torn(groups, found):
        raise RequestError(f"The official parts of {dataset} tear {len(apart)} groups apart, {apart[0]} among them.")
    return whole(made("official", ids, found))
