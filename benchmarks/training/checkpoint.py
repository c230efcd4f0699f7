"""Pausing and going on: one file per replica, written atomically, that any machine can continue from.

A checkpoint is a safetensors file: weights, buffers, AdamW's moments and the best weights of one replica, with its
progress and the identity of its run in the header. Nothing random is stored: all draws follow from seed and epoch.
"""

import json
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from benchmarks.networks.identity import identity as network_identity
from benchmarks.training.progress import Progress
from benchmarks.training.replicas import Replicas
from results import files
from results.cell import Cell
from results.errors import RequestError

CHECKPOINT = "checkpoint.safetensors"
"""Its name in the folder of a run."""

Identity = dict[str, str]
"""What a checkpoint must agree on to be continued: data set, recipe, network, its identity, seed, data fingerprint."""


def identity(cell: Cell, fingerprint: str) -> Identity:
    """Of a cell on the data with this fingerprint."""
    ours = {name: str(value) for name, value in asdict(cell).items()}
    return {**ours, "identity": network_identity(cell.network), "fingerprint": fingerprint}


def path_of(cell: Cell, root: Path) -> Path:
    """Where the checkpoint of a cell lies, while it is not finished."""
    return cell.folder(root) / CHECKPOINT


def save(replicas: Replicas, paths: list[Path], identities: list[Identity]) -> None:
    """Write one file for each replica. All are complete on disk before the first one takes its final name."""
    with files.replacing_all(paths) as partials:
        for k, (partial, identity) in enumerate(zip(partials, identities, strict=True)):
            header = {"identity": json.dumps(identity), "progress": json.dumps(asdict(replicas.progress[k]))}
            tensors = {name: tensor[k].contiguous().cpu() for name, tensor in _stacks(replicas).items()}
            save_file(tensors, partial, metadata=header)


def epochs_done(path: Path, identity: Identity) -> int:
    """Epochs in the checkpoint, 0 where there is none. Raises RequestError where it belongs to another run."""
    return _progress(path, identity).epoch if path.exists() else 0


def restore(replicas: Replicas, paths: list[Path], identities: list[Identity]) -> None:
    """Put the state of the files into the replicas. Raises RequestError where a file is damaged or of another run."""
    replicas.progress = [_progress(path, identity) for path, identity in zip(paths, identities, strict=True)]
    loaded = [_tensors(path) for path in paths]
    for name, parameter in replicas.trained.items():
        if f"exp_avg/{name}" in loaded[0]:  # parameters that get no gradient have no moments
            replicas.optimizer.state[parameter] = {
                "step": loaded[0][f"step/{name}"].to(replicas.device),
                "exp_avg": torch.empty_like(parameter),
                "exp_avg_sq": torch.empty_like(parameter),
            }
    with torch.no_grad():
        for name, stack in _stacks(replicas).items():
            if not name.startswith("step/"):
                stack.copy_(torch.stack([tensors[name] for tensors in loaded]))


def _stacks(replicas: Replicas) -> dict[str, Tensor]:
    """Every tensor of the training state by a name of its own, each (R, ...)."""
    stacks = {f"now/{name}": tensor.detach() for name, tensor in replicas.tensors().items()}
    stacks |= {f"best/{name}": tensor for name, tensor in replicas.best.items()}
    for name, parameter in replicas.trained.items():
        moments, shape = replicas.optimizer.state.get(parameter, {}), replicas.parameters[name].shape
        stacks |= {f"{moment}/{name}": moments[moment].view(shape) for moment in ("exp_avg", "exp_avg_sq") if moments}
        if moments:
            stacks[f"step/{name}"] = moments["step"].expand(len(replicas))
    return stacks


def _progress(path: Path, identity: Identity) -> Progress:
    try:
        with safe_open(path, "pt") as file:
            header = file.metadata()
        stored, progress = json.loads(header["identity"]), Progress(**json.loads(header["progress"]))
    except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
        raise RequestError(f"{path} is not a checkpoint of this version ({error}); delete it to start over.") from None
    different = [f"{name} {stored.get(name)!r}" for name in identity if stored.get(name) != identity[name]]
    if different:
        raise RequestError(f"{path} belongs to a run with {', '.join(different)}; move its folder away.")
    return progress


def _tensors(path: Path) -> dict[str, Tensor]:
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
