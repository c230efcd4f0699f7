"""Checkpoints: what is refused and why, what the one before is for, and what a kill between two renames leaves."""

import json
import os
import re
import stat
from pathlib import Path
from threading import Event

import pytest
import torch
from safetensors.torch import load_file

from benchmarks.training import checkpoint, checkpoint_file
from benchmarks.training.loop import train
from results.cell import Cell
from results.errors import RequestError
from tests import tiny_network
from tests.checkpoint_files import (
    EDITED,
    contents,
    data,
    edited,
    fresh,
    identities,
    rewritten,
    same,
    state_of,
    trained,
)

INFINITE, NAN = float("inf"), float("nan")


@pytest.fixture(scope="module", autouse=True)
def tiny():
    with tiny_network.own_registry():
        yield tiny_network.registered()


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> dict[str, bytes]:
    """What a training of three epochs leaves."""
    folder = tmp_path_factory.mktemp("written")
    trained([folder / checkpoint.CHECKPOINT], 1, until=3)
    return {each.name: each.read_bytes() for each in folder.iterdir()}


@pytest.fixture
def path(written, tmp_path: Path) -> Path:
    """A checkpoint after three epochs, beside the one after two."""
    for name, content in written.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path / checkpoint.CHECKPOINT


@pytest.fixture
def alone(path: Path) -> Path:
    """A checkpoint after three epochs."""
    checkpoint.before(path).unlink()
    return path


def restored(path: Path):
    replicas = fresh(1)
    return replicas, checkpoint.restore(replicas, [path], identities(1))


def finished(path: Path) -> tuple:
    """What a training that goes on from a path ends with, without its times."""
    replicas, _ = restored(path)
    train(replicas, data(), lambda each: None, Event())
    replicas.progress[0].seconds = 0
    return state_of(replicas)


def refusal(path: Path) -> str:
    replicas = fresh(1)
    before = state_of(replicas)
    with pytest.raises(RequestError) as caught:
        checkpoint.restore(replicas, [path], identities(1))
    assert same(state_of(replicas), before), "something was put into the replicas"
    assert str(caught.value).startswith(f"{path}")
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return str(caught.value).removeprefix(f"{path}")


def test_two_are_kept_and_both_can_be_gone_on_from(path):
    assert (path.name, checkpoint.before(path).name) == (checkpoint.CHECKPOINT, checkpoint.BEFORE)
    assert sorted(each.name for each in path.parent.iterdir()) == [checkpoint.BEFORE, checkpoint.CHECKPOINT]
    assert checkpoint.epochs_done(path, identities(1)[0]) == 3
    whole = finished(path)
    path.unlink()
    assert checkpoint.epochs_done(path, identities(1)[0]) == 2
    assert same(finished(path), whole)
    checkpoint.before(path).unlink()
    assert checkpoint.epochs_done(path, identities(1)[0]) == 0
    assert same(finished(path), whole)


def test_the_library_reads_what_is_written(path):
    texts, tensors = contents(path)
    assert texts["format"] == "2"
    assert json.loads(texts["identity"]) == identities(1)[0]
    assert json.loads(texts["progress"])["epoch"] == 3
    assert int.from_bytes(path.read_bytes()[:8], "little") % 8 == 0
    state = checkpoint.stacks(restored(path)[0])
    assert set(load_file(path)) == set(state)
    assert all(torch.equal(tensor, state[name][0]) for name, tensor in tensors.items())


@pytest.mark.parametrize("dtype", checkpoint_file.TYPES)
def test_a_tensor_of_any_type_and_shape_is_written_as_the_library_does(dtype, tmp_path):
    tensors = {"b": torch.arange(6).view(2, 3).to(dtype), "a": torch.ones((), dtype=dtype), "none": torch.ones(0, 2)}
    replicas = fresh(1)
    checkpoint_file.write(tmp_path / "file", identities(1)[0], replicas.progress[0], tensors)
    read = checkpoint_file.read(tmp_path / "file", identities(1)[0])
    assert {name: tensor.dtype for name, tensor in read.tensors.items()} == {
        name: tensor.dtype for name, tensor in tensors.items()
    }
    assert all(torch.equal(read.tensors[name], tensor) for name, tensor in tensors.items())
    assert read.progress == replicas.progress[0]


@pytest.mark.parametrize("mask", [0o002, 0o077])
def test_the_mode_follows_the_umask(mask, tmp_path):
    before = os.umask(mask)
    try:
        trained([tmp_path / "a"], 1, until=2)
    finally:
        os.umask(before)
    assert {stat.S_IMODE(each.stat().st_mode) for each in tmp_path.iterdir()} == {0o666 & ~mask}
    assert len(list(tmp_path.iterdir())) == 2


FILES = {
    "empty": (lambda path: path.write_bytes(b""), ": it is empty; "),
    "text": (lambda path: path.write_text("epoch 3, all is well\n" * 9), ": it is not a checkpoint of this version ("),
    "cut": (lambda path: path.write_bytes(path.read_bytes()[:-1]), ": it is not a checkpoint of this version ("),
    "longer": (lambda path: path.write_bytes(path.read_bytes() + b"0"), ": it is not a checkpoint of this version ("),
    "no header": (
        lambda path: rewritten(path, {}, contents(path)[1]),
        ": it is not a checkpoint of this version (its header holds nothing); ",
    ),
    "another header": (
        lambda path: rewritten(path, {"format": "pt"}, contents(path)[1]),
        ": it is not a checkpoint of this version (its header holds ['format']); ",
    ),
    "no checksum": (
        lambda path: rewritten(path, {k: v for k, v in contents(path)[0].items() if k != "sha256"}, contents(path)[1]),
        ": it is not a checkpoint of this version (its header holds ['format', 'identity', 'progress']); ",
    ),
    "a flipped bit": (
        lambda path: path.write_bytes(path.read_bytes()[:-3] + bytes([path.read_bytes()[-3] ^ 1]) + b"\0\0"),
        ": it was damaged after it was written: its contents do not match its checksum; ",
    ),
    "a stale checksum": (
        lambda path: edited(path, lambda _, tensors: tensors[EDITED].neg_(), checksum="stale"),
        ": it was damaged after it was written: its contents do not match its checksum; ",
    ),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_damaged_file_is_named_or_the_one_before_goes_on(path, kind):
    damage, said = FILES[kind]
    good, earlier = path.read_bytes(), checkpoint.before(path).read_bytes()
    damage(path)
    damaged = path.read_bytes()
    replicas, (note,) = restored(path)
    assert note.startswith(f"{path}{said.removesuffix('; ')}")
    assert note.endswith(" Going on from checkpoint-before.safetensors, epoch 2.")
    assert path.read_bytes() == earlier, "the good one stands in the place of the damaged"
    assert not checkpoint.before(path).exists()
    path.write_bytes(good)
    whole = finished(path)
    train(replicas, data(), lambda each: None, Event())
    replicas.progress[0].seconds = 0
    assert same(state_of(replicas), whole)

    path.write_bytes(damaged)
    sentence = refusal(path)
    assert sentence.startswith(said)
    assert sentence.endswith("; delete it to start this cell over.")
    checkpoint.before(path).write_bytes(b"")
    sentence = refusal(path)
    assert sentence.startswith(said.removesuffix("; "))
    assert sentence.endswith("; and checkpoint-before.safetensors: it is empty; delete both to start this cell over.")
    path.unlink()
    with pytest.raises(RequestError, match=r"checkpoint-before.safetensors: it is empty; delete it"):
        restored(path)


def test_a_folder_in_its_place_is_named(alone):
    alone.unlink()
    alone.mkdir()
    assert refusal(alone) == " is a folder where a checkpoint should be; move it away."


def test_a_file_of_a_newer_version_is_not_replaced_by_the_one_before(path):
    texts, tensors = contents(path)
    rewritten(path, texts | {"format": "3", "more": ""}, tensors)
    said = " has format 3, which is newer than this version reads (2); go on with the version that wrote it, or "
    assert refusal(path) == f"{said}delete it to start this cell over."


def test_a_file_of_another_run_is_not_replaced_by_the_one_before(path):
    with pytest.raises(RequestError, match=r"checkpoint.safetensors belongs to a run with seed '1'; move its folder"):
        checkpoint.restore(fresh(2), [path], identities(2))
    assert checkpoint.before(path).exists()


def rename(old: str, new: str):
    return lambda progress, tensors: tensors.update({new: tensors.pop(old)})


def put(name: str, value: float):
    return lambda progress, tensors: tensors[name].view(-1)[:1].fill_(value)


def say(name: str, value):
    return lambda progress, tensors: progress.update({name: value})


def without_moments(progress, tensors) -> None:
    for each in ("exp_avg", "exp_avg_sq", "step"):
        del tensors[f"{each}/1.bias"]


def without_any_moments(progress, tensors) -> None:
    """Of a network whose weights lie where they began."""
    initial = fresh(1).tensors()
    for name in [name for name in tensors if name.startswith(("exp_avg", "step"))]:
        del tensors[name]
    tensors.update({f"now/{name}": tensor[0].detach() for name, tensor in initial.items()})


def longer(progress, tensors) -> None:
    progress["history"] += [progress["history"][-1] | {"epoch": epoch} for epoch in (4, 5)]
    progress.update(epoch=5, images=90)


STATES = {
    "a lacking tensor": (rename(EDITED, "exp/1.weight"), "it lacks now/1.weight"),
    "lacking tensors": (
        lambda _, tensors: [tensors.pop(name) for name in list(tensors)],
        "it lacks best/0.bias and 13",
    ),
    "an unknown tensor": (lambda _, t: t.update(more=torch.ones(1)), "it holds more, which the network has not"),
    "another network": (lambda _, t: t.update({EDITED: torch.ones(9)}), r"its now/1\.weight is float32 \(9,\), and"),
    "another type": (
        lambda _, t: t.update({EDITED: t[EDITED].double()}),
        r"its now/1\.weight is float64 \(1, 3, 3, 3\), and should be f",
    ),
    "a lacking moment": (lambda _, t: t.pop("exp_avg/1.bias"), r"it lacks exp_avg/1\.bias"),
    "a lacking count": (lambda _, t: t.pop("step/1.bias"), r"it lacks step/1\.bias"),
    "lacking moments": (without_moments, r"it has no moments of 1\.bias, which was trained"),
    "no moments": (without_any_moments, "it has no moments of any parameter"),
    "weights": (put(EDITED, NAN), r"its now/1\.weight is not finite, and all its losses are"),
    "best weights": (put("best/1.bias", INFINITE), r"its best/1\.bias is not finite"),
    "first moments": (put("exp_avg/1.bias", NAN), r"its exp_avg/1\.bias is not finite"),
    "second moments": (put("exp_avg_sq/1.bias", NAN), r"its exp_avg_sq/1\.bias is not a mean of squares"),
    "negative moments": (put("exp_avg_sq/1.bias", -1e-9), r"its exp_avg_sq/1\.bias is not a mean of squares"),
    "no steps": (put("step/1.bias", 0), r"its step/1\.bias is 0, and 3 epochs have 15 steps"),
    "too many steps": (put("step/1.bias", 16), r"its step/1\.bias is 16, and 3 epochs have 15 steps"),
    "half a step": (put("step/1.bias", 14.5), r"its step/1\.bias is 14\.5, and"),
    "steps that are none": (put("step/1.bias", NAN), r"its step/1\.bias is nan, and"),
    "epoch -1": (say("epoch", -1), "its epoch is -1, and should be greater than or equal to 0"),
    "epoch 1e9": (say("epoch", 10**9), "it stands at epoch 1000000000, and its history has 3 epochs"),
    "epoch 2": (say("epoch", 2), "it stands at epoch 2, and its history has 3 epochs"),
    "an epoch of text": (say("epoch", "3"), "its epoch is '3', and should be an? integer"),
    "beyond the recipe": (longer, "it stands at epoch 5, and its recipe ends at 4"),
    "no history": (say("history", None), "its history is None, and should be a list"),
    "a row of text": (say("history", ["a"] * 3), r"its history\.0 is 'a'"),
    "a best epoch": (say("best_epoch", 2), "its best_epoch is 2, and by its history it is 3"),
    "a best loss": (say("best_loss", 1e-3), r"its best_loss is 0\.001, and by its history it is 1\.\d+"),
    "a failure": (say("failed_at", 2), "its failed_at is 2, and by its history it is None"),
    "images": (say("images", 55), "it has seen 55 images in 3 epochs"),
    "no images": (say("images", 0), "it has seen 0 images in 3 epochs"),
    "no time": (say("seconds", 0.0), "its epochs took no time"),
    "endless time": (say("seconds", INFINITE), "its seconds is inf, and should be a finite number"),
    "another seed": (say("seed", 2), "its progress is that of seed 2, not of 1"),
    "an unknown field": (say("more", 1), "its more is 1, and should be"),
}


@pytest.mark.parametrize("checksum", ["right", "none"])
@pytest.mark.parametrize("kind", STATES)
def test_a_state_that_no_training_leaves_is_named(alone, kind, checksum):
    """Whether a program wrote it with a right checksum, or a version from before there were checksums."""
    edit, said = STATES[kind]
    edited(alone, edit, checksum=checksum)
    sentence = refusal(alone)
    assert re.match(f": {said}", sentence), sentence
    assert sentence.endswith("; delete it to start this cell over.")


def test_progress_that_is_no_object_is_named(alone):
    texts, tensors = contents(alone)
    for wrong in ("[]", "nothing", "[" * 100_000, "9" * 5000):
        rewritten(alone, {"identity": texts["identity"], "progress": wrong}, tensors)
        assert refusal(alone).startswith(": it is not a checkpoint of this version (")
    rewritten(alone, {"identity": "[]", "progress": texts["progress"]}, tensors)
    assert refusal(alone).startswith(": it is not a checkpoint of this version (")


def test_a_file_without_checksum_goes_on_to_the_same_numbers(alone):
    """Of format 1, in which a metric has its earlier name."""
    whole = finished(alone)

    def earlier(progress, tensors) -> None:
        progress["history"] = [
            {name.replace("_iou", "_miou"): value for name, value in row.items()} for row in progress["history"]
        ]

    edited(alone, earlier, checksum="none")
    assert set(contents(alone)[0]) == {"identity", "progress"}
    assert same(finished(alone), whole)


def test_what_overflowed_without_harm_and_what_failed_go_on(alone):
    """An infinite square stops its parameter, a buffer may hold anything, and a failed replica holds what it holds."""
    for edit in (put("exp_avg_sq/1.bias", INFINITE), put("now/0.running_var", INFINITE)):
        edited(alone, edit)
        assert restored(alone)[1] == []

    def failed(progress, tensors) -> None:
        progress["history"][2]["train_loss"] = NAN
        progress["failed_at"] = 3

    edited(alone, failed)
    edited(alone, put(EDITED, NAN))
    replicas, _ = restored(alone)
    assert replicas.progress[0].failed_at == 3
    train(replicas, data(), lambda each: pytest.fail("it was trained further"), Event())


def test_a_checkpoint_before_the_first_epoch_is_one(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    checkpoint.save(fresh(1), [path], identities(1))
    replicas, notes = restored(path)
    assert (replicas.epoch, notes) == (0, [])


# Groups


def test_a_kill_between_two_renames_leaves_all_replicas_to_go_on_from(tmp_path, monkeypatch):
    """At each rename of a save, of two replicas: what stands there then can be gone on from, and by no other number."""
    paths = [tmp_path / "a", tmp_path / "b"]
    replicas = trained(paths, 1, 2, until=2)
    states, replace = [], os.replace

    def at_each(old, new) -> None:
        states.append({each.name: each.read_bytes() for each in tmp_path.iterdir() if not each.name.startswith(".")})
        replace(old, new)

    monkeypatch.setattr(os, "replace", at_each)
    trained(paths, 1, 2, until=3, replicas=replicas)
    monkeypatch.undo()
    stood = []
    for state in states:
        for each in tmp_path.iterdir():
            each.unlink()
        for name, content in state.items():
            (tmp_path / name).write_bytes(content)
        stood.append(
            [checkpoint.epochs_done(each, identity) for each, identity in zip(paths, identities(1, 2), strict=True)]
        )
        together = fresh(1, 2)
        if len(set(stood[-1])) == 1:
            assert checkpoint.restore(together, paths, identities(1, 2)) == []
            continue
        with pytest.raises(checkpoint.Uneven) as uneven:
            checkpoint.restore(together, paths, identities(1, 2))
        assert uneven.value.parts == [(0,), (1,)]
    assert stood == [[2, 2], [2, 2], [3, 2], [3, 2]]


def test_replicas_that_stand_apart_are_told_apart_and_refused_ones_come_last(tmp_path):
    paths = [tmp_path / name for name in "abcde"]
    trained(paths[:1], 1, until=2)
    trained(paths[1:4], 2, 3, 4, until=1)
    paths[2].write_bytes(b"")
    with pytest.raises(checkpoint.Uneven) as uneven:
        checkpoint.restore(fresh(1, 2, 3, 4, 5), paths, identities(1, 2, 3, 4, 5))
    assert uneven.value.parts == [(0,), (1, 3), (4,), (2,)]


def test_a_cell_knows_its_checkpoints(tmp_path):
    cell = Cell("synthetic", "quick", "tiny", 1)
    newest, before = checkpoint.paths_of(cell, tmp_path)
    assert (newest, before.name) == (checkpoint.path_of(cell, tmp_path), checkpoint.BEFORE)
    newest.parent.mkdir(parents=True)
    for path in (newest, before):
        assert not checkpoint.exists(cell, tmp_path)
        path.touch()
        assert checkpoint.exists(cell, tmp_path)
        checkpoint.remove(cell, tmp_path)
        assert list(newest.parent.iterdir()) == []
