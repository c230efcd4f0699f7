"""What a network costs, in the counts that the field mixes; every count names its counter.

* parameters: all elements of all parameters.
* thop_parameters, thop_macs: what the paper's counter sees, by the rules in thop_rules.py beside this file. thop
  watches modules and nothing else.
* ptflops_macs: what ptflops counts of modules alone, by ptflops_rules.py beside this file: MK-UNet's published count.
* fvcore_macs: fvcore's total (https://github.com/facebookresearch/fvcore), from a traced graph: functional operations
  included, a transposed convolution at its cost. Of a Mamba it sees all but the scan, and of a fused kernel nothing.
* flops: the true floating-point operations of convolutions and matrix products, at 2 per multiply-accumulate, plus
  those of every selective scan, by true_flops.py beside this file. Norms, activations and interpolation cost nothing in
  this convention.
* notes: what fvcore_macs and flops do not see in this network, and which counter failed and why.

thop, ptflops and fvcore count multiply-accumulates (MACs), which the literature prints as "GFLOPs": the paper's are
thop_macs / 1e9.

Counted is the network that runs operation by operation: compiled modules are unwrapped, and attention takes its plain
path, for the fused one is one operation that no counter can look into.
"""

import copy
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from baselines.selective_scan import scan_flops, selective_scan
from benchmarks.measuring.ptflops_rules import ptflops_counting
from benchmarks.measuring.thop_rules import thop_counting
from benchmarks.measuring.true_flops import OUTSIDE, true_flops, works
from benchmarks.networks import registry
from benchmarks.networks.official.contract import Hidden
from results.complexity import COLUMNS, COUNTS
from results.errors import RequestError

SIZE = 256  # px, that of Table 1


@dataclass(frozen=True)
class Complexity:
    """The counts of one network on one input; None where the counter failed. See the head of this file."""

    parameters: int
    """Elements of all parameters, dead ones included."""
    thop_parameters: int | None
    """Elements of the parameters of called modules that have a rule."""
    thop_macs: int | None
    """Multiply-accumulates; the paper's "GFLOPs" x 1e9."""
    ptflops_macs: int | None
    """Multiply-accumulates of modules, activations and norms."""
    fvcore_macs: int | None
    """Multiply-accumulates."""
    flops: int | None
    """Floating-point operations: 2 per multiply-accumulate, plus the scans'."""
    notes: tuple[str, ...] = ()
    """Sentences: what a counter did not see, and why one failed."""


assert (*COUNTS, "notes") == tuple(field.name for field in fields(Complexity)), "the file has other counts"


def count(network: nn.Module, images: Tensor, hidden_from_thop: Hidden = ()) -> Complexity:
    """Count one forward pass in eval mode on images (B, 3, H, W). Both are on one device, and left as they are.

    hidden_from_thop: what thop did not see when the authors counted.

    A counter that fails is noted and its figure is None; what the network itself raises is raised when all fail.
    Raises RequestError where fvcore is not installed.
    """
    fvcore, copied = _fvcore(), _copied(network, images.device)
    with _operation_by_operation():
        together = _tried(_in_one_pass, copied, images, hidden_from_thop)
        apart = isinstance(together, Exception)
        thop, ptflops, flops = _one_by_one(copied, images, hidden_from_thop) if apart else together
        macs = _tried(fvcore, copied, images)
    found = {"thop_macs": thop, "ptflops_macs": ptflops, "fvcore_macs": macs, "flops": flops}
    failed = {figure: error for figure, error in found.items() if isinstance(error, Exception)}
    if len(failed) == len(found):
        raise failed["thop_macs"]
    counted: dict[str, Any] = {figure: (None, None) if figure in failed else what for figure, what in found.items()}
    unseen: dict[str, set[str]] = {figure: counted[figure][1] or set() for figure in ("fvcore_macs", "flops")}
    if macs is not failed.get("fvcore_macs"):
        unseen["fvcore_macs"] |= unseen["flops"] & OUTSIDE
    return Complexity(
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        thop_parameters=counted["thop_macs"][1],
        thop_macs=counted["thop_macs"][0],
        ptflops_macs=counted["ptflops_macs"][0],
        fvcore_macs=counted["fvcore_macs"][0],
        flops=counted["flops"][0],
        notes=(
            *(f"{figure} could not be counted ({_one_line(error)})." for figure, error in failed.items()),
            *(f"{figure} does not see {', '.join(sorted(names))}." for figure, names in unseen.items() if names),
        ),
    )


def _tried(counter: Callable[..., Any], *arguments: Any) -> Any:
    """What the counter says, or the exception that it raised: one counter must not take the others with it."""
    try:
        return counter(*arguments)
    except Exception as error:
        return error


def _one_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def table(names: Iterable[str], announce: Callable[[str], None] = lambda name: None) -> pd.DataFrame:
    """One row per network at 1 x 3 x 256 x 256, or its one size: name, counts, the input, and the notes as one text.

    `announce` is told each name before it is counted. Raises RequestError for a name that is not registered, or whose
    network does not take 256 px or cannot run.
    """
    rows = []
    for name in names:
        announce(name)
        rows.append(_row(name))
    return pd.DataFrame(rows, columns=COLUMNS).astype(dict.fromkeys(COUNTS, "Int64"))


def _row(name: str) -> dict[str, Any]:
    entry = registry.entry(name)
    if not entry.accepts(SIZE):
        raise RequestError(f"{name} takes {entry.sizes}, not the {SIZE} px of the comparison; leave it out.")
    hidden, size = entry.official.hidden_from_thop if entry.official else (), entry.fixed_size or SIZE
    try:
        counted = count(registry.build(name), torch.zeros(1, 3, size, size), hidden)
    except RequestError:
        raise
    except Exception as error:  # of a user's network
        cause = f"{name} cannot be counted ({_one_line(error)})"
        raise RequestError(f"{cause}; it must take images of 1x3x{size}x{size} in eval mode.") from error
    numbers = {column: getattr(counted, column) for column in COUNTS}
    return {"network": name, **numbers, "input": f"1x3x{size}x{size}", "notes": " ".join(counted.notes)}


# The network that is counted


class _Moving(TorchFunctionMode):
    """While a network is copied: its tensors go to another device instead, without their history."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.device = device

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is not Tensor.__deepcopy__:
            return func(*args, **(kwargs or {}))
        tensor, memo = args
        return memo.setdefault(id(tensor), tensor.detach().to(self.device, copy=True))


def _copied(network: nn.Module, device: torch.device) -> nn.Module:
    """A copy in eval mode on the device, with no compiled module in it; parameters that need not move are shared."""
    network = _plain(network)
    memo: dict[int, Any] = {}
    for parameter in network.parameters():
        if type(parameter) is nn.Parameter:
            memo[id(parameter)] = nn.Parameter(parameter.detach().to(device), requires_grad=parameter.requires_grad)
    with _Moving(device):
        copied = copy.deepcopy(network, memo)
    for module in copied.modules():
        for name, child in module._modules.items():
            module._modules[name] = None if child is None else _plain(child)
    return copied.to(device).eval()


def _plain(module: nn.Module) -> nn.Module:
    """The module inside of the wrapper of `torch.compile`."""
    return getattr(module, "_orig_mod", module)


@contextmanager
def _operation_by_operation() -> Iterator[None]:
    """Attention, recurrent layers and compiled functions take their plain paths."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.backends.cudnn.flags(enabled=False), torch.compiler.set_stance("force_eager"):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


# The counters


def _in_one_pass(network: nn.Module, images: Tensor, hidden: Hidden) -> tuple[Any, Any, Any]:
    """thop, ptflops and the true operations, in a third of the time."""
    with thop_counting(network, hidden) as thop, ptflops_counting(network) as ptflops:
        flops = _flops(network, images)
    return thop(), _tried(lambda: (ptflops(), None)), flops


def _one_by_one(network: nn.Module, images: Tensor, hidden: Hidden) -> tuple[Any, Any, Any]:
    """The same, so that a counter that fails takes no other with it."""
    return _tried(_thop, network, images, hidden), _tried(_ptflops, network, images), _tried(_flops, network, images)


def _thop(network: nn.Module, images: Tensor, hidden: Hidden = ()) -> tuple[int, int]:
    """thop's MACs and parameters."""
    with thop_counting(network, hidden) as thop, _scans_replaced(), torch.no_grad():
        network(images)
    return thop()


def _ptflops(network: nn.Module, images: Tensor) -> tuple[int, None]:
    """ptflops' MACs."""
    with ptflops_counting(network) as ptflops, _scans_replaced(), torch.no_grad():
        network(images)
    return ptflops(), None


def _flops(network: nn.Module, images: Tensor) -> tuple[int, set[str]]:
    """True operations, and the names of what was not counted."""
    with _scans_replaced() as scans:
        flops, unseen = true_flops(network, images)
    return flops + sum(scans), unseen


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


def _fvcore() -> Callable[[nn.Module, Tensor], tuple[int, set[str]]]:
    """fvcore's counter: its total, and the operations without a rule there that are not free.

    Raises RequestError where the library is absent.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`torch\.jit\.", FutureWarning)  # fvcore compiles a loss when imported
        try:
            from fvcore.nn import FlopCountAnalysis
        except ImportError:
            raise RequestError("Counting needs fvcore; install it with `pip install fvcore`.") from None

    def macs(network: nn.Module, images: Tensor) -> tuple[int, set[str]]:
        with warnings.catch_warnings(), _scans_replaced(), torch.no_grad():
            warnings.filterwarnings("ignore", r"`torch\.jit\.", FutureWarning)
            analysis = FlopCountAnalysis(network, images).tracer_warnings("none")
            total = analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).total()
            unseen = {name for name in analysis.unsupported_ops() if works(name)}
        return int(total), {name.removeprefix("aten::").removeprefix("prim::PythonOp.") for name in unseen}

    return macs
