"""Reads the training vectors in tests/reference/training (rules: the README there); repeats them with our trainer."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.networks import registry
from benchmarks.objectives import losses
from benchmarks.protocol.recipe import RECIPES, Recipe
from benchmarks.training.engine import TORCH, Engine
from benchmarks.training.replicas import Replicas
from tests.reference_vectors import fill

FOLDER = Path(__file__).parent / "reference" / "training"
COMMON_LOSS = {"unext_s": ["bce_dice"]}
"""The runs of a network that the suite trains by its own common loss; of the others, all runs in the file."""


def available() -> list[tuple[str, str]]:
    """Pairs (network, run), where a run is "plain" or the name of a variant."""
    names = sorted(path.stem.removeprefix("training_") for path in FOLDER.glob("*.json"))
    return [(name, run) for name in names for run in COMMON_LOSS.get(name, ["plain", *load(name)["variants"]])]


def load(network: str) -> dict:
    return json.loads((FOLDER / f"training_{network}.json").read_text())


@dataclass(frozen=True)
class Vector:
    """One run of one network: what the file says of the run, and of the network."""

    network: str
    file: dict
    recorded: dict

    @classmethod
    def of(cls, network: str, run: str) -> "Vector":
        file = load(network)
        return cls(network, file, file if run == "plain" else file["variants"][run])

    @property
    def recipe(self) -> Recipe:
        """The suite's recipe on images of this size and number."""
        return RECIPES["paper"].changed(size=self.file["size"], batch=self.file["batch"])

    def official_state(self) -> dict[str, Tensor]:
        """The authors' state dict before the first step, in float64."""
        floating = set(self.file["parameter_keys"])
        factors = dict.fromkeys(self.recorded.get("scaled", []), self.recorded.get("factor", 1.0))
        state = {}
        for key, shape in self.file["state"]:
            if key in floating or key.endswith(("running_mean", "running_var")):
                values = fill(self.file["salt"] + key, shape) * factors.get(key, 1.0)
                state[key] = torch.from_numpy(np.asarray(values))
            else:
                state[key] = torch.zeros(shape, dtype=torch.int64)
        return state

    def batch(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """Images (B, 3, H, W), masks and boundary targets (B, 1, H, W) of step 1, 2, ..., in float64."""
        count, size, seed = self.file["batch"], self.file["size"], self.file["seed"]
        images = np.random.RandomState(seed + step).uniform(0, 255, (count, 3, size, size))
        masks = np.random.RandomState(seed + 100 + step).uniform(0, 1, (count, 1, size, size)) > 0.6
        boundary = np.random.RandomState(seed + 200 + step).uniform(0, 1, (count, 1, size, size)) > 0.9
        return torch.from_numpy(images), *(torch.from_numpy(each.astype(np.float64)) for each in (masks, boundary))

    def elements(self) -> dict[str, Tensor]:
        """Our names -> which of the authors' tensors (its place in `state`) each element of ours comes from."""
        marked = {
            key: torch.full(shape, float(place), dtype=torch.float64)
            for place, (key, shape) in enumerate(self.file["state"])
        }
        ours = registry.convert_official(self.network, marked)
        return {name: tensor.long() for name, tensor in ours.items()}


@dataclass
class Trained:
    """What ten steps of our trainer made of a vector's weights, for the replica that started from them."""

    losses: list[float]
    gradient_norms: dict[str, float]
    """Of step 1, by the authors' key; a parameter without a gradient is not in it."""
    weight_norms: dict[str, float]
    running_means: dict[str, list[float]]


def given_boundary(forward: Callable[[Tensor], Any], images: Tensor, masks: Tensor, draws: Tensor) -> Tensor:
    """LB-UNet's objective with a boundary target of its own: masks are (B, 2, H, W), the mask and that target."""
    return losses.boundary_loss(forward(images), masks[:, :1], masks[:, 1:])


def train(network: str, run: str, replicas: int, computing: Engine = TORCH) -> Trained:
    """Repeat a run with the last of so many stacked replicas; the others start from other weights, on other images.

    computing: torch, or for one replica the CPU kernels.
    """
    vector = Vector.of(network, run)
    seeds, cpu = tuple(range(1, replicas + 1)), torch.device("cpu")
    ours = Replicas(network, seeds, vector.recipe, cpu, torch.float64, engine=computing)
    assert_nothing_is_dropped(ours)
    start = registry.convert_official(network, vector.official_state())
    with torch.no_grad():
        for name, tensor in ours.tensors().items():
            tensor[-1].copy_(start[name])
    target_given = network == "lb_unet" and run != "inner_band"
    if target_given:
        ours.entry = replace(ours.entry, objective=given_boundary)
    draws, seen, gradients = torch.zeros(replicas, losses.DRAWS), [], {}
    for step in range(1, vector.file["steps"] + 1):
        images, masks, boundary = vector.batch(step)
        masks = torch.cat([masks, boundary], dim=1) if target_given else masks
        others = range(replicas - 1)
        together = (torch.stack([*(each.flip(0, 3) for _ in others), each]) for each in (images, masks))
        seen.append(ours.step(*together, draws)[-1].item())
        if step == 1:
            stacks = {k: p.grad.view(ours.parameters[k].shape) for k, p in ours.trained.items() if p.grad is not None}
            gradients = {k: stack[-1] for k, stack in stacks.items()}
    weights = {name: tensor.detach()[-1] for name, tensor in ours.parameters.items()}
    means = {k: b[-1] for k, b in ours.buffers.items() if k.endswith("running_mean")}
    return Trained(seen, norms(vector, gradients), norms(vector, weights), by_official_key(vector, means))


def assert_nothing_is_dropped(replicas: Replicas) -> None:
    """The vectors have no dropout and no stochastic depth: nor have these networks, as their authors train them."""
    rates = [getattr(module, "rate", getattr(module, "p", 0.0)) for module in replicas.module.modules()]
    assert not any(rates), "a module of this network drops something; give it a rate of 0 here"


def norms(vector: Vector, tensors: dict[str, Tensor]) -> dict[str, float]:
    """L2 norms by the authors' key, of the elements of ours that come from each."""
    elements, keys = vector.elements(), [key for key, _ in vector.file["state"]]
    squares, touched = torch.zeros(len(keys), dtype=torch.float64), set()
    for name, tensor in tensors.items():
        places = elements[name].flatten()
        squares.index_add_(0, places, tensor.flatten().square())
        touched |= {keys[place] for place in places.unique().tolist()}
    return {key: square**0.5 for key, square in zip(keys, squares.tolist(), strict=True) if key in touched}


def by_official_key(vector: Vector, tensors: dict[str, Tensor]) -> dict[str, list[float]]:
    elements, keys = vector.elements(), [key for key, _ in vector.file["state"]]
    return {keys[elements[name].flatten()[0]]: tensor.tolist() for name, tensor in tensors.items()}
