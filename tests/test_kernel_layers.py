"""Kernels of layers and blocks against torch in float64: values and gradients to 1e-12, and NaN where torch has it."""

import copy
from collections.abc import Callable, Sequence
from functools import partial

import pytest

pytest.importorskip("numba")

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines import ege_unet, lb_unet, malunet, ulvm_unet, unext
from baselines.mamba import Mamba
from benchmarks.objectives import losses
from benchmarks.training import kernels
from benchmarks.training.kernels import activations, attention_bridge, boundary_loss, fusion, layers, stages
from benchmarks.training.kernels.unext import shift

SHAPES = [(3, 8, 14, 16), (2, 4, 7, 9), (1, 4, 5, 3)]
ACTIVATIONS = [(activations.RELU, F.relu), (activations.GELU, F.gelu)]
NORMS = [lambda channels: nn.GroupNorm(4, channels), nn.BatchNorm2d]


def drawn(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)


def awake(module: nn.Module) -> nn.Module:
    """The module in float64, with weights off their starting values."""
    generator = torch.Generator().manual_seed(1)
    for parameter in module.double().parameters():
        parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return module


def by_kernels(module: nn.Module) -> nn.Module:
    swapped = copy.deepcopy(module)
    kernels.swap(swapped)
    assert type(swapped) is not type(module)
    return swapped


def results(function: Callable[..., Tensor], inputs: Sequence[Tensor], parameters: Sequence[Tensor]) -> list[Tensor]:
    """The value of a function and the gradients of all inputs and parameters under a fixed gradient."""
    value = function(*inputs)
    gradients = torch.autograd.grad(value, [*inputs, *parameters], drawn(*value.shape, seed=7).detach())
    return [value.detach(), *gradients]


def assert_alike(ours: list[Tensor], theirs: list[Tensor], tolerance: float = 1e-12) -> None:
    scale = max(each.norm().item() for each in theirs[1:])
    for a, b in zip(ours, theirs, strict=True):
        assert a.shape == b.shape
        assert (a - b).norm() <= tolerance * max(b.norm().item(), 1e-3 * scale)


def assert_same_module(module: nn.Module, *inputs: Tensor) -> None:
    swapped = by_kernels(module)
    ours = results(swapped, inputs, list(swapped.parameters()))
    assert_alike(ours, results(module, inputs, list(module.parameters())))
    for a, b in zip(swapped.buffers(), module.buffers(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=0)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("shape", SHAPES)
def test_norm_and_pooling(shape, activation, norm, training):
    number, function = activation
    module = awake(norm(shape[1])).train(training)
    twin, parameters = copy.deepcopy(module), list(module.parameters())
    theirs = results(lambda y: function(F.max_pool2d(module(y), 2)), [drawn(*shape)], parameters)
    ours = results(lambda y: stages.norm_pool(y, twin, number), [drawn(*shape)], list(twin.parameters()))
    assert_alike(ours, theirs)
    for a, b in zip(twin.buffers(), module.buffers(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=0)


def test_of_equal_pixels_the_first_gets_the_gradient():
    norm, y = nn.GroupNorm(1, 1).double(), torch.zeros(1, 1, 4, 4, dtype=torch.float64, requires_grad=True)
    with torch.no_grad():
        y[0, 0, 2:] = 1
    theirs = results(lambda y: F.relu(F.max_pool2d(norm(y), 2)), [y], [])
    assert_alike(results(lambda y: stages.norm_pool(y, norm, activations.RELU), [y], []), theirs)


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(
    ("shape", "size"),
    [((3, 8, 7, 8), (14, 16)), ((2, 4, 7, 9), (20, 11)), ((1, 4, 1, 5), (2, 10)), ((2, 4, 5, 3), (5, 3))],
)
def test_norm_and_resizing(shape, size, activation, norm, align_corners):
    number, function = activation
    module = awake(norm(shape[1]))
    options, inputs = {"align_corners": align_corners}, [drawn(*shape), drawn(*shape[:2], *size, seed=3)]

    def plain(y: Tensor, skip: Tensor) -> Tensor:
        return function(F.interpolate(module(y), size, mode="bilinear", **options)) + skip

    theirs = results(plain, inputs, list(module.parameters()))
    ours = results(
        lambda y, skip: stages.norm_resize(y, module, size, number, added=skip, **options),
        inputs,
        list(module.parameters()),
    )
    assert_alike(ours, theirs)
    theirs = results(lambda y: function(F.interpolate(y, size, mode="bilinear", **options)), inputs[:1], [])
    assert_alike(results(lambda y: stages.resize(y, size, number, **options), inputs[:1], []), theirs)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("shape", "outs"),
    [((2, 3, 14, 16), 8), ((2, 1, 7, 9), 5), ((1, 5, 1, 1), 2), ((1, 3, 70, 40), 1), ((2, 9, 3, 90), 6)],
)
def test_dense_convolution(shape, outs, bias, monkeypatch):
    monkeypatch.setattr(layers, "SMALL", 0)
    assert_same_module(awake(nn.Conv2d(shape[1], outs, 3, padding=1, bias=bias)), drawn(*shape))


@pytest.mark.parametrize("shape", [(2, 3, 5, 13), (1, 1, 1, 10), (2, 8, 2, 5)])
def test_tokens_of_unext(shape):
    assert_same_module(awake(unext.ShiftedMLP(shape[3])), drawn(*shape))
    x = drawn(*shape)
    for axis, ours in ((1, partial(shift, down=1)), (2, partial(shift, right=1))):
        assert all(map(torch.equal, results(ours, [x], []), results(partial(unext.shift, axis=axis), [x], [])))


@pytest.mark.parametrize("bias", [True, False])
def test_convolution_of_single_pixels(bias, monkeypatch):
    monkeypatch.setattr(layers, "SMALL", 0)
    assert_same_module(awake(nn.Conv2d(5, 3, 1, bias=bias)), drawn(2, 5, 6, 7))


def test_dense_convolutions_that_torch_runs_faster_are_torchs():
    options = ({"padding": 1}, {"padding": 1, "stride": 2}, {"padding": 2, "dilation": 2}, {"padding": 0})
    kept = [nn.Conv2d(32, 64, 3, padding=1), *(nn.Conv2d(4, 4, 3, **each) for each in options[1:])]
    assert not any(map(layers.dense_of, kept))
    assert layers.dense_of(nn.Conv2d(16, 24, 3, **options[0])) is layers.KernelConv
    conv, small = layers.KernelConv(4, 4, 3, padding=1), torch.randn(1, 4, 15, 17)
    assert torch.equal(conv(small), F.conv2d(small, conv.weight, conv.bias, padding=1))


@pytest.mark.parametrize(
    ("shape", "side", "dilation", "mode"),
    [
        ((2, 3, 7, 5), 3, 1, "zeros"),
        ((1, 1, 4, 4), 3, 7, "zeros"),
        ((2, 3, 9, 8), 3, 5, "zeros"),
        ((1, 2, 80, 90), 3, 2, "zeros"),
        ((1, 2, 6, 9), 5, 1, "zeros"),
        ((2, 1, 12, 7), 7, 1, "zeros"),
        ((1, 2, 1, 1), 3, 2, "zeros"),
        ((2, 3, 9, 5), 7, 1, "reflect"),
    ],
)
def test_depthwise_convolution(shape, side, dilation, mode):
    options = {"padding": dilation * (side // 2), "dilation": dilation, "groups": shape[1], "padding_mode": mode}
    assert_same_module(awake(nn.Conv2d(shape[1], shape[1], side, **options)), drawn(*shape))


def test_what_is_not_contiguous_is_taken_as_it_is():
    wide = drawn(2, 8, 6, 10)
    norm, conv = awake(nn.GroupNorm(4, 4)), awake(nn.Conv2d(4, 4, 3, padding=1, groups=4))
    part = wide.detach()[:, ::2].transpose(2, 3).requires_grad_()
    assert not part.is_contiguous()
    theirs = results(lambda y: F.gelu(F.max_pool2d(norm(y), 2)), [part], [])
    assert_alike(results(lambda y: stages.norm_pool(y, norm, activations.GELU), [part], []), theirs)
    theirs = results(lambda y: F.interpolate(norm(y), (20, 5), mode="bilinear"), [part], [])
    options = {"align_corners": False}
    assert_alike(
        results(lambda y: stages.norm_resize(y, norm, (20, 5), activations.IDENTITY, **options), [part], []), theirs
    )
    assert_same_module(conv, part)


@pytest.mark.parametrize("size", [(8, 8), (5, 7), (1, 2)])
def test_blocks_of_ege_unet(size):
    assert_same_module(awake(ege_unet.GroupHadamardProductAttention(8, 12)), drawn(2, 8, *size))
    deep, shallow, mask = (
        drawn(2, 12, *size),
        drawn(2, 8, *(2 * n for n in size), seed=1),
        drawn(2, 1, *(2 * n for n in size)),
    )
    assert_same_module(awake(ege_unet.GroupAggregationBridge(12, 8)), deep, shallow, mask)
    assert_same_module(
        awake(ege_unet.GroupAggregationBridge(12, 8)), drawn(1, 12, *size), drawn(1, 8, *size), drawn(1, 1, *size)
    )


@pytest.mark.parametrize("size", [(8, 8), (6, 10)])
def test_blocks_of_lb_unet(size):
    assert_same_module(awake(lb_unet.GroupShuffleAttention(8, 12)), drawn(2, 8, *size))
    assert_same_module(awake(lb_unet.Downsample(6)), drawn(2, 6, *size))
    assert_same_module(awake(lb_unet.LargeKernelConv(5)), drawn(2, 5, *size))


@pytest.mark.parametrize("size", [(16, 10), (5, 7), (2, 1)])
def test_attentions_of_malunet(size):
    assert_same_module(awake(malunet.DilatedGatedAttention(8, 12)), drawn(3, 8, *size))
    assert_same_module(awake(malunet.InvertedExternalAttention(8)), drawn(3, 8, *size))


@pytest.mark.parametrize("boundary", [True, False])
def test_fusion_of_predictions(boundary):
    maps = [drawn(2, 1, 5, 7, seed=k) for k in (2, 3)][: 1 + boundary]
    x, skip, plain = drawn(2, 3, 5, 7), drawn(2, 3, 5, 7, seed=1), lb_unet.PredictionInformationFusion(0.3, 0.2)

    def theirs(x: Tensor, skip: Tensor, region: Tensor, edge: Tensor | None = None) -> Tensor:
        amplified = x + x * region.sigmoid() if edge is None else x + x * edge + x * region.sigmoid()
        return plain(amplified, skip, region, edge)

    def ours(x: Tensor, skip: Tensor, region: Tensor, edge: Tensor | None = None) -> Tensor:
        return fusion.fuse(x, skip, region.sigmoid(), edge, 0.3, 0.2)

    if boundary:
        assert_alike(results(ours, [x, skip, *maps], []), results(theirs, [x, skip, *maps], []))
    else:  # the weight of a boundary that is not there counts for nothing
        assert_alike(results(ours, [x, skip, *maps], []), results(theirs, [x, skip, *maps], []))


@pytest.mark.parametrize("bridge", [malunet.Bridge, ulvm_unet.SCAttentionBridge])
def test_bridges(bridge):
    module = awake(bridge((4, 8)))
    swapped = by_kernels(module)
    skips = [drawn(2, 4, 9, 10), drawn(2, 8, 5, 5, seed=2)]
    for k in range(2):
        theirs = results(lambda *skips: module(skips)[k], skips, [])  # noqa: B023
        assert_alike(results(lambda *skips: swapped(skips)[k], skips, []), theirs)  # noqa: B023
    whole = [sum(each.square().sum() for each in net(skips)) for net in (module, swapped)]
    pairs = zip(
        *(torch.autograd.grad(w, list(n.parameters())) for w, n in zip(whole, (module, swapped), strict=True)),
        strict=True,
    )
    assert all((a - b).norm() <= 1e-12 * a.norm() for a, b in pairs)


def test_equal_channels_share_the_largest_as_in_torch():
    x = torch.ones(1, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    conv = awake(nn.Conv2d(2, 1, 7, padding=9, dilation=3))
    plain = malunet.SpatialAttentionBridge()
    plain.conv = conv
    assert_alike(results(lambda x: attention_bridge.pixel_gate(x, conv), [x], []), results(plain, [x], []))


@pytest.mark.parametrize(("tokens", "channels"), [(9, 4), (1, 6), (70, 20)])
def test_mamba(tokens, channels):
    assert_same_module(awake(Mamba(channels=channels)), drawn(3, tokens, channels))


def test_mamba_with_large_steps():
    module = awake(Mamba(channels=4))
    module.dt_proj.bias.data += torch.linspace(-60, 60, 8)
    assert_same_module(module, drawn(2, 12, 4))


def test_losses_of_lb_unet():
    masks = (drawn(2, 1, 9, 12) > 0).double()
    logits = 4 * drawn(2, 1, 9, 12, seed=2).detach()
    logits[0, 0, 0, :2] = torch.tensor([800.0, -800.0])  # the sigmoid is 1 and 0, the logarithm -100
    logits.requires_grad_()

    def plain(logits: Tensor) -> Tensor:
        p = logits.sigmoid()
        return (0.5 * losses.bce(p, masks) + 2 * losses.dice(p, masks)).mean()

    ours = results(lambda z: boundary_loss.weighed_loss(z.sigmoid(), masks, 0.5, 2.0), [logits], [])
    assert_alike(ours, results(plain, [logits], []))


@pytest.mark.parametrize("shape", [(2, 1, 20, 17), (1, 1, 1, 5), (1, 1, 3, 1)])
def test_inner_boundary(shape):
    masks = (
        F.avg_pool2d((drawn(*shape).detach() > -0.5).double(), 3, 1, 1).clamp(0, 1)
        if min(shape[2:]) > 2
        else drawn(*shape)
    )
    assert torch.equal(boundary_loss.inner_boundary(masks.detach()), losses.inner_boundary(masks.detach()))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_shows_as_in_torch(value, monkeypatch):
    monkeypatch.setattr(layers, "SMALL", 0)
    x = drawn(1, 8, 8, 8).detach()
    x[0, 2, 3, 3] = value
    dense = nn.Conv2d(8, 8, 3, padding=1).double()
    dense_by_kernels = by_kernels(dense)
    norm, one = nn.GroupNorm(4, 8).double(), nn.Conv2d(8, 8, 3, padding=1, groups=8).double()
    pairs = [
        (F.relu(F.max_pool2d(norm(x), 2)), stages.norm_pool(x, norm, activations.RELU)),
        (F.gelu(F.interpolate(norm(x), (16, 16), mode="bilinear")), _doubled(x, norm)),
        (F.gelu(x), layers.gelu(x)),
        (one(x), by_kernels(one)(x)),
        (dense(x), dense_by_kernels(x)),
    ]
    for module in (
        ege_unet.GroupHadamardProductAttention(8, 8),
        lb_unet.GroupShuffleAttention(8, 8),
        malunet.DilatedGatedAttention(8, 8),
        malunet.InvertedExternalAttention(8),
        Mamba(channels=8),
    ):
        inputs = x if not isinstance(module, Mamba) else x[0]
        module = module.double()
        pairs.append((module(inputs), by_kernels(module)(inputs)))
    for theirs, ours in pairs:
        assert not theirs.isfinite().all()
        assert torch.equal(theirs.isfinite(), ours.isfinite())


def _doubled(x: Tensor, norm: nn.Module) -> Tensor:
    return stages.norm_resize(x, norm, (16, 16), activations.GELU, align_corners=False)


@pytest.mark.parametrize("scale", [0.3, 1.0, 4.0])
def test_gelu_in_float32_is_as_near_to_float64_as_torch(scale):
    exact = (scale * drawn(20_000)).detach().float().double().requires_grad_()
    rough = exact.detach().float().requires_grad_()
    theirs, ours = (results(function, [rough], []) for function in (F.gelu, layers.gelu))
    for true, a, b in zip(results(F.gelu, [exact], []), ours, theirs, strict=True):
        assert (a - true).norm() <= 1.5 * (b - true).norm()


@pytest.mark.parametrize("place", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_nan_is_larger_than_all_in_pooling(place):
    norm, y = nn.BatchNorm2d(1).double().eval(), drawn(1, 1, 4, 4).detach()
    y[0, 0, place[0], place[1]] = float("nan")
    ours, theirs = stages.norm_pool(y, norm, activations.RELU), F.relu(F.max_pool2d(norm(y), 2))
    assert torch.equal(ours.isnan(), theirs.isnan())
    assert ours.isnan().sum() == 1
