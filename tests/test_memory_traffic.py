"""The bytes of a step: counted by hand where that is possible, and what stacking adds to them."""

import pytest
import torch
import torch.nn.functional as F

from benchmarks.measuring import memory_traffic
from benchmarks.protocol.recipe import RECIPES

RECIPE = RECIPES["paper"].changed(size=64, batch=4)


def test_operations_are_counted_by_what_they_read_and_write():
    meta = torch.device("meta")
    x, kernel = torch.empty(2, 3, 8, 8, device=meta), torch.empty(5, 3, 3, 3, device=meta)
    with memory_traffic._Operations() as count:
        out = F.conv2d(x, kernel, padding=1)
    convolution = 4 * (x.numel() + kernel.numel() + 2 * 5 * 8 * 8)
    assert count.eager == count.floor == convolution
    with count:
        positive = out.relu()  # read and written, and free where it is fused
        positive.flatten(1).transpose(0, 1)  # views move nothing
        torch.zeros_like(positive)  # only written
    values = 4 * out.numel()
    assert count.eager == convolution + 3 * values
    assert count.floor == convolution
    with count:
        positive.mean(dim=(2, 3))
        torch.empty(1, 1, device=meta).expand(64, 64).sum(dim=0)  # one value lies in memory
        x.flatten()[torch.empty(7, dtype=torch.int64, device=meta)]  # seven are read, and seven written
    assert count.floor == convolution + values + 4 * 10 + 4 + 4 * 64 + 7 * (4 + 4 + 8)


def test_adamw_moves_seven_times_the_weights():
    small, large = (memory_traffic.of_step("aulunet_v3", (1,), RECIPE.changed(batch=batch)) for batch in (2, 4))
    images = large.floor - small.floor
    assert (
        0 < small.floor - images - memory_traffic.ADAMW * 4 * 28_636 < 12 * 4 * 28_636
    )  # and the kernels of convolutions


@pytest.mark.parametrize(("network", "most"), [("aulunet_v3", 1.15), ("malunet", 1.25), ("unext_s", 1.4)])
def test_stacking_moves_hardly_more_than_its_seeds_one_by_one(network, most):
    """Without `stacked.fold_replicas` they take 1.40, 1.59 and 1.58 times as much."""
    one, four = (memory_traffic.of_step(network, tuple(range(1, 1 + n)), RECIPE) for n in (1, 4))
    assert four.eager < most * 4 * one.eager
    assert four.floor < most * 4 * one.floor


def test_bandwidth_is_that_of_this_machine():
    assert 1e8 < memory_traffic.bandwidth(torch.device("cpu"), rounds=2) < 1e13
