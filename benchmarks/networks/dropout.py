"""Dropout that draws from a stream of its own: the same numbers for a seed, alone, stacked or resumed elsewhere.

torch's dropout draws from the global generator, which all seeds and threads share, and `vmap` refuses it. Here each
module owns a counter-based stream in a buffer (`baselines/drop_path.py`), seeded with the network's initial weights and
saved in every checkpoint. The distribution is that of the module that is replaced; evaluation is untouched.

What draws inside a function cannot be replaced: `F.dropout`, `torch.rand`, the dropout of `nn.MultiheadAttention` and
`nn.LSTM`. `benchmarks/runner/probe.py` refuses those.
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from baselines.drop_path import drawn, new_stream

ALPHA = -1.7580993408473766  # what SELU tends to: the value of a dropped unit of alpha dropout


def give_streams(network: nn.Module) -> None:
    """Replace the random modules of a network by those with streams: same names, same weights, same distribution.

    Draws one number from torch's global generator for each, so call it under the seed of the network. Modules of other
    types, and those whose probability is 0, are left alone.
    """
    for module in network.modules():
        streamed = STREAMED.get(f"{type(module).__module__}.{type(module).__qualname__}")
        if streamed is not None and probability(module) > 0:
            module.__class__ = streamed
            module.register_buffer("stream", new_stream(), persistent=False)


def probability(module: Any) -> float:
    """Of dropping: `p` of torch's and torchvision's modules, `drop_prob` of timm's."""
    return float((module.drop_prob if hasattr(module, "drop_prob") else module.p) or 0)


def kept(stream: Tensor, p: float, shape: Any, like: Tensor) -> Tensor:
    """1 with probability 1 - p, else 0, of this shape and the type of `like`."""
    count = 1
    for length in shape:
        count *= length
    return (drawn(stream, count) >= p * (1 << 24)).to(like.dtype).reshape(shape)


def _zeroed(x: Tensor, keep: Tensor, p: float) -> Tensor:
    return x * (keep / (1 - p) if p < 1 else keep)


def _alpha(x: Tensor, keep: Tensor, p: float) -> Tensor:
    """Dropped units take the value ALPHA, and all are scaled and moved so that mean 0 and variance 1 stay."""
    if p >= 1:
        return x * keep
    scale = ((1 - p) * (1 + p * ALPHA**2)) ** -0.5
    return (x * keep + ALPHA * (1 - keep)) * scale - ALPHA * p * scale


class _Streamed:
    """A module whose noise has the shape `noise(x)` and is applied by `applied`."""

    stream: Tensor
    training: bool
    applied: Callable[[Tensor, Tensor, float], Tensor] = staticmethod(_zeroed)

    def noise(self, x: Tensor) -> tuple[int, ...]:
        return tuple(x.shape)

    def forward(self, x: Tensor) -> Tensor:
        p = probability(self)
        if not self.training or p == 0:
            return x
        return type(self).applied(x, kept(self.stream, p, self.noise(x), x), p)


class _Channels(_Streamed):
    """Whole channels of (B, C, ...) at once, or of (C, ...) where x has the dimensions of one sample, `unbatched`."""

    unbatched = 0

    def noise(self, x: Tensor) -> tuple[int, ...]:
        leading = 1 if x.dim() == self.unbatched else 2
        return (*x.shape[:leading], *[1] * (x.dim() - leading))


class StreamedDropout(_Streamed, nn.Dropout):
    pass


class StreamedAlphaDropout(_Streamed, nn.AlphaDropout):
    applied = staticmethod(_alpha)


class StreamedDropout1d(_Channels, nn.Dropout1d):
    unbatched = 2


class StreamedDropout2d(_Channels, nn.Dropout2d):
    pass  # torch takes three dimensions as (B, C, L)


class StreamedDropout3d(_Channels, nn.Dropout3d):
    unbatched = 4


class StreamedFeatureAlphaDropout(_Channels, nn.FeatureAlphaDropout):
    applied = staticmethod(_alpha)


class _Samples(_Streamed, nn.Module):
    """Whole samples of (B, ...) at once."""

    def noise(self, x: Tensor) -> tuple[int, ...]:
        return (x.shape[0], *[1] * (x.dim() - 1))


class StreamedDropPath(_Samples):
    """Of timm, which is not imported here."""

    drop_prob: float
    scale_by_keep: bool

    def forward(self, x: Tensor) -> Tensor:
        out = super().forward(x)
        return out if not self.training or self.scale_by_keep else out * (1 - self.drop_prob)


class StreamedStochasticDepth(_Samples):
    """Of torchvision; its mode "batch" drops all samples together."""

    p: float
    mode: str

    def noise(self, x: Tensor) -> tuple[int, ...]:
        return super().noise(x) if self.mode == "row" else (1,) * x.dim()


STREAMED: dict[str, type] = {
    "torch.nn.modules.dropout.Dropout": StreamedDropout,
    "torch.nn.modules.dropout.Dropout1d": StreamedDropout1d,
    "torch.nn.modules.dropout.Dropout2d": StreamedDropout2d,
    "torch.nn.modules.dropout.Dropout3d": StreamedDropout3d,
    "torch.nn.modules.dropout.AlphaDropout": StreamedAlphaDropout,
    "torch.nn.modules.dropout.FeatureAlphaDropout": StreamedFeatureAlphaDropout,
    "timm.layers.drop.DropPath": StreamedDropPath,
    "torchvision.ops.stochastic_depth.StochasticDepth": StreamedStochasticDepth,
}
