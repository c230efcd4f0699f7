"""Look-ups by name: the networks of the paper, those after it, then the user's plugins. A look-up changes nothing.

A user's own network joins through `--plugin FILE_OR_MODULE`: a Python file or module whose `NETWORKS` is a list of
`Entry`. Names "smp:<architecture>/<encoder>" are made from segmentation-models-pytorch on demand and are not listed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from benchmarks.networks import plugins, smp
from benchmarks.networks.beyond import BEYOND
from benchmarks.networks.dropout import give_streams
from benchmarks.networks.entry import Entry
from benchmarks.networks.official import files as weight_files
from benchmarks.networks.paper import PAPER
from benchmarks.networks.resampling import at_own_size
from benchmarks.networks.seeding import undisturbed
from results.errors import Damaged, RequestError, unknown

ENTRIES: dict[str, Entry] = PAPER | BEYOND


@dataclass(frozen=True)
class Specification:
    """What another process needs in order to find the same network: text alone."""

    name: str
    plugin: str = ""
    """Path or module of the plugin that the network comes from, if any."""
    digest: str = ""
    """SHA-256 over the plugin's files."""


def register(entry: Entry) -> None:
    """Raises RequestError where the name is taken."""
    if entry.name in ENTRIES:
        raise RequestError(f"The network name {entry.name!r} is taken; give yours another name.")
    ENTRIES[entry.name] = entry


def names() -> list[str]:
    """All registered names: those of the catalogue in its order, Table 1 first, those after the paper, then plugins."""
    return list(ENTRIES)


def entry(name: str) -> Entry:
    """Raises RequestError for a name that is neither registered nor wrapped ("smp:...")."""
    if name in ENTRIES:
        return ENTRIES[name]
    if name.startswith("smp:"):
        return smp.entry(name)
    raise unknown("network", name, ENTRIES, "`python -m benchmarks list networks` shows them all")


def specification(name: str) -> Specification:
    """Of a network, for another process. Raises RequestError as `entry` does."""
    plugin = entry(name).plugin
    return Specification(name, plugin.source, plugin.digest) if plugin else Specification(name)


def from_specification(wanted: Specification) -> Entry:
    """The network of a specification; its plugin is loaded first where it is not yet.

    Raises RequestError where the plugin cannot be loaded or is no longer what it was.
    """
    if wanted.plugin and wanted.name not in ENTRIES:
        load_plugin(wanted.plugin)
    if specification(wanted.name).digest != wanted.digest:
        raise RequestError(plugins.changed(wanted.name, wanted.plugin))
    return entry(wanted.name)


def build(name: str) -> nn.Module:
    """The network that is scored, (B, 3, H, W) to logits (B, 1, H, W), with fresh initial weights.

    Where the entry has a `preprocess`, the suite applies it to the images first. Raises Unfit where the builder of a
    user's own network fails, or gives no module whose weights can be seen.
    """
    chosen = entry(name)
    return _built(chosen, chosen.builder)


def outline(chosen: Entry) -> nn.Module:
    """The network that is scored, for its names, shapes and types: without numbers where that is known to work.

    No random state is moved. Raises Unfit as `build` does.
    """
    if not chosen.foreign:
        with torch.device("meta"):
            return chosen.builder()
    with undisturbed():
        return _built(chosen, chosen.builder)


def build_for_training(name: str, size: int) -> nn.Module:
    """The module that is trained on `size` x `size` images: `build(name)`, with training-only parts where it has any.

    Its dropout draws from streams of its own (`benchmarks/networks/dropout.py`).
    Raises RequestError where the network does not take that size, and Unfit as `build` does.
    """
    chosen = entry(name)
    if not chosen.accepts(size):
        raise RequestError(f"{name} takes {chosen.sizes}, not --size {size}; choose another size or network.")
    training_builder = chosen.training_builder
    at = chosen.fixed_size or size
    network = _built(chosen, partial(training_builder, at) if training_builder else chosen.builder)
    give_streams(network)
    return network


def _built(chosen: Entry, builder: Callable[[], nn.Module]) -> nn.Module:
    """What a builder of an entry makes. Raises Unfit where it fails, or makes no module whose weights can be seen."""
    with plugins.blamed(chosen, "its builder"):
        network = builder()
    if not isinstance(network, nn.Module):
        raise plugins.Unfit(chosen.name, f"its builder returns a {type(network).__name__}; return an nn.Module")
    tensors = (*network.named_parameters(), *network.named_buffers())
    lazy = [name for name, tensor in tensors if is_lazy(tensor)]
    if lazy:
        raise plugins.Unfit(
            chosen.name,
            f"its {lazy[0]} has no shape before the first forward, because its layer is lazy; give the layer its "
            "number of channels, or run the network once in the builder",
        )
    return at_own_size(network, chosen.fixed_size) if chosen.fixed_size else network


def convert_official(name: str, state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The authors' state dict with our keys; no random state is moved.

    Raises ValueError that names what is missing, unexpected or misshapen.
    """
    official = entry(name).official
    if official is None:
        raise RequestError(f"{name} has no official checkpoint to convert; its authors released none for this build.")
    return official.convert(state_dict)


def load_official(name: str, path: Path) -> nn.Module:
    """The network with the weights of an authors' checkpoint file, which is read without running any code in it.

    path: a file of torch.save or of safetensors, as the authors' training leaves it (`official/files.py`).
    Raises RequestError that names the file and what is in the way: no checkpoint, code in it, another network's.
    """
    theirs = weight_files.read(path)
    try:
        ours = convert_official(name, theirs)
    except ValueError as error:
        what = f"it does not hold the weights of {name} ({str(error).removesuffix('.')})"
        raise Damaged(path, what, "give the file of this network, or the network of this file") from None
    with undisturbed():
        network = build(name)
    network.load_state_dict(ours)
    return network


def load_plugin(source: str) -> list[str]:
    """Register the `NETWORKS` of a Python file or importable module; returns their names.

    Raises RequestError where it cannot be imported or has no such list.
    """
    added = plugins.load(source)
    for each in added:
        register(each)
    return [each.name for each in added]
