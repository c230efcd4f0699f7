"""Stochastic depth (Huang et al., ECCV 2016) whose random stream lives in a buffer.

`torch.bernoulli` under `vmap` would tie the draws of one replica to how many others run beside it. Here the stream
is a counter in a buffer, seeded when the network is built and hashed with SplitMix64 (Steele et al., OOPSLA 2014), so a
replica draws the same masks alone, stacked, resumed, on CPU and on CUDA.
"""

import torch
from torch import Tensor, nn


def _int64(value: int) -> int:
    """The two's complement reading of a 64-bit pattern."""
    return value - (1 << 64) if value >= 1 << 63 else value


GAMMA = _int64(0x9E3779B97F4A7C15)
MIX_1 = _int64(0xBF58476D1CE4E5B9)
MIX_2 = _int64(0x94D049BB133111EB)


def _shifted(z: Tensor, bits: int) -> Tensor:
    """Logical (zero-filling) right shift of int64."""
    return (z >> bits) & ((1 << (64 - bits)) - 1)


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
            self.register_buffer("stream", torch.randint(1 << 62, ()), persistent=False)

    def forward(self, branch: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return branch
        samples = branch.shape[0]
        z = self.stream + GAMMA * torch.arange(1, samples + 1, device=branch.device)
        self.stream.add_(_int64(GAMMA * samples % (1 << 64)))
        z = (z ^ _shifted(z, 30)) * MIX_1
        z = (z ^ _shifted(z, 27)) * MIX_2
        uniform = _shifted(z ^ _shifted(z, 31), 40) / (1 << 24)
        keep = (uniform >= self.rate).to(branch.dtype) / (1 - self.rate)
        return branch * keep.reshape(-1, *[1] * (branch.dim() - 1))
