"""Initial weights of MK-UNet, SimpleUNet and TinyU-Net, and facts of theirs that a rewrite would lose first."""

from math import sqrt

import pytest
import torch
from torch import nn

from baselines.mk_unet import MKUNet, shuffled
from baselines.simple_unet import SimpleUNet
from baselines.tiny_unet import TinyUNet
from benchmarks.networks import registry
from benchmarks.networks.official import MK_UNET_T, TINY_UNET
from benchmarks.training.pixel_counts import predicted
from tests import reference_vectors


def close_to(weight: torch.Tensor, deviation: float) -> bool:
    """Whether the spread fits to five standard errors of a sample of this size, of a normal at the worst."""
    tolerance = 5 * deviation / sqrt(2 * weight.numel())
    return abs(weight.std().item() - deviation) < tolerance and abs(weight.mean().item()) < sqrt(2) * tolerance


def convolutions(network: nn.Module) -> dict[str, nn.Conv2d]:
    return {name: module for name, module in network.named_modules() if isinstance(module, nn.Conv2d)}


def norms_start_at_one_and_zero(network: nn.Module) -> bool:
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    return bool(norms) and all((norm.weight == 1).all() and not norm.bias.any() for norm in norms)


def filled(name: str) -> tuple[nn.Module, dict]:
    """The network with the weights of its reference file, in float64 and eval mode, and that file."""
    reference = reference_vectors.load(name)
    network = registry.build(name).double().eval()
    network.load_state_dict(registry.convert_official(name, reference_vectors.official_state(reference)))
    return network, reference


def test_mk_unet_starts_as_the_sheet_says() -> None:
    torch.manual_seed(0)
    network = MKUNet()
    found = convolutions(network)
    heads = {name: conv for name, conv in found.items() if name.startswith(("unused", "head"))}
    inner = [conv for name, conv in found.items() if name not in heads and conv.weight.numel() > 8]
    assert len(heads) == 4
    assert all(close_to(conv.weight, 0.02) for conv in inner)
    assert not any(conv.bias.any() for conv in inner if conv.bias is not None)
    assert all(close_to(conv.weight, 1 / sqrt(3 * conv.in_channels)) for conv in heads.values())
    assert norms_start_at_one_and_zero(network)


@pytest.mark.parametrize("build", [SimpleUNet, TinyUNet])
def test_the_others_start_from_the_defaults(build: type[nn.Module]) -> None:
    torch.manual_seed(0)
    network = build()
    defaults = [(conv.weight, 1 / sqrt(3 * conv.weight[0].numel())) for conv in convolutions(network).values()]
    assert all(close_to(weight, deviation) for weight, deviation in defaults)
    assert norms_start_at_one_and_zero(network)
    scales = [value for name, value in network.named_parameters() if name.endswith("_scale")]
    assert len(scales) == (8 if build is SimpleUNet else 0)
    assert all((scale == 1).all() for scale in scales)


def test_mk_unet_shuffles_by_place_in_the_group() -> None:
    channels = torch.arange(6.0).reshape(1, 6, 1, 1)
    assert shuffled(channels, 2).flatten().tolist() == [0, 3, 1, 4, 2, 5]


def test_mk_unet_reductions_and_dead_heads() -> None:
    """Hidden widths of the channel attentions, and what no output depends on, by width."""
    for name, hidden, dead in (
        ("mk_unet_t", [2, 1, 1, 1, 1], 31),
        ("mk_unet_s", [5, 3, 2, 2, 2], 59),
        ("mk_unet", [10, 6, 4, 4, 4], 115),
    ):
        network = registry.build(name)
        assert [attention.mlp[0].out_channels for attention in network.channel_attention] == hidden
        assert sum(p.numel() for key, p in network.named_parameters() if MK_UNET_T.is_dead(key)) == dead


@pytest.mark.parametrize("name", ["simple_unet", "simple_unet_one_class"])
def test_simple_unet_before_its_last_relu(name: str) -> None:
    """Parity where that ReLU hides nothing: with these weights it clips most of one channel."""
    network, reference = filled(name)
    seen = []
    network.head[1].register_forward_hook(lambda *call: seen.append(call[2]))
    with torch.no_grad():
        network(reference_vectors.images(reference))
    recorded = reference["before_last_relu"]
    stride = recorded["grid_stride"]
    expected = torch.tensor(recorded["grid"], dtype=torch.float64)
    ours = seen[0][0, :, ::stride, ::stride].reshape(expected.shape)
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-9)
    assert (expected < 0).any()


def test_one_class_of_simple_unet_calls_every_pixel_lesion() -> None:
    images = 255 * torch.rand(2, 3, 32, 32)
    for seed in range(3):
        torch.manual_seed(seed)
        network = SimpleUNet(classes=1).eval()
        with torch.no_grad():
            network.head[1].bias.fill_(-3)  # what says "background" as loudly as it can
            assert predicted(network(images)).all()
    assert "Every pixel is lesion" in registry.entry("simple_unet_one_class").deviations[0]


def test_tiny_unet_takes_even_and_odd_channels_and_chains_the_odd_ones() -> None:
    """A change of the odd half of the squeezed channels reaches all eight parts, one of the even half only the sum."""
    torch.manual_seed(0)
    block = TinyUNet().encoder[1].double().eval()
    part = block.squeeze[0].out_channels // 2
    x, seen = torch.randn(1, 64, 8, 8, dtype=torch.float64), []
    block.merge.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        block(x)
        for channel in (0, 1):
            kept = block.squeeze[1].bias[channel].clone()
            block.squeeze[1].bias[channel] += 1
            block(x)
            block.squeeze[1].bias[channel] = kept
    plain, even, odd = (maps.unflatten(1, (8, part)) for maps in seen)
    changed = [(other != plain).any(dim=(0, 2, 3, 4)).tolist() for other in (even, odd)]
    assert changed == [[True] + [False] * 7, [True] * 8]


def test_tiny_unet_reads_the_checkpoints_of_two_classes_and_of_one() -> None:
    theirs = reference_vectors.official_state(reference_vectors.load("tiny_unet"))
    torch.manual_seed(0)
    two = {"final_conv.weight": torch.randn(2, 64, 1, 1).double(), "final_conv.bias": torch.randn(2).double()}
    converted = TINY_UNET.convert(theirs | two)
    assert converted["head.weight"] is two["final_conv.weight"]
    assert not TINY_UNET.convert(theirs)["head.bias"][0].any()
    single = TinyUNet(classes=1).double().eval()
    single.load_state_dict(
        converted | {f"head.{kind}": two[f"final_conv.{kind}"].diff(dim=0) for kind in ("weight", "bias")}
    )
    double = TinyUNet().double().eval()
    double.load_state_dict(converted)
    images = torch.rand(1, 3, 32, 48, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(double(images), single(images), rtol=0, atol=1e-12)
    with pytest.raises(ValueError, match=r"final_conv\.weight has shape"):
        TINY_UNET.convert(theirs | {"final_conv.weight": torch.zeros(3, 64, 1, 1)})


def test_parameters_of_the_sheet() -> None:
    for network, parameters in ((SimpleUNet(width=32), 63_588), (TinyUNet(classes=1), 481_105)):
        assert sum(p.numel() for p in network.parameters()) == parameters


@pytest.mark.parametrize(("build", "divisor"), [(MKUNet, 32), (SimpleUNet, 16), (TinyUNet, 16)])
def test_other_sizes_and_classes_are_refused(build: type[nn.Module], divisor: int) -> None:
    with torch.device("meta"):
        with pytest.raises(ValueError, match=f"multiples of {divisor}, not 64 x 72"):
            build()(torch.zeros(1, 3, 64, 72))
        assert build()(torch.zeros(1, 3, 64, 96)).shape == (1, 1, 64, 96)
        if divisor == 16:
            with pytest.raises(ValueError, match="from 1 or 2 classes, not from 3"):
                build(classes=3)
