"""The true floating-point operations of a forward pass, and the names of the operations whose work cannot be seen.

Counted are convolutions and matrix products, at 2 operations per multiply-accumulate, as torch's own counter does
(`torch.utils.flop_counter`). What has no formula there and is a product all the same has one in `FORMULAS`: attention
on CPU, recurrent layers of oneDNN, bilinear forms, products with vectors, products in place. Attention counts in full,
masked or not. Norms, activations, pooling and interpolation cost nothing in this convention.

What is not counted is named, never silently zero: operations of torch that do other work than that (`WORK`: Fourier
transforms, solvers, distances), operations of other libraries, tensors handed to numpy, and memory that was allocated
by torch and written by something else, by the name of the `autograd.Function` around it where there is one. Out of
reach is only a foreign kernel that overwrites what torch has written.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

aten = torch.ops.aten
Shape = torch.Size


def _times_vector(matrix: Shape, vector: Shape, **_: Any) -> int:
    return 2 * matrix.numel()


def _add_times_vector(added: Shape, matrix: Shape, vector: Shape, **_: Any) -> int:
    return 2 * matrix.numel()


def _dot(left: Shape, right: Shape, **_: Any) -> int:
    return 2 * left.numel()


def _matrix_product(left: Shape, right: Shape, *_: Any, **__: Any) -> int:
    """(..., n, k) times (..., k, m)."""
    return 2 * left.numel() * right[-1]


def _add_matrix_product(added: Shape, left: Shape, right: Shape, **_: Any) -> int:
    return _matrix_product(left, right)


def _attention(query: Shape, key: Shape, value: Shape, *_: Any, **__: Any) -> int:
    """query (B, H, L, E), key (B, G, S, E), value (B, G, S, V): the scores and their product with the values."""
    return 2 * query[:-1].numel() * key[-2] * (query[-1] + value[-1])


def _recurrent_layer(inputs: Shape, from_input: Shape, from_hidden: Shape, *_: Any, **__: Any) -> int:
    """inputs (T, B, I) through one direction of one layer, weights (gates x H, I) and (gates x H, H)."""
    return 2 * inputs[:-1].numel() * (from_input.numel() + from_hidden.numel())


def _bilinear(left: Shape, weight: Shape, right: Shape, *_: Any, **__: Any) -> int:
    """left (N, I) weight (O, I, J) right (N, J): I x J + J multiply-accumulates for each output, as torch takes it."""
    return 2 * left[0] * weight[0] * (weight[1] + 1) * weight[2]


def _convolution_over_time(inputs: Shape, weight: Shape, *_: Any, out_shape: Shape, **__: Any) -> int:
    """inputs (T, B, I), weight (K, I, O), output (T', B, O)."""
    return 2 * out_shape.numel() * weight[0] * weight[1]


# What torch's counter has no formula for.
FORMULAS: dict[Any, Callable[..., int]] = {
    aten.mv: _times_vector,
    aten.addmv: _add_times_vector,
    aten.addmv_: _add_times_vector,
    aten.dot: _dot,
    aten.vdot: _dot,
    aten._int_mm: _matrix_product,
    aten.addmm_: _add_matrix_product,
    aten.baddbmm_: _add_matrix_product,
    aten.addbmm: _add_matrix_product,
    aten.addbmm_: _add_matrix_product,
    aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    aten.mkldnn_rnn_layer: _recurrent_layer,
    aten._trilinear: _bilinear,
    aten.conv_tbc: _convolution_over_time,
}

# Words in the names of torch's operations that do more than one operation per element.
WORK = {
    *("mm", "addmm", "bmm", "baddbmm", "addbmm", "sspaddmm", "hspmm", "matmul", "mv", "addmv", "dot", "vdot", "inner"),
    *("tensordot", "einsum", "linear", "bilinear", "trilinear", "conv", "conv1d", "conv2d", "conv3d", "convolution"),
    *("attention", "mha", "transformer", "rnn", "lstm", "gru", "cdist", "pdist", "euclidean", "fft", "linalg"),
    *("cholesky", "lu", "geqrf", "ormqr", "spsolve", "triangular"),
}
FREE = {  # ... but these do not
    *("linalg_vector_norm", "linalg_cross", "_linalg_check_errors", "_thnn_fused_lstm_cell", "_thnn_fused_gru_cell"),
    *("fft_fftfreq", "fft_rfftfreq", "_fused_sdp_choice", "lu_unpack"),
}
HANDED_OUT = {
    Tensor.numpy: "numpy",
    Tensor.__array__: "numpy",
    Tensor.data_ptr: "data_ptr",
    Tensor.__dlpack__: "dlpack",
}
FOREIGN = "a kernel outside torch"
OUTSIDE = frozenset((*HANDED_OUT.values(), FOREIGN))  # no tracer sees these either


@cache
def works(operation: str) -> bool:
    """Whether an operation, "aten::mv" or of another library, costs more than its elements in this convention."""
    library, _, name = operation.partition("::")
    if library == "aten":
        return name not in FREE and not WORK.isdisjoint(name.rstrip("_").split("_"))
    return library not in ("prims", "prim") or name.startswith("PythonOp")


def true_flops(network: nn.Module, images: Tensor) -> tuple[int, set[str]]:
    """Operations of one forward pass of a network in eval mode, and the names of what was not counted."""
    counter = FlopCounterMode(display=False, custom_mapping=FORMULAS)
    watcher = _Watcher(set(counter.flop_registry))
    with torch.no_grad(), _functions_watched(watcher), _HandedOut(watcher.unseen), watcher, counter:
        output = network(images)
    watcher.read((output,), FOREIGN)
    return counter.get_total_flops(), watcher.unseen


class _Watcher(TorchDispatchMode):
    """Below the counter, which has taken apart what it can: notes operations without a formula.

    It also follows memory: what was only allocated, and is read before any operation wrote to it, was written by a
    kernel that is not torch's.
    """

    def __init__(self, known: set[Any]) -> None:
        super().__init__()
        self.known = known
        self.unseen: set[str] = set()
        self.unwritten: set[int] = set()  # storages

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        schema, given = func._schema, (*args, *(kwargs or {}).values())
        if func._overloadpacket not in self.known and works(schema.name):
            self.unseen.add(schema.name.removeprefix("aten::"))
        if not (func.is_view or schema.is_mutable or _allocates(schema.name)):
            self.read(given, FOREIGN)
        output = func(*args, **(kwargs or {}))
        if _allocates(schema.name) and "empty" in schema.name:
            self.unwritten.update(_storages((output,)))
        elif self.unwritten and not func.is_view:
            self.unwritten.difference_update(_storages((output, *(given if schema.is_mutable else ()))))
        return output

    def read(self, tensors: Iterable[Any], by: str) -> None:
        """Notes `by` where one of the tensors was never written to, once for each."""
        if self.unwritten and (storages := self.unwritten.intersection(_storages(tensors))):
            self.unwritten -= storages
            self.unseen.add(by)


@cache
def _allocates(operation: str) -> bool:
    """Whether an operation looks at the shapes of its arguments alone."""
    return any(word in operation for word in ("empty", "_like", "::new_"))


def _storages(values: Iterable[Any]) -> Iterator[int]:
    """The memory of the tensors among these values and inside their sequences and mappings."""
    for value in values:
        if isinstance(value, Tensor):
            if value.layout is torch.strided and value.numel():
                yield value.untyped_storage()._cdata
        elif isinstance(value, list | tuple):
            yield from _storages(value)
        elif isinstance(value, dict):
            yield from _storages(value.values())


class _HandedOut(TorchFunctionMode):
    """Notes tensors that leave torch for code that cannot be watched."""

    def __init__(self, unseen: set[str]) -> None:
        super().__init__()
        self.unseen = unseen

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in HANDED_OUT:
            self.unseen.add(HANDED_OUT[func])
        return func(*args, **(kwargs or {}))


@contextmanager
def _functions_watched(watcher: _Watcher) -> Iterator[None]:
    """Notes the name of every `autograd.Function` whose output was written by no operation that can be watched."""
    original = torch.autograd.Function.__dict__["apply"]

    def apply(cls: Any, *args: Any, **kwargs: Any) -> Any:
        output = original.__get__(None, cls)(*args, **kwargs)
        watcher.read((output,), cls.__name__)
        return output

    torch.autograd.Function.apply = classmethod(apply)  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        torch.autograd.Function.apply = original
