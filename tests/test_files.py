"""Writing files: as a whole or not at all, with the mode of every other file."""

import errno
import os
import pickle
import stat
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from results import files, seal
from results.errors import Unwritable
from results.schema import PerImage


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
    with pytest.raises(files.Damaged, match="it is no file"):
        files.read_json(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(files.Damaged, match="it is no file"):
        files.read_json(tmp_path / "pipe")
    with pytest.raises(files.Damaged, match="it is no file"):
        PerImage.read(tmp_path / "pipe")
    with pytest.raises(OSError, match="it is no file"):
        seal.of_file(tmp_path / "pipe")


def spent(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def by_safetensors(*_: object, **__: object) -> None:
    raise SafetensorError("Error while serializing: I/O error: Input/output error (os error 5)")


def without_a_number(*_: object, **__: object) -> None:
    raise OSError("encoder error -2 when writing image file")  # Pillow's


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (spent, "(No space left on device); make room there, then give the same command again."),
        (by_safetensors, "(Input/output error); the device reports an error: look after it, or name another place, "),
        (without_a_number, "(encoder error -2 when writing image file); mend this place, or name another one, then "),
    ],
)
def test_what_the_system_refuses_is_one_sentence_with_path_and_cure(fault, said: str, tmp_path: Path) -> None:
    path = tmp_path / "new" / "deep" / "weights.safetensors"

    def write() -> None:
        with files.replacing(path) as partial:
            partial.write_bytes(b"half")
            fault()

    with pytest.raises(Unwritable) as caught:
        write()
    assert str(caught.value).startswith(f"{path} cannot be written {said}")
    assert pickle.loads(pickle.dumps(caught.value)).args == caught.value.args
    assert list(tmp_path.iterdir()) == [], "something half-written was left"


def test_another_fault_stays_what_it_is(tmp_path: Path) -> None:
    def write() -> None:
        with files.replacing(tmp_path / "new" / "a"):
            raise ValueError("a fault of ours")

    with pytest.raises(ValueError, match="a fault of ours"):
        write()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("file/report.json", "file cannot be written (File exists); a file or a dead link lies where a folder is"),
        ("file/new/report.json", "file/new cannot be written (Not a directory); a file lies where a folder"),
        ("folder", "folder cannot be written (Is a directory); a folder lies where a file is needed: "),
        ("n" * 250, f"{'n' * 250} cannot be written (File name too long); name a shorter one, "),
        (f"{'n' * 300}/a", f"{'n' * 300} cannot be written (File name too long); name a shorter one, "),
        ("loop/a/b", "loop cannot be written (File exists); a file or a dead link lies where a folder is needed: "),
    ],
    ids=lambda text: text[:30],
)
def test_a_place_that_cannot_be_is_one_sentence(name: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(Unwritable) as caught:
        files.write_text(tmp_path / name, "text")
    assert str(caught.value).startswith(f"{tmp_path}/{said}")
    assert sorted(tmp_path.rglob("*")) == before


def test_none_of_several_is_written_where_one_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    with pytest.raises(Unwritable, match="Is a directory"), files.replacing_all([tmp_path / "a", tmp_path / "b"]):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_what_killed_writers_left_goes_after_an_hour(tmp_path: Path) -> None:
    old, fresh, other = (tmp_path / f".{name}.partial" for name in ("a[1].json.0a", "a[1].json.0b", "other.json.0c"))
    for path in (old, fresh, other):
        path.touch()
    for path in (old, other):
        os.utime(path, (0, 0))
    files.write_json(tmp_path / "a[1].json", {})
    assert sorted(tmp_path.iterdir()) == sorted([tmp_path / "a[1].json", fresh, other])
