"""What ptflops says of modules alone: the rules of ptflops 0.7.5, written anew, so that one pass serves all counters.

MK-UNet's published 0.314 G is this count (https://github.com/sovrasov/flops-counter.pytorch, `count_functional` off; by
default it adds functional operations). A test holds these rules to the package where it is installed.

It counts multiply-adds as one, biases of convolutions too, an activation or pooling at one operation per element, a
norm at one, or two where it has `affine`. It sees modules of exactly these types and nothing else, and sums over the
tree of modules: one that has two places there counts all its calls twice.

Recurrent layers and attention have rules there and none here: a network with one of them has no such count.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from benchmarks.measuring.thop_rules import Rule, watching


def _convolution(module: Any, x: Tensor, y: Tensor) -> int:
    """Per pixel of the output, or of the input where transposed; and a bias for each element."""
    pixels = x if module.transposed else y
    taps = math.prod(module.kernel_size) * module.in_channels * module.out_channels // module.groups
    return len(x) * taps * math.prod(pixels.shape[2:]) + (0 if module.bias is None else y.numel())


def _linear(module: Any, x: Tensor, y: Tensor) -> int:
    return y.numel() * (module.in_features + (0 if module.bias is None else 1))


def _norm(module: Any, x: Tensor, y: Tensor) -> int:
    return x.numel() * (2 if getattr(module, "affine", False) else 1)


def _of_input(module: Any, x: Tensor, y: Tensor) -> int:
    return x.numel()


def _of_output(module: Any, x: Tensor, y: Tensor) -> int:
    return y.numel()


RULES: dict[type[nn.Module], Rule] = {
    **dict.fromkeys((nn.Conv1d, nn.Conv2d, nn.Conv3d), _convolution),
    **dict.fromkeys((nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d), _convolution),
    **dict.fromkeys((nn.ReLU, nn.PReLU, nn.ELU, nn.LeakyReLU, nn.ReLU6, nn.GELU, nn.Upsample), _of_output),
    **dict.fromkeys((nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d), _of_input),
    **dict.fromkeys((nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d), _of_input),
    **dict.fromkeys((nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d), _of_input),
    **dict.fromkeys((nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.GroupNorm, nn.LayerNorm), _norm),
    **dict.fromkeys((nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d), _norm),
    nn.Linear: _linear,
}
NOT_HERE = (nn.RNNBase, nn.RNNCellBase, nn.MultiheadAttention)


@contextmanager
def ptflops_counting(network: nn.Module) -> Iterator[Callable[[], int]]:
    """Watches a network in eval mode inside the context; yields what gives ptflops' count of modules afterwards.

    That raises ValueError where a module of the network has a rule there and none here.
    """
    with watching({module for module in network.modules() if type(module) in RULES}, RULES) as macs:

        def counted() -> int:
            for module in network.modules():
                if isinstance(module, NOT_HERE):
                    raise ValueError(f"there is no rule for {type(module).__name__}")
            return _sum_of_tree(network, macs)

        yield counted


def _sum_of_tree(parent: nn.Module, macs: dict[nn.Module, int]) -> int:
    if type(parent) in RULES:
        return macs.get(parent, 0)
    return sum(_sum_of_tree(child, macs) for child in parent.children())
