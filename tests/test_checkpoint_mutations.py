"""Checkpoints that were mutated at random: a sentence, the one before, or the same numbers; never others."""

import json
import random
from contextlib import suppress
from pathlib import Path

import pytest

from benchmarks.training import checkpoint
from results.errors import RequestError
from tests import tiny_network
from tests.checkpoint_files import edited, fresh, identities, same, state_of, trained

EXAMPLES = 250  # of each kind of file


def bits(draw: random.Random, content: bytearray) -> None:
    """One to eight flipped bits, half of them in the header."""
    for _ in range(draw.randint(1, 8)):
        end = 8 + int.from_bytes(content[:8], "little") if draw.random() < 0.5 else len(content)
        content[draw.randrange(min(end, len(content)))] ^= 1 << draw.randrange(8)


def cut(draw: random.Random, content: bytearray) -> None:
    del content[draw.randrange(len(content)) :]


def zeroed(draw: random.Random, content: bytearray) -> None:
    """A block that a file system lost."""
    start = draw.randrange(len(content))
    block = content[start : start + 512]
    content[start : start + 512] = bytes(len(block))


def moved(draw: random.Random, content: bytearray) -> None:
    """Two blocks in the place of each other."""
    one, other = draw.randrange(len(content) - 64), draw.randrange(len(content) - 64)
    content[one : one + 64], content[other : other + 64] = content[other : other + 64], content[one : one + 64]


def in_header(draw: random.Random, content: bytearray) -> None:
    """The header as JSON, of which one value becomes another, or goes away, and another length."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    name = draw.choice(list(header))
    part = draw.choice(list(header[name]))
    values = [None, -1, 0, "", "F16", "I32", [], [1], [9], [1, 3, 3, 3, 0], {}, 2**70, "1", "2", header[name][part]]
    draw.choice([
        lambda: header.pop(name),
        lambda: header[name].pop(part),
        lambda: header.update({draw.choice(["now/more", "__metadata__", *header]): header.pop(name)}),
        lambda: header[name].update({part: draw.choice(values)}),
        lambda: header[name].update({draw.choice(["more", "shape", "sha256"]): draw.choice(values)}),
    ])()  # fmt: skip
    text = json.dumps(header).encode()
    content[: 8 + length] = len(text).to_bytes(8, "little") + text


RAW = [bits, bits, cut, zeroed, moved, in_header, in_header]


def one_field(draw: random.Random, progress: dict, tensors: dict) -> None:
    """Another value in the progress, or in a row of its history."""
    where = draw.choice([progress, *progress["history"]])
    name = draw.choice(list(where))
    values = [None, -1, 0, 1, 2, 3, 10**9, 10**400, 0.5, float("nan"), float("inf"), "", "2", [], {}, [{}], True]
    where[name] = draw.choice(values)


def one_tensor(draw: random.Random, progress: dict, tensors: dict) -> None:
    """A tensor that goes away, has another name, shape, type or numbers."""
    name, other = draw.sample(list(tensors), 2)
    tensor = tensors.pop(name)
    draw.choice([
        lambda: None,
        lambda: tensors.update({draw.choice(["", "now/more", "step/", "exp_avg/0.running_mean"]): tensor}),
        lambda: tensors.update({other: tensor, name: tensors[other]}),
        lambda: tensors.update({name: tensor.reshape(-1, 1)}),
        lambda: tensors.update({name: tensor.half()}),
        lambda: tensors.update({name: (tensor.double() * float("nan")).to(tensor.dtype)}),
    ])()  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> list[bytes]:
    """A checkpoint after three epochs, and the one after two."""
    path = tmp_path_factory.mktemp("files") / checkpoint.CHECKPOINT
    with tiny_network.own_registry():
        tiny_network.registered()
        trained([path], 1, until=3)
    return [path.read_bytes(), checkpoint.before(path).read_bytes()]


@pytest.fixture(autouse=True)
def tiny():
    with tiny_network.own_registry():
        yield tiny_network.registered()


def outcome(folder: Path, newest: bytes | None, before: bytes | None) -> tuple | str:
    """The state that is gone on from, or the sentence."""
    path, replicas = folder / checkpoint.CHECKPOINT, fresh(1)
    for each, content in ((path, newest), (checkpoint.before(path), before)):
        each.unlink(missing_ok=True)
        if content is not None:
            each.write_bytes(content)
    with suppress(RequestError):
        checkpoint.epochs_done(path, identities(1)[0])
    try:
        checkpoint.restore(replicas, [path], identities(1))
    except RequestError as refused:
        return str(refused)
    return state_of(replicas)


@pytest.mark.parametrize("seed", range(2))
def test_a_mutated_file_gives_a_sentence_or_the_numbers_that_were_saved(files, tmp_path, seed):
    draw, (newest, before) = random.Random(seed), files
    good, earlier, said = outcome(tmp_path, newest, None), outcome(tmp_path, before, None), 0
    for _ in range(EXAMPLES):
        content = bytearray(newest)
        draw.choice(RAW)(draw, content)
        with_before = draw.random() < 0.5
        found = outcome(tmp_path, bytes(content), before if with_before else None)
        if isinstance(found, str):
            said += 1
            assert found.startswith(str(tmp_path))
            assert not with_before or "belongs to a run" in found or "newer than" in found, found
        else:
            assert same(found, good) or (with_before and same(found, earlier))
    assert EXAMPLES / 4 < said < EXAMPLES


@pytest.mark.parametrize("edit", [one_field, one_tensor])
@pytest.mark.parametrize("checksum", ["right", "none"])
def test_a_file_that_a_program_changed_gives_a_sentence_or_can_be_trained_on(files, tmp_path, edit, checksum):
    """With the checksum of the change, or without any: nothing tells which number it was, but none is a traceback."""
    draw, said = random.Random(edit.__name__), 0
    for _ in range(EXAMPLES // 2):
        path = tmp_path / "edited"
        path.write_bytes(files[0])
        edited(path, lambda progress, tensors: edit(draw, progress, tensors), checksum=checksum)
        found = outcome(tmp_path, path.read_bytes(), None)
        said += isinstance(found, str)
    assert said > EXAMPLES / 4
