"""What a network holds in tensors and elsewhere, and what its forward does to that: faults that no step would notice.

The trainer steps a stack of parameters and buffers, keeps the best of them, and stores and resumes them. What a network
holds elsewhere, or moves elsewhere in its forward, is in none of those. Each function says a fault and its cure in half
a sentence, or "" where there is none.
"""

from collections.abc import Iterator, Sized
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

Bindings = dict[str, tuple[str, Tensor, int]]
"""Of each parameter and buffer by name: which of both it is, the tensor, and where its memory lies."""
OF_TORCH = frozenset(vars(nn.Module()))  # attributes that every module has


def fault_of_tensors(module: nn.Module) -> str:
    """In the types and the memory of parameters and buffers, as they are built."""
    for name, (kind, tensor, _) in bindings(module).items():
        if tensor.is_meta:
            return f"its {kind} {name} has no values, because it is on the meta device; build it on the CPU"
        if tensor.is_complex():
            return (
                f"its {kind} {name} is {tensor.dtype}, and networks train in torch.float32, which has no imaginary "
                "part; keep torch.view_as_real of it, and take torch.view_as_complex of that in the forward"
            )
        if tensor.is_floating_point() and tensor.dtype != torch.float32:
            return (
                f"its {kind} {name} is {tensor.dtype}, and networks train in torch.float32; build it in that "
                "(the recipe paper-bf16 computes in fewer bits)"
            )
        if kind == "parameter" and not tensor.is_floating_point():
            return f"its parameter {name} is {tensor.dtype}, which cannot be trained; make it a buffer"
    stranger = next((name for name in module.state_dict() if name not in bindings(module)), None)
    if stranger is not None:
        return (
            f"its state dict holds {stranger}, which is neither a parameter nor a buffer, and only those are stored; "
            "make it a buffer"
        )
    if not any(parameter.requires_grad for parameter in module.parameters()):
        return "none of its parameters requires a gradient, so there is nothing to train; leave requires_grad at True"
    return _overlap(dict((*module.named_parameters(), *module.named_buffers())))


def _overlap(tensors: dict[str, Tensor]) -> str:
    """Of different tensors: a plain loop would train their common memory, the trainer trains each alone."""
    spans = sorted((*_span(tensor), name) for name, tensor in tensors.items() if tensor.numel())
    for (_, end, first), (start, _, second) in pairwise(spans):
        if start < end:
            return (
                f"its {first} and {second} share memory and are two tensors; assign the parameter itself to tie them, "
                "or clone one"
            )
    return ""


def fault_of_pair(first: nn.Module, second: nn.Module) -> str:
    """In two networks of one builder: whatever they share would be common to all seeds."""
    mine = {each.data_ptr() for _, each, _ in bindings(first).values() if each.numel()}
    shared = [name for name, (_, each, _) in bindings(second).items() if each.numel() and each.data_ptr() in mine]
    if not shared:
        return ""
    return f"its builder gives the same {shared[0]} each time, which all seeds would share; create it in the builder"


def _span(tensor: Tensor) -> tuple[int, int]:
    """First byte of what a tensor sees, and the first behind it."""
    steps = sum((length - 1) * stride for length, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return tensor.data_ptr(), tensor.data_ptr() + (1 + steps) * tensor.itemsize


def bindings(module: nn.Module) -> Bindings:
    """All parameters and buffers as they are now, tied ones under each of their names."""
    kinds = {"parameter": module.named_parameters, "buffer": module.named_buffers}
    named = ((kind, *each) for kind, iterate in kinds.items() for each in iterate(remove_duplicate=False))
    return {name: (kind, tensor, tensor.data_ptr()) for kind, name, tensor in named}


def fault_of_forward(before: Bindings, module: nn.Module) -> str:
    """In what a forward did to the parameters and buffers: they may change in place, and in no other way."""
    after = bindings(module)
    for name, (kind, *_) in after.items():
        if name not in before:
            return f"its forward adds the {kind} {_placed(name, module)}; create it in the builder, in its final shape"
    for name, (kind, tensor, memory) in before.items():
        if name not in after:
            return f"its forward takes away the {kind} {_placed(name, module)}; leave it there"
        if after[name][1] is not tensor or after[name][2] != memory:
            attribute = name.rpartition(".")[2]
            return (
                f"its forward assigns the {kind} {_placed(name, module)} anew, which the trainer does not see, so that "
                f"it would stay at its first value; change it in place, as self.{attribute}.copy_(...) or "
                f"self.{attribute}.add_(...) do"
            )
    return ""


def _placed(name: str, module: nn.Module) -> str:
    """ "body.0.count" as "count of body.0 (Counter)"."""
    owner, _, attribute = name.rpartition(".")
    kind = type(module.get_submodule(owner)).__name__
    return f"{attribute} of {owner} ({kind})" if owner else f"{attribute} of {kind}"


def remembered(module: nn.Module) -> dict[str, Any]:
    """What its modules keep as plain attributes: numbers, copies of tensors, the lengths of lists."""
    return {f"{name}.{key}": value for name, each in module.named_modules() for key, value in _attributes(each)}


def _attributes(module: nn.Module) -> Iterator[tuple[str, Any]]:
    for key, value in vars(module).items():
        if key in OF_TORCH:
            continue
        if isinstance(value, Tensor):
            yield key, value.detach().clone()
        elif isinstance(value, int | float | str):
            yield key, value
        elif isinstance(value, Sized) and not isinstance(value, nn.Module):
            yield key, len(value)


def fault_of_memory(first: dict[str, Any], second: dict[str, Any], module: nn.Module) -> str:
    """In what was remembered after two calls that had the same weights and images: a resumed run has none of it."""
    changed = [name for name, value in second.items() if name not in first or not _alike(first[name], value)]
    if not changed:
        return ""
    return (
        "it keeps a state outside of parameters and buffers, which no resumed run would have: "
        f"{_placed(changed[0].removeprefix('.'), module)} changes from call to call; keep it in a buffer, and change "
        "that in place"
    )


def _alike(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.shape == b.shape and torch.allclose(a.float(), b.float(), rtol=1e-3, atol=1e-4, equal_nan=True)
    return bool(type(a) is type(b) and a == b)
