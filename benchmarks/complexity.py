"""What a network costs, in the counts that the field mixes; every column of results/complexity.csv names its counter.

* parameters: all elements of all parameters.
* thop_parameters, thop_macs: what the paper's counter sees, thop 0.1.1.post2209072238
  (https://github.com/Lyken17/pytorch-OpCounter). It watches modules and nothing else, by the rules in `RULES`: it is
  blind to functional operations, einsum, bare parameters, GroupNorm, classes derived from those it knows, and modules
  that are never called. It charges a transposed convolution of kernel 2 and stride 2 four times its cost, and affine
  batch and layer norms 4 operations an element. The rules are written anew here, because the package is no longer
  maintained; a test holds them to it.
* fvcore_macs: fvcore's total (https://github.com/facebookresearch/fvcore), from a traced graph: functional operations
  included, a transposed convolution at its cost. Of a Mamba it sees all but the scan, and of a fused kernel nothing.
* flops: the true floating-point operations of convolutions and matrix products, by `torch.utils.flop_counter` and at 2
  a multiply-accumulate, plus those of every selective scan, to which that counter is blind. Norms, activations and
  interpolation cost nothing in its convention.

thop and fvcore count multiply-accumulates (MACs), which the literature prints as "GFLOPs": those of the paper are
thop_macs / 1e9.

A network that the paper counted with a fused kernel lists the classes that the kernel hid in `THOP_BLIND`, a tuple of
module classes: thop sees neither them nor what is inside.
"""

import copy
import math
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from baselines.selective_scan import scan_flops, selective_scan
from benchmarks import registry
from results import store
from results.errors import RequestError

SIZE = 256  # px, that of Table 1

Rule = Callable[[Any, Tensor, Tensor], int]


@dataclass(frozen=True)
class Complexity:
    """The counts of one network on one input; see the head of this file for what each counter sees."""

    parameters: int
    """Elements of all parameters, dead ones included."""
    thop_parameters: int
    """Elements of the parameters of called modules that have a rule."""
    thop_macs: int
    """Multiply-accumulates; the paper's "GFLOPs" x 1e9."""
    fvcore_macs: int
    """Multiply-accumulates."""
    flops: int
    """Floating-point operations: 2 a multiply-accumulate, plus the scan's."""


COLUMNS = ("network", *(field.name for field in fields(Complexity)), "input")  # of results/complexity.csv


def count(network: nn.Module, images: Tensor) -> Complexity:
    """Count one forward pass in eval mode on images (B, 3, H, W). Both are on one device, and left as they are."""
    network = copy.deepcopy(network).eval()
    with (
        _scans_replaced() as scans,
        _thop_rules(network) as seen,
        FlopCounterMode(display=False) as counter,
        torch.no_grad(),
    ):
        network(images)
    return Complexity(
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        thop_parameters=sum(parameter.numel() for module in seen for parameter in module.parameters()),
        thop_macs=sum(seen.values()),
        fvcore_macs=_fvcore_macs(network, images),
        flops=counter.get_total_flops() + sum(scans),
    )


def table(names: Iterable[str]) -> pd.DataFrame:
    """One row a network at 1 x 3 x 256 x 256: its name, the fields of `Complexity`, and the input.

    Raises RequestError for a name that is not registered, or whose network does not take 256 px.
    """
    images = torch.zeros(1, 3, SIZE, SIZE)
    counted = [{"network": name, **asdict(count(_built(name), images))} for name in names]
    return pd.DataFrame(counted, columns=COLUMNS[:-1]).assign(input=f"1x3x{SIZE}x{SIZE}")


def write(path: Path, names: Iterable[str] | None = None) -> pd.DataFrame:
    """Count the networks, all registered ones by default, write the CSV atomically, and return its content."""
    counted = table(registry.names() if names is None else names)
    store.write_csv(path, counted)
    return counted


def _built(name: str) -> nn.Module:
    entry = registry.entry(name)
    if not entry.accepts(SIZE):
        raise RequestError(f"{name} takes {entry.sizes}, not the {SIZE} px of the comparison; leave it out.")
    return registry.build(name)


# The paper's counter


def _convolution(module: Any, x: Tensor, y: Tensor) -> int:
    """Kernel taps x outputs x input channels a group, bias free: too much by stride^2 where transposed."""
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


UPSAMPLE_COSTS = {"nearest": 1, "linear": 5, "bilinear": 11, "bicubic": 259}  # an output element; other modes are free


def _upsample(module: Any, x: Tensor, y: Tensor) -> int:
    return UPSAMPLE_COSTS.get(module.mode, 0) * y.numel()


def _prelu(module: Any, x: Tensor, y: Tensor) -> int:
    return x.numel()


def _softmax(module: Any, x: Tensor, y: Tensor) -> int:
    """n exponentials, n - 1 additions and n divisions along the dimension of n."""
    length = x.shape[module.dim]
    return x.numel() // length * (3 * length - 1)


# Not here: thop's rules for recurrent layers, and for modules that it takes for free and that hold no parameters.
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
}


@contextmanager
def _thop_rules(network: nn.Module) -> Iterator[dict[nn.Module, int]]:
    """Collects the MACs of every module that has a rule and is called inside the context."""
    blind = getattr(network, "THOP_BLIND", ())
    hidden = {part for module in network.modules() if isinstance(module, blind) for part in module.modules()}
    seen: dict[nn.Module, int] = {}

    def see(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen[module] = seen.get(module, 0) + RULES[type(module)](module, inputs[0], output)

    watched = [module for module in network.modules() if type(module) in RULES and module not in hidden]
    handles = [module.register_forward_hook(see) for module in watched]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


# The other counters


@contextmanager
def _scans_replaced() -> Iterator[list[int]]:
    """Replaces `selective_scan`, wherever it was imported, by a cheap operation of its shape; collects the true FLOPs.

    No counter sees anything in the scan, and tracers cannot follow its loop. What leads to its inputs stays visible.
    """
    scans: list[int] = []
    original = selective_scan  # this module's own name is replaced too

    def stand_in(u: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
        batch, groups, tokens, channels = u.shape
        scans.append(scan_flops(batch, groups, tokens, channels, a.shape[-1]))
        return u * delta + (b * c).sum(-1, keepdim=True) + (a.sum(-1) * d).unsqueeze(1)

    loaded = [module for module in list(sys.modules.values()) if hasattr(module, "__dict__")]
    users: list[Any] = [module for module in loaded if vars(module).get("selective_scan") is original]
    try:
        for module in users:
            module.selective_scan = stand_in
        yield scans
    finally:
        for module in users:
            module.selective_scan = original


def _fvcore_macs(network: nn.Module, images: Tensor) -> int:
    """fvcore's total; what it has to say about operations without a rule and about traced branches is silenced."""
    with warnings.catch_warnings(), _scans_replaced(), torch.no_grad():
        warnings.filterwarnings("ignore", r"`torch\.jit\.", FutureWarning)  # fvcore compiles a loss when it is imported
        try:
            from fvcore.nn import FlopCountAnalysis
        except ImportError:
            raise RequestError("Counting needs fvcore; install it with `pip install fvcore`.") from None
        analysis = FlopCountAnalysis(network, images).tracer_warnings("none")
        return int(analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).total())
