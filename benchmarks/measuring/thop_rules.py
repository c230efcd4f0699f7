"""What the paper's counter says: the rules of thop 0.1.1.post2209072238, written anew.

The package (https://github.com/Lyken17/pytorch-OpCounter) is no longer maintained, and a test holds these rules to it.
thop watches modules and nothing else: it is blind to functional operations, einsum, bare parameters, GroupNorm,
attention, classes derived from those it knows, and modules that are never called. It charges a transposed convolution
of kernel 2 and stride 2 four times its cost, and affine batch and layer norms 4 operations per element. It sums over
the tree of modules, and hooks its rule on once per place in it: where a module has two places, each call costs twice
and both places count all calls, four times the cost in all, and twice the parameters. The parameters of the outermost
module itself do not count.

B = batch, T = steps, I = features in, H = hidden features.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from benchmarks.networks.official.contract import Hidden

Rule = Callable[[Any, Any, Any], int]
"""MACs of one call, from the module, its first input and its output."""


def _convolution(module: Any, x: Tensor, y: Tensor) -> int:
    """Kernel taps x outputs x input channels per group, bias free: too much by stride^2 where transposed."""
    return y.numel() * (x.shape[1] // module.groups) * math.prod(module.kernel_size)


def _linear(module: Any, x: Tensor, y: Tensor) -> int:
    return y.numel() * module.in_features


def _norm(module: Any, x: Tensor, y: Tensor) -> int:
    affine = getattr(module, "affine", False) or getattr(module, "elementwise_affine", False)
    return x.numel() * (4 if affine else 2)


def _average_pool(module: Any, x: Tensor, y: Tensor) -> int:
    return y.numel()


def _adaptive_average_pool(module: Any, x: Tensor, y: Tensor) -> int:
    """An addition for each input of a window, and a division; the sides of a window need not be whole."""
    window = math.prod(i / o for i, o in zip(x.shape[2:], y.shape[2:], strict=True))
    return int((window + 1) * y.numel())


UPSAMPLE_COSTS = {"nearest": 1, "linear": 5, "bilinear": 11, "bicubic": 259}  # per output element; other modes are free


def _upsample(module: Any, x: Tensor, y: Tensor) -> int:
    return UPSAMPLE_COSTS.get(module.mode, 0) * y.numel()


def _prelu(module: Any, x: Tensor, y: Tensor) -> int:
    return x.numel()


def _softmax(module: Any, x: Tensor, y: Tensor) -> int:
    """n exponentials, n - 1 additions and n divisions along the dimension of n."""
    length = x.shape[module.dim]
    return x.numel() // length * (3 * length - 1)


# (matrix products, element-wise products and additions) of one step: H (I + H) + H each, 2 H more with a bias; H each.
RECURRENT = {"rnn": (1, 0), "gru": (3, 4), "lstm": (4, 4)}


def _step(kind: str, inputs: int, hidden: int, bias: bool) -> int:
    """One step of one layer on one sequence. thop knows no projections."""
    gates, products = RECURRENT[kind]
    return gates * (hidden * (inputs + hidden) + (3 if bias else 1) * hidden) + products * hidden


def _cell(kind: str, module: Any, x: Tensor, y: Any) -> int:
    """x: (B, I)."""
    return x.shape[0] * _step(kind, module.input_size, module.hidden_size, module.bias)


def _recurrent(kind: str, module: Any, x: Tensor | PackedSequence, y: Any) -> int:
    """x: (T, B, I), or (B, T, I) batch first, or packed: then as if every sequence had the length of the longest."""
    if isinstance(x, PackedSequence):
        steps, batch = len(x.batch_sizes), int(x.batch_sizes.max())
    else:
        steps, batch = (x.shape[1], x.shape[0]) if module.batch_first else (x.shape[0], x.shape[1])
    hidden, directions = module.hidden_size, 2 if module.bidirectional else 1
    widths = [module.input_size, *[directions * hidden] * (module.num_layers - 1)]
    return steps * batch * directions * sum(_step(kind, width, hidden, module.bias) for width in widths)


# Not here: modules that thop takes for free and that hold no parameters.
RULES: dict[type[nn.Module], Rule] = {
    **dict.fromkeys((nn.Conv1d, nn.Conv2d, nn.Conv3d), _convolution),
    **dict.fromkeys((nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d), _convolution),
    **dict.fromkeys((nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm, nn.LayerNorm), _norm),
    **dict.fromkeys((nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d), _norm),
    **dict.fromkeys((nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d), _average_pool),
    **dict.fromkeys((nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d), _adaptive_average_pool),
    **dict.fromkeys((nn.Upsample, nn.UpsamplingBilinear2d, nn.UpsamplingNearest2d), _upsample),
    nn.Linear: _linear,
    nn.PReLU: _prelu,
    nn.Softmax: _softmax,
    nn.RNNCell: partial(_cell, "rnn"),
    nn.GRUCell: partial(_cell, "gru"),
    nn.LSTMCell: partial(_cell, "lstm"),
    nn.RNN: partial(_recurrent, "rnn"),
    nn.GRU: partial(_recurrent, "gru"),
    nn.LSTM: partial(_recurrent, "lstm"),
}


@contextmanager
def thop_counting(network: nn.Module, hidden: Hidden = ()) -> Iterator[Callable[[], tuple[int, int]]]:
    """Watches a network in eval mode inside the context; yields what gives thop's MACs and parameters afterwards.

    hidden: what thop did not see when the authors counted; neither it nor what is inside is seen.
    """
    inside = {
        part for name, module in network.named_modules() if _is(hidden, name, module) for part in module.modules()
    }
    watched = {module for module in network.modules() if type(module) in RULES and module not in inside}
    with watching(watched, RULES) as macs:
        yield lambda: _sum_of_tree(network, watched, macs, Counter(_places(network)))


def _is(hidden: Hidden, name: str, module: nn.Module) -> bool:
    return any(name.endswith(each) if isinstance(each, str) else isinstance(module, each) for each in hidden)


@contextmanager
def watching(modules: set[nn.Module], rules: Mapping[type[nn.Module], Rule]) -> Iterator[dict[nn.Module, int]]:
    """Collects the MACs of all calls of these modules inside the context; a module that is not called is absent."""
    macs: dict[nn.Module, int] = {}

    def see(module: nn.Module, inputs: tuple[Any, ...], keywords: dict[str, Any], output: Any) -> None:
        first = inputs[0] if inputs else keywords["input"]
        macs[module] = macs.get(module, 0) + rules[type(module)](module, first, output)

    handles = [module.register_forward_hook(see, with_kwargs=True) for module in modules]
    try:
        yield macs
    finally:
        for handle in handles:
            handle.remove()


def _places(module: nn.Module) -> Iterator[nn.Module]:
    """The module and all that is inside, as often as it has a place in the tree."""
    yield module
    for child in module.children():  # each once, also where one parent holds it under two names
        yield from _places(child)


def _sum_of_tree(
    parent: nn.Module, watched: set[nn.Module], macs: dict[nn.Module, int], places: Counter[nn.Module]
) -> tuple[int, int]:
    """MACs and parameters of a module and of what is inside it."""
    total, parameters = macs.get(parent, 0), 0
    for child in parent.children():
        if child in watched:
            below = places[child] * macs.get(child, 0), _parameters(child) if child in macs else 0
        else:
            below = _sum_of_tree(child, watched, macs, places)
        total, parameters = total + below[0], parameters + below[1]
    return total, parameters


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
