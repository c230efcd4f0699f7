"""Checkpoints of a network of 34 numbers, written by a real training, and what is done to them in tests."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from threading import Event

import torch
from safetensors import safe_open
from torch import Tensor

from benchmarks.training import checkpoint, checkpoint_file
from benchmarks.training.batches import ImageStore
from benchmarks.training.data import Data
from benchmarks.training.loop import train
from benchmarks.training.replicas import Replicas
from tests import tiny_network
from tests.tiny_network import RECIPE

CPU = torch.device("cpu")
EDITED = "now/1.weight"  # a parameter; 0 is the batch norm, 1 the convolution


@cache
def data() -> Data:
    images, masks = tiny_network.pictures(22)
    return Data(*(ImageStore(images[part], masks[part], CPU) for part in (slice(0, 18), slice(18, 22), slice(18, 22))))


def identities(*seeds: int) -> list[checkpoint.Identity]:
    return [{"network": "tiny", "seed": str(seed)} for seed in seeds]


def fresh(*seeds: int) -> Replicas:
    return Replicas("tiny", seeds, RECIPE, CPU)


def trained(paths: list[Path], *seeds: int, until: int, replicas: Replicas | None = None) -> Replicas:
    """Replicas that were saved to these paths after each epoch."""
    replicas = replicas or fresh(*seeds)
    whole, replicas.recipe = replicas.recipe, replicas.recipe.changed(epochs=until)
    train(replicas, data(), lambda each: checkpoint.save(each, paths, identities(*seeds)), Event())
    replicas.recipe = whole
    return replicas


def state_of(replicas: Replicas) -> tuple[list, dict[str, Tensor]]:
    """All that can be gone on with."""
    return [vars(each) for each in replicas.progress], checkpoint.stacks(replicas)


def same(one: tuple[list, dict[str, Tensor]], other: tuple[list, dict[str, Tensor]]) -> bool:
    return (
        one[0] == other[0]
        and set(one[1]) == set(other[1])
        and all(torch.equal(tensor, other[1][name]) for name, tensor in one[1].items())
    )


def contents(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Header texts and tensors."""
    with safe_open(path, "pt") as file:
        return file.metadata(), {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118


def rewritten(path: Path, texts: dict[str, str], tensors: dict[str, Tensor]) -> None:
    from safetensors.torch import save

    path.write_bytes(save(tensors, texts))


def edited(path: Path, edit: Callable[[dict, dict[str, Tensor]], None], *, checksum: str = "right") -> None:
    """Change progress and tensors of a file. checksum: "right", "stale", or "none": a file of format 1."""
    texts, tensors = contents(path)
    progress = json.loads(texts["progress"])
    edit(progress, tensors)
    texts["progress"] = json.dumps(progress)
    if checksum == "right":
        texts["sha256"] = checkpoint_file.checksum(texts, tensors)
    if checksum == "none":
        texts = {name: texts[name] for name in ("identity", "progress")}
    rewritten(path, texts, tensors)
