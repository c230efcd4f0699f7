"""Carrying an authors' state dict over to ours, with complaints a person can act on. Shared by every baseline."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn


def carry_over(
    state_dict: Mapping[str, Tensor],
    build: Callable[[], nn.Module],
    ours: Callable[[str], str],
    derived: Callable[[str], bool] = lambda key: False,
) -> dict[str, Tensor]:
    """Rename the keys of an official `state_dict` to those of the network that `build` makes.

    It is made without numbers, so that torch's global generator does not move.
    ours: official key -> our key. derived: official keys that the network computes itself and that are dropped.
    A leading "module." (DataParallel) is removed. Values are passed on untouched.
    Raises ValueError that names the missing and unexpected official keys, or the first tensor of a wrong shape.
    """
    plain = {key.removeprefix("module."): value for key, value in state_dict.items()}
    official = {ours(key): key for key in plain if not derived(key)}
    with torch.device("meta"):
        network = build()
    expected = network.state_dict()
    missing = [key for key in expected if key not in official]
    unexpected = [key for our_key, key in official.items() if our_key not in expected]
    if missing or unexpected:
        raise ValueError(
            f"This is not an official state dict of {type(network).__name__}: "
            f"missing (under our names) {_some(missing)}; unexpected {_some(unexpected)}."
        )
    for our_key, key in official.items():
        if plain[key].shape != expected[our_key].shape:
            raise ValueError(
                f"{key} has shape {tuple(plain[key].shape)}, but {type(network).__name__} needs "
                f"{tuple(expected[our_key].shape)}; was it saved from another configuration?"
            )
    return {our_key: plain[official[our_key]] for our_key in expected}


def _some(keys: list[str], shown: int = 8) -> str:
    if not keys:
        return "none"
    return ", ".join(keys[:shown]) + (f" and {len(keys) - shown} more" if len(keys) > shown else "")
