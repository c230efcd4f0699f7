"""A network of your own: a file with a list `NETWORKS`.

python -m benchmarks run --suite quick --network tiny --plugin examples/own_network.py
"""

from torch import nn

from benchmarks.networks.entry import Entry


def tiny() -> nn.Module:
    """Images (B, 3, H, W) in [0, 255] to logits (B, 1, H, W)."""
    return nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 8, 7, padding=3), nn.ReLU(), nn.Conv2d(8, 1, 7, padding=3))


NETWORKS = [Entry("tiny", "Tiny", tiny, deviations=("Not of the paper.",))]
