"""Random numbers whose stream lives in a buffer, and stochastic depth (Huang et al., ECCV 2016) that draws from it.

`torch.bernoulli` under `vmap` would tie the draws of one replica to how many others run beside it. Here the stream
is a counter in a buffer, seeded when the network is built and hashed with SplitMix64 (Steele et al., OOPSLA 2014), so a
replica draws the same masks alone, stacked, resumed, on CPU and on CUDA.
"""

import torch
from torch import Tensor, nn


def _int64(value: int) -> int:
    """The signed value of a 64-bit pattern, in two's complement."""
    return value - (1 << 64) if value >= 1 << 63 else value


GAMMA = _int64(0x9E3779B97F4A7C15)
MIX_1 = _int64(0xBF58476D1CE4E5B9)
MIX_2 = _int64(0x94D049BB133111EB)


def _shifted(z: Tensor, bits: int) -> Tensor:
    """Logical (zero-filling) right shift of int64."""
    return (z >> bits) & ((1 << (64 - bits)) - 1)


def new_stream() -> Tensor:
    """The start of a stream, an int64 scalar from torch's global generator; to be registered as a buffer."""
    return torch.randint(1 << 62, ())


def drawn(stream: Tensor, count: int) -> Tensor:
    """The next `count` numbers of a stream, (count,) int64 uniform in [0, 2**24); moves the stream on in place."""
    z = stream + GAMMA * torch.arange(1, count + 1, device=stream.device)
    stream.add_(_int64(GAMMA * count % (1 << 64)))
    z = (z ^ _shifted(z, 30)) * MIX_1
    z = (z ^ _shifted(z, 27)) * MIX_2
    return _shifted(z ^ _shifted(z, 31), 40)


class DropPath(nn.Module):
    """Zeroes whole samples of a residual branch with probability `rate`, scaling the rest by 1 / (1 - rate).

    (B, ...) to (B, ...); the identity in eval mode and at rate 0.
    """

    stream: Tensor

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate
        if rate > 0:
            # Not persistent: the stream belongs to training, not to the weights that a user loads.
            self.register_buffer("stream", new_stream(), persistent=False)

    def forward(self, branch: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return branch
        uniform = drawn(self.stream, branch.shape[0]) / (1 << 24)
        keep = (uniform >= self.rate).to(branch.dtype) / (1 - self.rate)
        return branch * keep.reshape(-1, *[1] * (branch.dim() - 1))
