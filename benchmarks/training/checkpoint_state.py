"""The state of replicas as tensors by name, and what is wrong with one that was read.

    now/NAME, best/NAME                          weights and buffers, present and of the best epoch
    ema/NAME                                     moving average of a weight, where the recipe wants it
    exp_avg/NAME, exp_avg_sq/NAME, step/NAME     AdamW's moments of a parameter, and its count of steps

A parameter that got no gradient has no moments. R is the number of replicas.
"""

from collections.abc import Iterable, Mapping
from math import ceil

import torch
from torch import Tensor

from benchmarks.training.checkpoint_file import Contents
from benchmarks.training.replicas import Replicas

MOMENTS = ("exp_avg", "exp_avg_sq")
PARTS = (*MOMENTS, "step")
STEP = torch.zeros((), dtype=torch.float32)  # of what kind every count of steps is
RTOL, ATOL = 1e-4, 1e-6  # more than initial weights differ between machines, less than an epoch changes them


def stacks(replicas: Replicas) -> dict[str, Tensor]:
    """Every tensor of the training state by a name of its own, each (R, ...)."""
    found = {f"now/{name}": tensor.detach() for name, tensor in replicas.tensors().items()}
    found |= {f"best/{name}": tensor for name, tensor in replicas.best.items()}
    found |= {f"ema/{name}": tensor for name, tensor in replicas.averages.items()}
    for name, parameter in replicas.trained.items():
        moments, shape = replicas.optimizer.state.get(parameter, {}), replicas.parameters[name].shape
        found |= {f"{moment}/{name}": moments[moment].view(shape) for moment in MOMENTS if moments}
        if moments:
            found[f"step/{name}"] = moments["step"].expand(len(replicas))
    return found


def fault(replicas: Replicas, k: int, contents: Contents) -> str:
    """Why fresh replica k cannot go on from this; empty where it can."""
    if contents.progress.epoch > replicas.recipe.epochs:
        return f"it stands at epoch {contents.progress.epoch}, and its recipe ends at {replicas.recipe.epochs}"
    initial = {name: stack[k].detach().cpu() for name, stack in replicas.tensors().items()}
    trained = [name for name in replicas.trained if any(f"{each}/{name}" in contents.tensors for each in PARTS)]
    wanted = {f"{part}/{name}": tensor for part in ("now", "best") for name, tensor in initial.items()}
    wanted |= {f"ema/{name}": initial[name] for name in replicas.averages}
    wanted |= {f"{moment}/{name}": initial[name] for moment in MOMENTS for name in trained}
    wanted |= {f"step/{name}": STEP for name in trained}
    return (
        _other_tensors(wanted, contents.tensors)
        or _without_moments(contents, initial, set(replicas.trained) - set(trained))
        or _steps(contents, trained, replicas.recipe.batch)
        or _not_finite(contents, list(replicas.parameters), trained)
    )


def _other_tensors(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str:
    """Names, shapes and types."""
    if lacking := sorted(set(wanted) - set(found)):
        return f"it lacks {_some(lacking)}"
    if unknown := sorted(set(found) - set(wanted)):
        return f"it holds {_some(unknown)}, which the network has not"
    for name, tensor in wanted.items():
        if (found[name].shape, found[name].dtype) != (tensor.shape, tensor.dtype):
            return f"its {name} is {_kind(found[name])}, and should be {_kind(tensor)}"
    return ""


def _without_moments(contents: Contents, initial: Mapping[str, Tensor], rest: set[str]) -> str:
    """A parameter that was trained has moments: AdamW must not start anew in the middle."""
    for name in sorted(rest):
        if not torch.allclose(contents.tensors[f"now/{name}"], initial[name], RTOL, ATOL):
            return f"it has no moments of {name}, which was trained"
    trained = any(name.startswith("step/") for name in contents.tensors)
    return "" if trained or not contents.progress.epoch else "it has no moments of any parameter"


def _steps(contents: Contents, trained: Iterable[str], batch: int) -> str:
    """A parameter was stepped at most once with each batch."""
    progress = contents.progress
    most = progress.epoch * ceil(progress.images / max(progress.epoch, 1) / batch)
    for name in trained:
        steps = contents.tensors[f"step/{name}"].item()
        if not (1 <= steps <= most and steps == int(steps)):
            return f"its step/{name} is {steps:g}, and {progress.epoch} epochs have {most} steps"
    return ""


def _not_finite(contents: Contents, parameters: Iterable[str], trained: Iterable[str]) -> str:
    """What finite losses do not leave behind.

    A buffer may hold anything, and a square that overflows is infinite and stops its parameter; both can be gone on
    with. A replica whose loss was not finite is marked so, and holds what it holds.
    """
    if contents.progress.failed_at is not None:
        return ""
    finite = [f"{part}/{name}" for part in ("now", "best") for name in parameters]
    finite += [name for name in contents.tensors if name.startswith("ema/")]
    finite += [f"exp_avg/{name}" for name in trained]
    for name in finite:
        if not torch.isfinite(contents.tensors[name]).all():
            return f"its {name} is not finite, and all its losses are"
    for name in trained:
        if not (contents.tensors[f"exp_avg_sq/{name}"] >= 0).all():
            return f"its exp_avg_sq/{name} is not a mean of squares"
    return ""


def _kind(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"


def _some(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more tensors"
