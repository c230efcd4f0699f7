"""Whole networks by kernels: float64 steps as torch takes them, float32 as near to it, the same bits in company."""

import copy
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

pytest.importorskip("numba")

import torch
from torch import Tensor, nn

from benchmarks.networks import registry
from benchmarks.training import kernels
from benchmarks.training.kernels.boundary_loss import boundary_supervision

NETWORKS = ["ege_unet", "malunet", "unext_s", "lb_unet", "ulvm_unet", "ultralbm_unet", "mambalite_unet"]
# Steps compared, and to what: with images scaled by 1 + 2^-52, MambaLiteUNet's sixth step by torch moves by 5e-10.
ALIKE = dict.fromkeys(NETWORKS, (20, 1e-10)) | {"mambalite_unet": (4, 1e-9)}


def batch(dtype: torch.dtype, size: int = 32) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    images = 255 * torch.rand(2, 3, size, size, generator=generator, dtype=torch.float64)
    masks = (torch.rand(2, 1, size, size, generator=generator) > 0.5).to(dtype)
    return images.float().to(dtype), masks, torch.rand(16, generator=generator)


def built(name: str, dtype: torch.dtype, *, by_kernels: bool) -> nn.Module:
    torch.manual_seed(0)
    network = registry.build(name).to(dtype).train()
    if by_kernels:
        kernels.swap(network)
    return network


def losses(network: nn.Module, name: str, steps: int, dtype: torch.dtype, size: int = 32) -> list[float]:
    """The training losses of AdamW on one batch."""
    optimizer, values, objective = torch.optim.AdamW(network.parameters(), lr=1e-3), [], registry.entry(name).objective
    images, masks, draws = batch(dtype, size)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = objective(network, images, masks, draws)
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    return values


@pytest.mark.parametrize("name", NETWORKS)
def test_steps_are_those_of_torch(name):
    steps, tolerance = ALIKE[name]
    ours, theirs = (
        losses(built(name, torch.float64, by_kernels=k), name, steps, torch.float64, 64) for k in (True, False)
    )
    assert len(set(theirs)) == steps  # it does train
    assert max(abs(a / b - 1) for a, b in zip(ours, theirs, strict=True)) <= tolerance


def test_the_objective_of_lb_unet_by_kernels():
    network, steps = built("lb_unet", torch.float64, by_kernels=False), []
    for objective in (boundary_supervision, registry.entry("lb_unet").objective):
        loss = objective(network, *batch(torch.float64, 64))
        gradients = torch.autograd.grad(loss, list(network.parameters()))
        steps.append(torch.cat([loss.reshape(1), *(each.flatten() for each in gradients)]))
    torch.testing.assert_close(*steps, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_in_float32_are_as_near_to_float64_as_those_of_torch(name):
    def gradient(dtype: torch.dtype, *, by_kernels: bool) -> Tensor:
        network = built(name, torch.float32, by_kernels=by_kernels).to(dtype)
        registry.entry(name).objective(network, *batch(dtype, 64)).backward()
        flat = [each.grad for each in network.parameters() if each.grad is not None]
        return torch.cat([each.flatten().double() for each in flat])

    exact = gradient(torch.float64, by_kernels=False)
    ours, theirs = ((gradient(torch.float32, by_kernels=k) - exact).norm() for k in (True, False))
    assert ours <= 1.5 * theirs


@pytest.mark.parametrize("name", NETWORKS)
def test_bits_do_not_depend_on_company(name):
    networks = [built(name, torch.float32, by_kernels=True) for _ in range(3)]
    train = partial(losses, name=name, steps=3, dtype=torch.float32)
    alone = train(networks[0])
    with ThreadPoolExecutor(2, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        together = list(pool.map(train, networks[1:]))
    assert together == [alone, alone]


@pytest.mark.parametrize("name", NETWORKS)
def test_evaluation_is_that_of_torch(name):
    plain = built(name, torch.float64, by_kernels=False)
    losses(plain, name, 2, torch.float64)  # running statistics that are not those of the start
    swapped = copy.deepcopy(plain)
    kernels.swap(swapped)
    images, *_ = batch(torch.float64, 64)
    with torch.no_grad():
        theirs, ours = (network.eval()(images) for network in (plain, swapped))
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", NETWORKS)
def test_another_size_is_refused_in_the_same_words(name):
    said = []
    for by_kernels in (True, False):
        with pytest.raises(ValueError, match="multiples of 32") as refusal:
            built(name, torch.float32, by_kernels=by_kernels)(torch.zeros(1, 3, 40, 64))
        said.append(str(refusal.value))
    assert said[0] == said[1]
