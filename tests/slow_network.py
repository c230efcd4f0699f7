"""A plugin for tests of executors: a network of 10 numbers that takes its time without using the processor."""

import time

from torch import Tensor, nn

from benchmarks.networks.entry import Entry, MultiplesOf


class Slow(nn.Module):
    """A convolution that sleeps before it trains on a batch. (B, 3, H, W) to (B, 1, H, W)."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            time.sleep(0.01)
        return self.convolution(x)


NETWORKS = [Entry("slow", "Slow", Slow, accepts=MultiplesOf(1))]
