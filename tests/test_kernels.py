"""Kernels for CPU against torch: AULUNet's modules one by one and as whole networks."""

import copy
from collections.abc import Callable
from threading import Barrier, Thread

import numpy as np
import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("numba")

from benchmarks.networks import registry
from benchmarks.objectives.losses import bce_dice
from benchmarks.training import kernels
from benchmarks.training.kernels import loss
from models import aulunet

VARIANTS = [name for name in registry.names() if name.startswith("aulunet")]


MODULES = {
    "point": (lambda c: aulunet.PointConv(c, 7), 1),
    "akf": (lambda c: aulunet.AKF(c), 1),
    "akf d1 d7": (lambda c: aulunet.AKF(c, (1, 7)), 1),
    "akf d2 d4": (lambda c: aulunet.AKF(c, (2, 4)), 1),
    "akf d3 d5 d7": (lambda c: aulunet.AKF(c, (3, 5, 7)), 1),
    "separable": (lambda c: aulunet.SeparableConv(c), 1),
    "skip": (lambda c: aulunet.LSG(c), 2),
    "pooled skip": (lambda c: aulunet.PooledLSG(c), 2),
    "deep pooled skip": (lambda c: aulunet.PooledLSG(c, deep=True), 2),
}
SHAPES = [(2, 5, 9, 13), (3, 1, 6, 4), (1, 9, 12, 8), (4, 13, 1, 1), (2, 3, 70, 67)]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def randomised(module: nn.Module, seed: int = 0) -> nn.Module:
    """In float64, with weights and statistics that are far from where they begin."""
    with torch.no_grad():
        for tensor in (*module.parameters(), *module.buffers()):
            if tensor.is_floating_point():
                tensor.copy_(torch.rand(tensor.shape, generator=generator(seed), dtype=tensor.dtype) + 0.3)
    return module.double()


def swapped(module: nn.Module) -> nn.Module:
    other = copy.deepcopy(module)
    kernels.swap(other)
    assert list(other.state_dict()) == list(module.state_dict())
    return other


def random(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=generator(seed), dtype=torch.float64)


def passes(module: nn.Module, inputs: list[Tensor]) -> dict[str, Tensor]:
    """Output, gradients and buffers of one pass, by name."""
    inputs = [each.detach().clone(memory_format=torch.preserve_format).requires_grad_() for each in inputs]
    out = module(*inputs)
    (out * random(out.shape, 9).to(out.dtype)).sum().backward()
    found = {"output": out.detach()}
    found |= {f"input {k}": each.grad for k, each in enumerate(inputs)}
    found |= {name: each.grad for name, each in module.named_parameters() if each.grad is not None}
    return found | {f"buffer {name}": each for name, each in module.named_buffers()}


def distance(a: Tensor, b: Tensor, least: float = 1e-300) -> float:
    """Norm of the difference over the norm of b."""
    a, b = a.detach().double(), b.detach().double()
    return float((a - b).norm() / b.norm().clamp(min=least))


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float = 1e-12) -> None:
    assert found.keys() == expected.keys()
    # A gate that sums to nothing, or a shift before a norm, has a gradient that is only rounding.
    scale = max(float(each.detach().double().norm()) for each in expected.values())
    wrong = {name: distance(found[name], each, 1e-3 * scale) for name, each in expected.items()}
    assert max(wrong.values()) <= tolerance, wrong


@pytest.mark.parametrize("training", [True, False], ids=["training", "eval"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", MODULES)
def test_modules_are_torchs(kind, shape, training):
    make, count = MODULES[kind]
    if kind.endswith("pooled skip") and shape[0] == 1:
        pytest.skip("a norm of one pooled value")
    module = randomised(make(shape[1])).train(training)
    other, inputs = swapped(module), [random(shape, seed) for seed in range(count)]
    assert type(other) is not type(module)
    for _ in range(2):  # the second with moved statistics, and on top of the first gradients
        assert_same(passes(other, inputs), passes(module, inputs))
    with torch.no_grad():
        assert_same({"output": other(*inputs)}, {"output": module(*inputs)})


@pytest.mark.parametrize("kind", MODULES)
def test_inputs_and_gradients_may_lie_in_any_order(kind):
    make, count = MODULES[kind]
    module = randomised(make(5))
    inputs = [random((2, 5, 8, 9), seed).to(memory_format=torch.channels_last) for seed in range(count)]
    other = swapped(module)
    assert_same(passes(other, inputs), passes(module, inputs))
    x = [each.detach().clone().requires_grad_() for each in inputs]
    y = [each.detach().clone().requires_grad_() for each in inputs]
    module(*x).mean((2, 3)).sum().backward()  # a gradient whose pixels share memory
    other(*y).mean((2, 3)).sum().backward()
    assert_same({"input": y[0].grad}, {"input": x[0].grad}, 1e-9)


@pytest.mark.parametrize("kind", ["point", "akf", "separable", "skip"])
def test_one_value_per_channel_is_refused_as_torch_refuses_it(kind):
    make, count = MODULES[kind]
    module, inputs = make(4).double(), [random((1, 4, 1, 1))] * count
    other = swapped(module)
    for each in (module, other):
        with pytest.raises(ValueError, match=r"Expected more than 1 value per channel when training.*\[1, \d, 1, 1\]"):
            each(*inputs)
    assert_same(passes(other.eval(), inputs), passes(module.eval(), inputs))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", MODULES)
def test_what_is_not_finite_in_torch_is_not_finite_in_kernels(kind, dtype, value):
    """In an input, and in each parameter: the output where torch's is not, and some gradient."""
    make, count = MODULES[kind]
    clean = randomised(make(5)).to(dtype)
    inputs = [random((2, 5, 8, 9), seed).to(dtype) for seed in range(count)]
    for place in range(-1, len(list(clean.parameters()))):
        module, changed = copy.deepcopy(clean), [each.clone() for each in inputs]
        if place < 0:
            changed[0][1, 2, 3, 4] = value
        else:
            list(module.parameters())[place].data.view(-1)[0] = value
        expected, found = passes(module, changed), passes(swapped(module), changed)
        lost = torch.isnan(expected["output"]) & found["output"].isfinite()
        assert not lost.any(), place
        for name in expected:
            assert expected[name].isfinite().all() or not found[name].isfinite().all(), (place, name)


@pytest.mark.parametrize("training", [True, False], ids=["training", "eval"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_networks_are_torchs(variant, training):
    """One pass of every variant: logits, all gradients, the image's too, and statistics."""
    torch.manual_seed(0)
    network = registry.build(variant).double().train(training)
    images = torch.rand(3, 3, 32, 64, generator=generator(), dtype=torch.float64) * 255
    assert_same(passes(swapped(network), [images]), passes(network, [images]), 1e-11)


@pytest.mark.parametrize("variant", VARIANTS)
def test_twenty_steps_are_torchs(variant):
    torch.manual_seed(0)
    network = registry.build(variant).double()
    images = torch.rand(2, 3, 3, 64, 64, generator=generator(), dtype=torch.float64) * 255
    masks = (torch.rand(2, 3, 1, 64, 64, generator=generator(1)) > 0.5).double()

    def losses(network: nn.Module, loss_of: Callable[[Tensor, Tensor], Tensor]) -> list[float]:
        optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
        found = []
        for step in range(20):
            value = loss_of(network(images[step % 2]), masks[step % 2])
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            found.append(value.item())
        return found

    found, expected = losses(swapped(network), loss.bce_dice), losses(network, bce_dice)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)
    assert expected[-1] != pytest.approx(expected[0], abs=1e-4)


def test_float32_is_as_near_to_float64_as_torchs():
    """Median and mean over all tensors of three passes."""
    torch.manual_seed(0)
    network, errors = registry.build("aulunet_v3"), []
    for seed in range(3):
        images = torch.rand(4, 3, 64, 64, generator=generator(seed)) * 255
        exact = passes(copy.deepcopy(network).double(), [images.double()])
        named = [name for name, value in exact.items() if value.double().norm() > 1e-6]
        both = [passes(each, [images]) for each in (copy.deepcopy(network), swapped(network))]
        errors += [[distance(found[name], exact[name]) for found in both] for name in named]
    torchs, ours = np.array(errors).T
    assert np.median(ours) <= 1.5 * np.median(torchs)
    assert ours.mean() <= 1.5 * torchs.mean()


def test_bits_do_not_depend_on_what_runs_beside():
    """Two threads at once, each with a network of its own, against one after the other."""
    torch.manual_seed(0)
    networks = [swapped(registry.build("aulunet_v3")) for _ in range(2)]
    images = torch.rand(2, 3, 64, 64, generator=generator()) * 255
    alone = [passes(copy.deepcopy(network), [images]) for network in networks]
    together, start = [{}, {}], Barrier(2)

    def work(k: int) -> None:
        start.wait()
        together[k] = passes(networks[k], [images])

    threads = [Thread(target=work, args=(k,)) for k in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    for one, other in zip(alone, together, strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_weights_are_seen_wherever_they_lie():
    """Loaded in place, replaced, converted, copied, and lent by functional_call."""
    module = randomised(aulunet.AKF(4))
    other, x = swapped(module), random((2, 4, 6, 6))
    weights = randomised(aulunet.AKF(4), seed=5)
    other(x)
    lent = torch.func.functional_call(other.eval(), dict(weights.state_dict()), (x,))
    assert_same({"output": lent}, {"output": weights.eval()(x)})
    assert_same({"output": other(x)}, {"output": swapped(other)(x)})
    other.load_state_dict(weights.state_dict())
    assert_same({"output": other(x)}, {"output": weights(x)})
    assert other.float()(x.float()).dtype == torch.float32
    assert distance(other(x.float()), weights(x)) < 1e-5
    with torch.no_grad():
        weights.fuse.bn.running_mean = weights.fuse.bn.running_mean + 1
        other = copy.deepcopy(other).double()
        other.fuse.bn.running_mean = weights.fuse.bn.running_mean
        assert_same({"output": other(x)}, {"output": weights(x)}, 1e-6)
