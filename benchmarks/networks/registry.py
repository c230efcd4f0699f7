"""The one visible list of networks, in the order of Table 1. One name serves as key, CLI word, folder and CSV key.

A user's own network joins through `--plugin FILE_OR_MODULE`: a Python file or module whose `NETWORKS` is a list of
`Entry`. Names "smp:<architecture>/<encoder>" are wrapped from segmentation-models-pytorch on demand.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from benchmarks.networks.dropout import give_streams
from benchmarks.networks.seeding import undisturbed
from results.errors import RequestError, unknown

if TYPE_CHECKING:
    pass

from benchmarks.networks.entry import Entry
from benchmarks.networks.paper import PAPER

ENTRIES: dict[str, Entry] = dict(PAPER)
_WRAPPED: dict[str, Entry] = {}  # those looked up so far; `names` does not list them


def register(entry: Entry) -> None:
    """Raises RequestError where the name is taken."""
    if entry.name in ENTRIES:
        raise RequestError(f"The network name {entry.name!r} is taken; give yours another name.")
    ENTRIES[entry.name] = entry


def names() -> list[str]:
    """All registered names, Table 1 first and in its order."""
    return list(ENTRIES)


def entry(name: str) -> Entry:
    """Raises RequestError for a name that is neither registered nor wrapped ("smp:...")."""
    if name not in ENTRIES and name.startswith("smp:"):
        from benchmarks.networks import smp

        if name not in _WRAPPED:
            _WRAPPED[name] = smp.entry(name)
        return _WRAPPED[name]
    if name not in ENTRIES:
        raise unknown("network", name, ENTRIES, "`python -m benchmarks list networks` shows them all")
    return ENTRIES[name]


def build(name: str) -> nn.Module:
    """The network that is scored, (B, 3, H, W) to logits (B, 1, H, W), with fresh initial weights.

    Where the entry has a `preprocess`, the suite applies it to the images first.
    """
    return entry(name).builder()


def build_for_training(name: str, size: int) -> nn.Module:
    """The module that is trained on `size` x `size` images: `build(name)`, with training-only parts where it has any.

    Its dropout draws from streams of its own (`benchmarks/networks/dropout.py`).
    Raises RequestError where the network does not take that size.
    """
    chosen = entry(name)
    if not chosen.accepts(size):
        raise RequestError(f"{name} takes {chosen.sizes}, not --size {size}; choose another size or network.")
    network = chosen.training_builder(size) if chosen.training_builder else chosen.builder()
    if not isinstance(network, nn.Module):
        raise RequestError(f"The builder of {name} returns a {type(network).__name__}; it must return an nn.Module.")
    give_streams(network)
    return network


def convert_official(name: str, state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The authors' state dict with our keys; no random state is moved.

    Raises ValueError that names what is missing, unexpected or misshapen.
    """
    module = entry(name).official
    if module is None:
        raise RequestError(f"{name} has no official checkpoint to convert; its authors released none for this build.")
    return module.convert_official(state_dict)


def load_official(name: str, path: Path) -> nn.Module:
    """The network with the weights of an authors' checkpoint file, which is read without running any code in it."""
    content = torch.load(path, map_location="cpu", weights_only=True)
    for wrapper in ("model_state_dict", "state_dict", "model"):
        content = content.get(wrapper, content) if isinstance(content, dict) else content
    with undisturbed():
        network = build(name)
    network.load_state_dict(convert_official(name, content))
    return network


def load_plugin(source: str) -> list[str]:
    """Register the `NETWORKS` of a Python file or importable module; returns their names.

    Raises RequestError where it cannot be imported or has no such list.
    """
    from benchmarks.networks import plugins

    return plugins.load(source)
