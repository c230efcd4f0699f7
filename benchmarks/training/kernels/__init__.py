"""Kernels for training and evaluating light networks on CPUs: compiled by numba when first used, exact to rounding.

A light network's step spends nine tenths of its time moving intermediate results. A kernel does what several layers
of torch do while their values are in the nearest cache. `swap` gives a network's modules, by type, classes that call
them: same names, same weights, same mathematics. Without numba all runs as torch does it.

Importing this package needs no numba.
"""

import hashlib
from functools import lru_cache
from pathlib import Path

from torch import nn

__all__ = ["source", "swap", "version"]


@lru_cache(maxsize=1)
def version() -> str | None:
    """The version of numba, or None where it is not installed or does not take the numpy that is."""
    try:
        import numba
    except ImportError:
        return None
    return numba.__version__


@lru_cache(maxsize=1)
def source() -> str:
    """The first 12 hex digits of a SHA-256 over the files of this folder: other kernels may round differently."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:12]


def swap(network: nn.Module) -> None:
    """Have the modules of a network on CPU in float32 or float64 run by kernels, where there is one for their type.

    Same names, same weights, same mathematics to rounding. Not for use under vmap or autocast. Needs numba.
    """
    from benchmarks.training.kernels.layers import KernelDepthwise, dense_of, depthwise_of
    from benchmarks.training.kernels.swapped import KERNELS

    for module in network.modules():
        if type(module) in KERNELS:
            module.__class__ = KERNELS[type(module)]
        elif depthwise_of(module):
            module.__class__ = KernelDepthwise
        elif (dense := dense_of(module)) is not None:
            module.__class__ = dense
