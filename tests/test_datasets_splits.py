"""The committed ids and the two splits, against hashes taken here and against each other."""

import hashlib

import numpy as np
import pytest

from benchmarks.datasets import archives, splits
from results.errors import RequestError

SIZES = {"isic2018": (1815, 259, 520), "isic2017": (1250, 150, 600)}


@pytest.mark.parametrize(("name", "count"), [("isic2018", 2594), ("isic2017", 2000)])
def test_manifest(name: str, count: int) -> None:
    ids = archives.manifest(name)
    assert len(set(ids)) == len(ids) == count
    assert list(ids) == sorted(ids)
    assert ids[0] == "ISIC_0000000"


@pytest.mark.parametrize("rule", ["paper", "sorted"])
@pytest.mark.parametrize("name", SIZES)
def test_parts_are_disjoint_and_cover(name: str, rule: str) -> None:
    ids = archives.manifest(name)
    split = splits.cut(ids, splits.COUNTS[name], rule)
    parts = (split.train, split.validation, split.test)
    assert tuple(len(part) for part in parts) == SIZES[name]
    assert all(part.dtype == np.int64 for part in parts)
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(len(ids)))


@pytest.mark.parametrize("name", SIZES)
def test_paper_order_is_the_hash_of_the_id(name: str) -> None:
    ids = archives.manifest(name)
    split = splits.cut(ids, SIZES[name], "paper")
    hashes = [[hashlib.sha256(ids[row].encode()).hexdigest() for row in part] for part in
              (split.train, split.validation, split.test)]  # fmt: skip
    assert all(part == sorted(part) for part in hashes)
    assert hashes[0][-1] < hashes[1][0]
    assert hashes[1][-1] < hashes[2][0]


def test_paper_order_does_not_depend_on_the_order_given() -> None:
    ids = archives.manifest("isic2018")
    turned = ids[::-1]
    forward, backward = (splits.cut(each, SIZES["isic2018"], "paper") for each in (ids, turned))
    assert [ids[row] for row in forward.test] == [turned[row] for row in backward.test]


def test_sorted_order_is_the_name() -> None:
    ids = archives.manifest("isic2017")
    split = splits.cut(ids, SIZES["isic2017"], "sorted")
    np.testing.assert_array_equal(split.test, np.arange(1400, 2000))


def test_unknown_rule_and_wrong_sizes() -> None:
    with pytest.raises(RequestError, match="no split 'random'; choose one of paper, sorted"):
        splits.cut(("a", "b"), (1, 0, 1), "random")
    with pytest.raises(ValueError, match="add up to 3, but there are 2 ids"):
        splits.cut(("a", "b"), (1, 1, 1), "paper")
