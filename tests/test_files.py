"""Writing files: as a whole or not at all, with the mode of every other file."""

import os
import stat
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from results import files


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("mask", [0o022, 0o027, 0o002])
def test_weights_have_the_mode_of_other_files(tmp_path: Path, mask: int) -> None:
    """safetensors writes files that nobody else may read."""
    before = os.umask(mask)
    try:
        (tmp_path / "usual").touch()
        with files.replacing(tmp_path / "weights.safetensors") as partial:
            save_file({"weight": torch.zeros(2)}, partial)
        files.write_text(tmp_path / "report.json", "{}")
    finally:
        os.umask(before)
    usual = mode(tmp_path / "usual")
    assert usual == 0o666 & ~mask
    assert mode(tmp_path / "weights.safetensors") == mode(tmp_path / "report.json") == usual


def test_several_files_are_whole_before_one_takes_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths, synced, seen = [tmp_path / "a", tmp_path / "deep" / "b"], [], []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda number: (synced.append(number), sync(number)))
    monkeypatch.setattr(os, "replace", lambda old, new: (seen.append(len(synced)), replace(old, new)))
    with files.replacing_all(paths) as partials:
        for partial in partials:
            partial.write_text("new")
        assert [path.exists() for path in paths] == [False, False]
    assert seen == [2, 2]
    assert [path.read_text() for path in paths] == ["new", "new"]
    assert files.partials(tmp_path) == []


def test_what_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    files.write_text(path, "old")

    def interrupted() -> None:
        with files.replacing(path) as partial:
            partial.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_leaves_is_found_and_is_no_result(tmp_path: Path) -> None:
    kept = files.replacing(tmp_path / "profiles" / "box.json")
    with kept as partial, files.replacing(tmp_path / "profiles" / "box.json") as another:
        assert partial != another
        assert files.partials(tmp_path) == sorted([partial, another])
        assert list(tmp_path.glob("profiles/*.json")) == []


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "it is not JSON"),
        (b"\xff{}", "it is not JSON"),
        (b"[1]", "it is not a JSON object"),
        (b"[" * 100_000, "it is not JSON"),
        (b'{"a": ' + b"[" * 30 + b"]" * 30 + b"}", "its a is nested more than 20 levels deep"),
        (b'{"a": {"b": [1, 1e999]}}', r"its a\.b\.1 is inf, not a finite number"),
        (b'{"a": ' + b"9" * 5000 + b"}", "it is not JSON"),
        (b'{"\\ud800": 1}', "holds a character that does not exist"),
    ],
)
def test_json_that_cannot_be_used_is_named(content: bytes, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(files.Damaged, match=rf"config\.json: .*{sentence}.*; mend it\."):
        files.read_json(path, "mend it")


def test_a_folder_in_the_place_of_a_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(files.Damaged, match="it cannot be read"):
        files.read_json(tmp_path)
