"""Layers that fold the replicas into the channels, or the batch of a depthwise convolution: against torch's own."""

from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from benchmarks.networks import registry
from benchmarks.training.folded_depthwise import FoldedDepthwise, fold_depthwise
from benchmarks.training.vmap_layers import fold_replicas


def randomised(module: nn.Module, seed: int) -> nn.Module:
    """Weights and statistics in which no two channels or replicas are alike."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in (*module.parameters(), *module.buffers()):
            if tensor.is_floating_point():
                tensor.copy_(torch.rand(tensor.shape, generator=generator, dtype=tensor.dtype) + 0.5)
    return module.double()


LAYERS = {
    "convolution": lambda: nn.Conv2d(6, 6, 3, padding=1, groups=2),
    "dilated convolution without bias": lambda: nn.Conv2d(6, 6, 3, padding=2, dilation=2, bias=False),
    "transposed convolution": lambda: nn.ConvTranspose2d(6, 6, 3, padding=1, groups=3),
    "average pooling": lambda: nn.AvgPool2d(3, 1, padding=1, count_include_pad=False),
    "batch norm": lambda: nn.BatchNorm2d(6),
    "batch norm of another momentum": lambda: nn.BatchNorm2d(6, eps=1e-3, momentum=0.3),
    "group norm": lambda: nn.GroupNorm(3, 6),
}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kind", LAYERS)
def test_folded_layers_are_the_layers(kind, training):
    """Outputs, gradients and running statistics of three replicas, two passes in a row."""
    alone = [randomised(LAYERS[kind](), seed).train(training) for seed in (1, 2, 3)]
    together = deepcopy(alone)
    parameters, buffers = stack_module_state(together)
    folded = together[0]
    fold_replicas(folded)
    assert type(folded).__name__ == "Folded" + type(together[1]).__name__
    x = torch.randn(3, 4, 6, 5, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()

    def one(parameters: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor) -> Tensor:
        first = functional_call(folded, (parameters, buffers), (x,))
        return functional_call(folded, (parameters, buffers), (first.sigmoid(),))

    out = vmap(one)(parameters, buffers, x)
    expected = torch.stack([module(module(image).sigmoid()) for module, image in zip(alone, x, strict=True)])
    torch.testing.assert_close(out, expected)
    weights = torch.rand(out.shape, dtype=torch.float64)
    of_input, *gradients = torch.autograd.grad(out, [x, *parameters.values()], weights)
    torch.testing.assert_close(of_input, torch.autograd.grad(expected, x, weights, retain_graph=True)[0])
    for name, gradient in zip(parameters, gradients, strict=True):
        one_by_one = torch.autograd.grad(
            expected, [dict(m.named_parameters())[name] for m in alone], weights, retain_graph=True
        )
        torch.testing.assert_close(gradient, torch.stack(one_by_one))
    for name, statistics in buffers.items():
        torch.testing.assert_close(statistics, torch.stack([dict(m.named_buffers())[name] for m in alone]))


@pytest.mark.parametrize("kind", [kind for kind in LAYERS if kind != "average pooling"])  # it has nothing to stack
def test_folded_layers_take_an_image_that_all_replicas_share(kind):
    alone = [randomised(LAYERS[kind](), seed).eval() for seed in (1, 2)]
    expected = torch.stack([module(torch.ones(2, 6, 4, 4).double()) for module in alone])
    stacks = stack_module_state(alone)
    fold_replicas(alone[0])
    out = vmap(lambda p, b: functional_call(alone[0], (p, b), (torch.ones(2, 6, 4, 4).double(),)))(*stacks)
    torch.testing.assert_close(out, expected)


def test_layers_that_cannot_be_folded_are_left_alone():
    network = nn.Sequential(nn.BatchNorm2d(4, affine=False), nn.BatchNorm2d(4, track_running_stats=False))
    network.append(nn.BatchNorm2d(4, momentum=None)).append(nn.GroupNorm(2, 4, affine=False))
    network.append(nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect")).append(nn.Conv3d(4, 4, 3))
    before = [type(module) for module in network]
    fold_replicas(network)
    assert [type(module) for module in network] == before


@pytest.mark.parametrize(
    ("channels", "kernel", "dilation", "bias", "size"),
    [
        (5, 3, 1, False, 64),  # folded
        (2, 5, 1, True, 65),
        (3, 7, 1, True, 64),
        (5, 3, 2, False, 33),  # dilated
        (4, 3, 7, True, 24),
        (30, 3, 2, True, 17),  # dilated, with channels enough to stay as they are
        (12, 3, 1, True, 64),  # left alone
        (5, 3, 1, True, 8),
    ],
)
def test_folded_depthwise_is_the_convolution(channels, kernel, dilation, bias, size):
    options = {"padding": dilation * (kernel // 2), "dilation": dilation, "groups": channels, "bias": bias}
    plain = nn.Conv2d(channels, channels, kernel, **options).double()
    folded = deepcopy(plain)
    fold_depthwise(folded)
    assert type(folded) is FoldedDepthwise
    x = torch.randn(3, channels, size, size, dtype=torch.float64, requires_grad=True)
    weights = torch.rand(3, channels, size, size, dtype=torch.float64)
    expected, out = plain(x), folded(x)
    torch.testing.assert_close(out, expected)
    for theirs, ours in zip(
        torch.autograd.grad(expected, [x, *plain.parameters()], weights),
        torch.autograd.grad(out, [x, *folded.parameters()], weights),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)


def test_folding_touches_only_depthwise_convolutions_that_keep_the_size():
    left = [
        nn.Conv2d(4, 4, 3, padding=1),  # dense
        nn.Conv2d(4, 8, 3, padding=1, groups=4),  # a multiplier
        nn.Conv2d(4, 4, 3, padding=1, stride=2, groups=4),
        nn.Conv2d(4, 4, 3, groups=4),  # shrinks
        nn.Conv2d(4, 4, 3, padding=1, groups=4, padding_mode="reflect"),
        nn.Conv2d(4, 4, (3, 1), padding=(1, 0), groups=4),
        nn.Conv2d(4, 4, 3, padding="same", groups=4),
        nn.Conv2d(4, 4, 1, groups=4),
    ]
    network = nn.Sequential(*left)
    fold_depthwise(network)
    assert all(type(module) is nn.Conv2d for module in network)


@pytest.mark.parametrize("network", ["aulunet_v3", "malunet", "ege_unet", "unext_s", "lb_unet"])
def test_folding_renames_nothing(network):
    plain = registry.build(network)
    folded = deepcopy(plain)
    fold_depthwise(folded)
    fold_replicas(folded)
    assert list(folded.state_dict()) == list(plain.state_dict())
    assert any(isinstance(module, FoldedDepthwise) for module in folded.modules())
