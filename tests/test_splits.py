"""Splits by name and by file: disjoint, whole groups, every id known; what is not so is refused by a sentence."""

import json
from collections.abc import Sequence

import numpy as np
import pytest

from benchmarks.datasets import split_files, splits
from benchmarks.datasets.splits import PARTS, Split, named
from benchmarks.datasets.store import PreparedSet
from results.errors import RequestError

IDS = tuple(f"i{number:02d}" for number in range(60))
GROUPS = tuple(f"g{number // 4}" for number in range(60))


def of(rule: str, groups: Sequence[str] | None = None, parts: Sequence[str] | None = None) -> Split:
    return named(rule, "clinic", IDS, groups, parts)


def part_of(split: Split) -> dict[str, str]:
    """id -> part."""
    return {IDS[at]: part for part in PARTS for at in getattr(split, part)}


@pytest.mark.parametrize("rule", ["paper", "sorted", "fold-1-of-5", "fold-5-of-5", "fold-2-of-3"])
@pytest.mark.parametrize("groups", [None, GROUPS])
def test_every_image_is_in_one_part_and_no_group_in_two(rule, groups):
    split = of(rule, groups)
    assert sorted(np.concatenate([getattr(split, part) for part in PARTS])) == list(range(60))
    if groups:
        assert not splits.torn(groups, {part: getattr(split, part) for part in PARTS})
        with_torn = {"train": [0], "validation": [1], "test": [4]}
        assert splits.torn(groups, with_torn) == ["g0"]


def test_shares_of_other_data_sets_are_seventy_ten_and_twenty():
    split = of("paper")
    assert [len(getattr(split, part)) for part in PARTS] == [42, 6, 12]
    keyed = sorted(IDS, key=splits.by_hash)
    assert [IDS[at] for at in split.train] == keyed[:42], "another order than the documented one"
    assert [IDS[at] for at in of("sorted").train] == list(IDS[:42])


def test_folds_test_each_image_once():
    tested = [IDS[at] for number in range(1, 6) for at in of(f"fold-{number}-of-5", GROUPS).test]
    assert sorted(tested) == list(IDS)


def test_seven_three_selects_on_what_it_scores():
    split = of("seven_three")
    assert (split.selected_on, len(split.train), len(split.test)) == ("test", 42, 18)
    assert np.array_equal(split.validation, split.test)
    assert not set(split.train) & set(split.test)


def test_official_parts_and_a_tenth_that_validates_where_nobody_said_which():
    whole = of("official", None, ["train"] * 40 + ["validation"] * 5 + ["test"] * 15)
    assert part_of(whole)["i44"] == "validation"
    two = of("official", None, ["train"] * 40 + ["test"] * 20)
    assert [len(getattr(two, part)) for part in PARTS] == [36, 4, 20]
    with pytest.raises(RequestError, match="Nobody cut clinic into official parts"):
        of("official")
    with pytest.raises(RequestError, match="prepare isic2018_official, and run with --dataset isic2018_official"):
        named("official", "isic2018", IDS, None, None)
    with pytest.raises(RequestError, match="tear 1 groups apart, g9 among them"):
        of("official", GROUPS, ["train"] * 38 + ["test"] * 22)


def test_the_fingerprint_tells_parts_and_ids_and_nothing_else():
    split = of("paper")
    again = splits.made("another name", IDS, {part: getattr(split, part)[::-1] for part in PARTS})
    assert again.fingerprint == split.fingerprint
    moved = {"train": split.train[1:], "validation": split.validation, "test": [*split.test, split.train[0]]}
    assert splits.made("paper", IDS, moved).fingerprint != split.fingerprint
    assert of("sorted").fingerprint != split.fingerprint


@pytest.mark.parametrize("rule", ["fold-0-of-5", "fold-6-of-5", "fold-1-of-1", "folds", ""])
def test_what_is_no_split_is_said(rule):
    assert splits.fault_of(rule)


def test_a_part_that_would_be_empty_is_refused():
    with pytest.raises(RequestError, match="of 3 images leaves its validation part empty"):
        named("paper", "clinic", IDS[:3], None, None)


# Files


def prepared(groups: Sequence[str] | None = None) -> PreparedSet:
    return PreparedSet("clinic", 8, IDS, *[None] * 5, groups=groups)  # type: ignore[arg-type]


NNUNET = [{"train": list(IDS[10:]), "val": list(IDS[:10])}, {"train": list(IDS[:50]), "val": list(IDS[50:])}]
WHOLE = {"train": list(IDS[:40]), "val": list(IDS[40:50]), "test": list(IDS[50:58])}
CSV = "id,part\n" + "".join(f"{each},{part}\n" for part, ids in WHOLE.items() for each in ids)


@pytest.mark.parametrize(("name", "content"), [("own.json", json.dumps(WHOLE)), ("own.csv", CSV)])
def test_a_file_is_frozen_and_found_again_by_its_name(name, content, tmp_path, monkeypatch):
    (tmp_path / name).write_text(content)
    frozen = split_files.read(str(tmp_path / name))
    assert splits.FILE.fullmatch(frozen)
    assert splits.fault_of(frozen) == ""
    split_files.freeze(frozen, tmp_path / "results")
    monkeypatch.setattr(split_files, "_read", {})  # as in another process
    mine = prepared()
    split = split_files.use(mine, frozen, tmp_path / "results")
    assert part_of(split) == {
        each: {"val": "validation"}.get(part, part) for part, ids in WHOLE.items() for each in ids
    }
    assert split_files.left_out(mine, split) == 2
    assert mine.split(frozen) is split
    with pytest.raises(RequestError, match=r"There is no split .*; give the file that it was made of"):
        split_files.use(mine, frozen, tmp_path / "elsewhere")
    (tmp_path / name).write_text(content.replace("i00", "i58"))
    assert split_files.read(str(tmp_path / name)) != frozen


def test_nnunets_file_is_read_as_it_is(tmp_path):
    path = tmp_path / "splits_final.json"
    path.write_text(json.dumps(NNUNET))
    split = split_files.use(prepared(), split_files.read(f"{path}#1"), tmp_path)
    assert (split.selected_on, part_of(split)["i55"]) == ("test", "test")
    with pytest.raises(
        RequestError, match=r"holds 2 splits; say which, from splits_final.json#0 to splits_final.json#1"
    ):
        split_files.read(str(path))
    with pytest.raises(RequestError, match="has no split #2"):
        split_files.read(f"{path}#2")


FAULTY = {
    "an id twice": ({"train": ["i00", "i01"], "test": ["i01"]}, None, "names 1 ids twice: i01"),
    "an unknown id": ({"train": ["i00", "x"], "test": ["i01"]}, None, "names 1 ids that clinic does not have: x"),
    "a group torn": ({"train": ["i00"], "test": ["i01"]}, GROUPS, "tears 1 groups of clinic apart.*: g0"),
    "no test part": ({"train": ["i00"], "val": ["i01"]}, None, "has no test part"),
    "another part": ({"train": ["i00"], "dev": ["i01"]}, None, "has the part 'dev'; the parts are train"),
    "no lists": ({"train": "i00"}, None, "holds no lists of ids by part"),
    "no JSON": ("{", None, "is no JSON"),
}


@pytest.mark.parametrize("fault", FAULTY)
def test_a_faulty_file_is_one_sentence(fault, tmp_path):
    content, groups, sentence = FAULTY[fault]
    path = tmp_path / "own.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(RequestError, match=sentence):
        split_files.use(prepared(groups), split_files.read(str(path)), tmp_path)
