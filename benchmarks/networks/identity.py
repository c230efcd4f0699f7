"""What a network is, in one hash: two runs are seeds of one network only where it is the same.

It covers names, shapes and types of the state dict, the classes of all modules with the settings of torch's own, the
user's source files of a plugin, and the version of the library that a wrapped network comes from.

It is taken from the network as its builder makes it, so that what the trainer puts in the place of layers does not
count. What it cannot see is a change inside a class of this project that keeps all names and shapes; the commit in
every run's record tells that.
"""

import json
from hashlib import sha256

from torch import nn

from benchmarks.networks import registry
from benchmarks.networks.entry import Entry
from benchmarks.networks.plugins import PREFIX

SETTINGS = (
    *("kernel_size", "stride", "padding", "dilation", "groups", "output_padding", "padding_mode"),  # convolutions
    *("eps", "momentum", "num_groups", "normalized_shape", "p", "negative_slope", "scale_factor", "mode"),
)
"""Of layers of `torch.nn`, that change what a network computes and not its weights' shapes."""

_KNOWN: dict[str, tuple[Entry, str]] = {}


def identity(name: str) -> str:
    """The identity of a registered network, 16 hex digits; the network is built for it once.

    Raises Unfit where a user's own network cannot be built.
    """
    entry = registry.entry(name)
    known = _KNOWN.get(name)
    if known is None or known[0] is not entry:
        known = _KNOWN[name] = entry, identity_of(entry)
    return known[1]


def identity_of(entry: Entry) -> str:
    """The identity of an entry that need not be registered; builds the network. Raises Unfit as `identity`."""
    return _digest(entry, registry.outline(entry))


def _digest(entry: Entry, network: nn.Module) -> str:
    tensors = {name: [list(tensor.shape), str(tensor.dtype)] for name, tensor in network.state_dict().items()}
    classes = {name: _layer(module) for name, module in network.named_modules(remove_duplicate=False)}
    source = entry.plugin.digest if entry.plugin else entry.library
    return sha256(json.dumps([tensors, classes, source], sort_keys=True).encode()).hexdigest()[:16]


def _layer(module: nn.Module) -> list[str]:
    """Qualified class, and the settings of a layer of torch."""
    kind = type(module)
    torchs = kind.__module__.startswith("torch.nn.")
    settings = [f"{name}={getattr(module, name)!r}" for name in SETTINGS if torchs and hasattr(module, name)]
    return [f"{kind.__module__.removeprefix(PREFIX)}.{kind.__qualname__}", *settings]
