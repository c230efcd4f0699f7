"""The contract of `Official`: what the suite knows of an authors' network, and how its checkpoint becomes ours."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.networks.seeding import undisturbed

COUNTS = ("total_ops", "total_params")
"""Buffers that thop leaves in every module that it has counted."""

Renames = tuple[tuple[str, str], ...]
"""Pairs (regular expression, replacement), applied to an official key one after the other."""

Hidden = tuple[type[nn.Module] | str, ...]
"""Modules of which a counter sees nothing, nor of what is inside them: classes, and ends of names in the network."""


def logits(network: nn.Module, images: Tensor) -> list[Tensor]:
    """For authors whose network ends in logits, as ours: [(B, 1, H, W)]."""
    return [network(images)]


def probabilities(network: nn.Module, images: Tensor) -> list[Tensor]:
    """For authors whose network ends in a sigmoid: [(B, 1, H, W)]."""
    return [network(images).sigmoid()]


@dataclass(frozen=True)
class Official:
    """The authors' network beside ours. `convert` and `outputs` leave the network and all random state as they were."""

    build: Callable[[], nn.Module]
    """Builds our network in the authors' configuration."""
    renames: Renames
    """From the authors' keys of the state dict to ours."""
    returns: Callable[[Any, Tensor], Sequence[Tensor]] = probabilities
    """What the authors' network returns, made by our network in eval mode."""
    derived: tuple[str, ...] = ()
    """Ends of official keys that ours computes itself; they are dropped."""
    dead: tuple[str, ...] = ()
    """Beginnings of our parameters' names that the authors build and no output depends on."""
    adapted: Callable[[dict[str, Tensor]], dict[str, Tensor]] = dict
    """Makes a checkpoint of this build from one of the authors' other builds that computes the same; under our keys."""
    hidden_from_thop: Hidden = ()
    """What thop did not see when the authors counted, such as what they compute by a fused kernel."""

    def our_key(self, key: str) -> str:
        """The name in our state dict of an official key."""
        for theirs, ours in self.renames:
            key = re.sub(theirs, ours, key)
        return key

    def convert(self, state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The authors' state dict, as `plain_keys` takes it, under our names and in our order.

        Tensors are untouched, but for what `adapted` makes of another build's.

        Raises ValueError that names the missing and the unexpected keys, or the first tensor of a wrong shape.
        """
        state_dict = plain_keys(state_dict)
        official = {self.our_key(key): key for key in state_dict if not key.endswith(self.derived)}
        with undisturbed(), torch.device("meta"):  # names and shapes are all that is needed
            network = self.build()
        expected = network.state_dict()
        missing = [key for key in expected if key not in official]
        unexpected = [key for our_key, key in official.items() if our_key not in expected]
        if missing or unexpected:
            raise ValueError(
                f"This is not an official state dict of {type(network).__name__}: "
                f"missing (under our names) {_some(missing)}; unexpected {_some(unexpected)}."
            )
        ours = self.adapted({our_key: state_dict[official[our_key]] for our_key in expected})
        for our_key, key in official.items():
            if ours[our_key].shape != expected[our_key].shape:
                raise ValueError(
                    f"{key} has shape {tuple(ours[our_key].shape)}, but {type(network).__name__} needs "
                    f"{tuple(expected[our_key].shape)}; was it saved from another configuration?"
                )
        return ours

    def outputs(self, network: nn.Module, images: Tensor) -> list[Tensor]:
        """What the authors' network returns in eval mode for images (B, 3, H, W): tensors (B, 1, H, W), no gradients.

        network: one that `build` made; its training mode is as before afterwards.
        """
        modes = {module: module.training for module in network.modules()}
        with undisturbed(), torch.no_grad():
            network.eval()
            try:
                return list(self.returns(network, images))
            finally:
                for module, mode in modes.items():
                    module.training = mode

    def is_dead(self, parameter: str) -> bool:
        """Whether no output depends on our parameter of this name."""
        return parameter.startswith(self.dead)


def plain_keys(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict by the names of the network itself.

    Without the prefixes of torch.compile and of DataParallel, once or several times, and without thop's counts.
    """
    kept = {key: tensor for key, tensor in state_dict.items() if key.rpartition(".")[2] not in COUNTS}
    plain = {key.replace("_orig_mod.", ""): tensor for key, tensor in kept.items()}
    while plain and all(key.startswith("module.") for key in plain):
        plain = {key.removeprefix("module."): tensor for key, tensor in plain.items()}
    return plain


def numbered(theirs: str, ours: str, their_numbers: Iterable[int], our_numbers: Iterable[int]) -> Renames:
    """Top modules that both sides number, e.g. "encoder{}" with 1 to 5 and "encoders.{}" with 0 to 4."""
    pairs = zip(their_numbers, our_numbers, strict=True)
    return tuple((f"^{re.escape(theirs.format(n))}\\.", f"{ours.format(k)}.") for n, k in pairs)


def inside(modules: str, names: Mapping[str, str]) -> Renames:
    """Beginnings of names inside the top modules whose name matches the regular expression `modules`."""
    return tuple((rf"^({modules})\.{re.escape(theirs)}", rf"\1.{ours}") for theirs, ours in names.items())


def _some(keys: list[str], shown: int = 8) -> str:
    if not keys:
        return "none"
    return ", ".join(keys[:shown]) + (f" and {len(keys) - shown} more" if len(keys) > shown else "")
