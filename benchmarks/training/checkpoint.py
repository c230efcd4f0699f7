"""Pausing and going on: two files per replica, written atomically, that any machine can continue from.

A checkpoint holds weights, buffers, AdamW's moments and the best weights of one replica, with its progress and the
identity of its run. Nothing random is stored: all draws follow from seed and epoch. What is in a file, and how it is
known to be what was written, stands in checkpoint_file.py.

The newest checkpoint of a cell lies beside the one before it, so that a kill at any moment, or a damaged file, leaves
one to go on from.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch

from benchmarks.networks.identity import identity as network_identity
from benchmarks.training import checkpoint_file
from benchmarks.training.checkpoint_file import OVER, Contents, Identity
from benchmarks.training.checkpoint_state import fault, stacks
from benchmarks.training.replicas import Replicas
from results import files
from results.cell import Cell
from results.errors import Damaged, RequestError

CHECKPOINT, BEFORE = "checkpoint.safetensors", "checkpoint-before.safetensors"
"""The names of the newest checkpoint in the folder of a run, and of the one before it."""

Read = TypeVar("Read")


class Uneven(Exception):
    """Replicas that do not stand at the same place. `parts`: their numbers, those together that can go on together.

    Replicas whose checkpoint is refused come last, each by itself: alone it is refused with the reason.
    """

    def __init__(self, parts: list[tuple[int, ...]]) -> None:
        super().__init__(f"parts {parts}")
        self.parts = parts


# Where they lie


def identity(cell: Cell, fingerprint: str) -> Identity:
    """Of a cell on the data with this fingerprint."""
    ours = {name: str(value) for name, value in asdict(cell).items()}
    return {**ours, "identity": network_identity(cell.network), "fingerprint": fingerprint}


def path_of(cell: Cell, root: Path) -> Path:
    """Where the newest checkpoint of a cell lies, while it is not finished."""
    return cell.folder(root) / CHECKPOINT


def paths_of(cell: Cell, root: Path) -> list[Path]:
    """Where checkpoints of a cell may lie, the newest first."""
    return [path_of(cell, root), before(path_of(cell, root))]


def before(path: Path) -> Path:
    """Where the checkpoint before the newest one lies."""
    return path.with_stem(f"{path.stem}-before")


def exists(cell: Cell, root: Path) -> bool:
    """Whether there is something to go on from, or in its place."""
    return any(path.exists() for path in paths_of(cell, root))


def remove(cell: Cell, root: Path) -> None:
    """Remove the checkpoints of a cell that needs them no more."""
    for path in paths_of(cell, root):
        path.unlink(missing_ok=True)


# Writing and reading


def save(replicas: Replicas, paths: list[Path], identities: list[Identity]) -> None:
    """Write one file for each replica. All are complete on disk before the first one takes its final name.

    What lay there is kept as the checkpoint before it.
    """
    stacked = stacks(replicas)
    with files.replacing_all(paths, kept_as=[before(path) for path in paths]) as partials:
        for k, (partial, identity) in enumerate(zip(partials, identities, strict=True)):
            tensors = {name: tensor[k] for name, tensor in stacked.items()}
            checkpoint_file.write(partial, identity, replicas.progress[k], tensors)


def epochs_done(path: Path, identity: Identity) -> int:
    """Epochs in the newest checkpoint by its header, or in the one before it where that cannot be used; 0: there is
    none.

    Raises RequestError where both are damaged, or belong to another run.
    """
    found = _newest(path, lambda each: checkpoint_file.read_progress(each, identity))
    return found.read.epoch if found else 0


def restore(replicas: Replicas, paths: list[Path], identities: list[Identity]) -> list[str]:
    """Put what the newest checkpoints hold into fresh replicas; nothing where there are none.

    A damaged checkpoint is replaced by the one before it; what was damaged is returned, a sentence for each. Raises
    Uneven where the replicas do not stand at the same place, and RequestError for a single one that cannot go on.
    """
    found = _together(replicas, paths, identities)
    if not found:
        return []
    notes = []
    for each, path in zip(found, paths, strict=True):
        if each.refused:
            files.move(each.path, path)
            notes.append(f"{each.refused} Going on from {each.path.name}, epoch {each.read.progress.epoch}.")
    replicas.progress = [each.read.progress for each in found]
    loaded = [each.read.tensors for each in found]
    for name, parameter in replicas.trained.items():
        if f"exp_avg/{name}" in loaded[0]:  # parameters that get no gradient have no moments
            replicas.optimizer.state[parameter] = {
                "step": loaded[0][f"step/{name}"].to(replicas.device, copy=True),  # what was read lies in the file
                "exp_avg": torch.empty_like(parameter),
                "exp_avg_sq": torch.empty_like(parameter),
            }
    with torch.no_grad():
        for name, stack in stacks(replicas).items():
            if not name.startswith("step/"):
                stack.copy_(torch.stack([tensors[name] for tensors in loaded]))
    return notes


@dataclass(frozen=True)
class _Found(Generic[Read]):
    """What was read, from which file; `refused`: why not from the newest, and nothing where it was."""

    path: Path
    read: Read
    refused: str = ""


def _newest(path: Path, read: Callable[[Path], Read]) -> _Found[Read] | None:
    """What is read from the newest checkpoint, or from the one before it; None where there is neither."""
    refused: list[Damaged] = []
    for each in (path, before(path)):
        try:
            return _Found(each, read(each), "".join(f"{damage.path}: {damage.message}." for damage in refused))
        except FileNotFoundError:
            continue
        except Damaged as damage:
            refused.append(damage)
    if len(refused) == 2:
        message = f"{refused[0].message}; and {before(path).name}: {refused[1].message}"
        raise Damaged(path, message, "delete both to start this cell over")
    if refused:
        raise refused[0]
    return None


def _checked(replicas: Replicas, k: int, identity: Identity, path: Path) -> Contents:
    """What a file holds for this replica. Raises as `checkpoint_file.read`."""
    contents = checkpoint_file.read(path, identity)
    if wrong := fault(replicas, k, contents):
        raise Damaged(path, wrong, OVER)
    return contents


def _together(replicas: Replicas, paths: list[Path], identities: list[Identity]) -> list[_Found[Contents]]:
    """What each replica goes on from; empty where all start. Raises Uneven where they differ in epoch or steps."""
    found: list[_Found[Contents]] = []
    stages: dict[Any, list[int]] = {}
    refused: list[int] = []
    for k, (path, identity) in enumerate(zip(paths, identities, strict=True)):
        try:
            newest = _newest(path, partial(_checked, replicas, k, identity))
        except RequestError:
            if len(replicas) == 1:
                raise
            refused.append(k)
            continue
        stages.setdefault(None if newest is None else _stage(newest.read), []).append(k)
        found += [] if newest is None else [newest]
    if refused or len(stages) > 1:
        raise Uneven([tuple(part) for part in stages.values()] + [(k,) for k in refused])
    return found


def _stage(contents: Contents) -> tuple[int, tuple[tuple[str, float], ...]]:
    """Where a replica stands: its epoch, and the steps of each parameter."""
    steps = {name: tensor.item() for name, tensor in contents.tensors.items() if name.startswith("step/")}
    return contents.progress.epoch, tuple(sorted(steps.items()))
