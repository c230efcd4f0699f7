"""Networks of one size among pictures of another: images are resampled for them, and their logits back.

Bilinear, with antialiasing where sides shrink, as a product with one matrix for each axis: the numbers of
`F.interpolate(..., antialias=True)`, but under vmap too, and with gradients that CUDA adds in a fixed order.
"""

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._pytree import tree_map


@cache
def _weights(to: int, of: int) -> Tensor:
    """(to, of) float64: each new pixel of one axis, as weights of the old ones."""
    identity = torch.eye(of, dtype=torch.float64)[None, None]
    return F.interpolate(identity, (to, of), mode="bilinear", antialias=True)[0, 0]


def resampled(x: Tensor, side: int) -> Tensor:
    """(..., H, H) to (..., side, side)."""
    if x.shape[-1] == side:
        return x
    weights = _weights(side, x.shape[-1]).to(device=x.device, dtype=x.dtype)
    return weights @ x @ weights.T


@cache
def _at(kind: type[nn.Module], size: int) -> type[nn.Module]:
    """The same network for images of any size; what it returns as maps of its own size comes back at the images'."""

    class AtOwnSize(kind):  # type: ignore[misc, valid-type]
        def forward(self, images: Tensor) -> Any:
            side = images.shape[-1]

            def back(found: Any) -> Any:
                maps = isinstance(found, Tensor) and found.shape[-2:] == (size, size)
                return resampled(found, side) if maps else found

            return tree_map(back, super().forward(resampled(images, size)))

    AtOwnSize.__name__ = kind.__name__
    AtOwnSize.__qualname__ = f"{kind.__qualname__}@{size}"
    return AtOwnSize


def at_own_size(network: nn.Module, size: int) -> nn.Module:
    """The network itself, called on images of any size; names and weights stay what they are."""
    network.__class__ = _at(type(network), size)  # type: ignore[arg-type]  # a class can be hashed
    return network
