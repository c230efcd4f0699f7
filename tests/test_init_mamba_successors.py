"""Initial weights of UltraLBM-UNet and MambaLiteUNet against their fact sheet, and facts that a rewrite would lose."""

import math
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.mamba import Mamba
from baselines.mambalite_unet import CrossGate, MambaFusion, MambaLiteUNet, SelfAttention, standardised
from baselines.ultralbm_unet import GlobalBlock, LocalBlock, UltraLBMUNet
from benchmarks.measuring.thop_rules import thop_counting
from benchmarks.networks import registry
from benchmarks.networks.official import MAMBALITE_UNET, ULTRALBM_UNET
from tests import reference_vectors
from tests.test_init_mamba_networks import STATES, UNIFORM, build, modules, relative_spread

STUDENT = partial(UltraLBMUNet, channels=(4, 8, 12, 16, 24, 32))


def fan_out(conv: nn.Module) -> float:
    """Standard deviation for a fan-out that ignores groups."""
    return math.sqrt(2 / (math.prod(conv.kernel_size) * conv.out_channels))


def exactly_one_and_zero(network: nn.Module) -> bool:
    norms = modules(network, nn.LayerNorm | nn.GroupNorm | nn.BatchNorm2d)
    return bool(norms) and all((norm.weight == 1).all() and not norm.bias.any() for norm in norms)


def assert_mamba_starts_without_step_biases(network: nn.Module, count: int) -> None:
    mambas = modules(network, Mamba)
    assert len(mambas) == count
    assert relative_spread((mamba.dt_proj.weight, 0.02) for mamba in mambas) == pytest.approx(1, rel=0.2)
    for mamba in mambas:
        assert not mamba.dt_proj.bias.any()
        assert torch.equal(mamba.A_log, STATES.expand_as(mamba.A_log))
        assert (mamba.D == 1).all()


def test_ultralbm_starts_as_the_sheet_says() -> None:
    network = build(UltraLBMUNet)
    linears, conv1ds, conv2ds = (modules(network, kind) for kind in (nn.Linear, nn.Conv1d, nn.Conv2d))
    assert_mamba_starts_without_step_biases(network, 4)
    assert relative_spread((layer.weight, 0.02) for layer in linears) == pytest.approx(1, rel=0.03)
    assert not any(layer.bias.any() for layer in [*linears, *conv2ds] if layer.bias is not None)
    assert relative_spread((conv.weight, fan_out(conv)) for conv in conv1ds) == pytest.approx(1, rel=0.1)
    assert relative_spread((conv.bias, 0.5 * UNIFORM) for conv in conv1ds) == pytest.approx(1, rel=0.15)
    per_group = [(conv.weight, fan_out(conv) * math.sqrt(conv.groups)) for conv in conv2ds]
    assert relative_spread(per_group) == pytest.approx(1, rel=0.03)
    scales = [block.skip_scale for block in modules(network, LocalBlock | GlobalBlock)]
    assert len(scales) == 6
    assert all(scale.item() == 1 for scale in [*scales, network.skip_scale])
    assert network.skip_scale.shape == ()
    assert exactly_one_and_zero(network)


def test_mambalite_starts_as_the_sheet_says() -> None:
    network = build(MambaLiteUNet)
    linears, convs = modules(network, nn.Linear), modules(network, nn.Conv1d | nn.Conv2d)
    attentions = modules(network, SelfAttention)
    assert_mamba_starts_without_step_biases(network, 56)
    assert relative_spread((layer.weight, 0.02) for layer in linears) == pytest.approx(1, rel=0.01)
    assert not any(layer.bias.any() for layer in [*linears, *convs] if layer.bias is not None)
    assert relative_spread((conv.weight, fan_out(conv)) for conv in convs) == pytest.approx(1, rel=0.01)
    assert relative_spread((conv.weight, fan_out(conv)) for conv in modules(network, nn.Conv1d)) == pytest.approx(
        1, rel=0.02
    )
    xavier = [(each.in_proj_weight, math.sqrt(2 / sum(each.in_proj_weight.shape))) for each in attentions]
    assert relative_spread(xavier) == pytest.approx(1, rel=0.01)
    largest = max(weight.abs().max().item() / deviation for weight, deviation in xavier)
    assert math.sqrt(3) - 0.01 < largest < math.sqrt(3) + 1e-6, "uniform, not normal"
    assert not any(each.in_proj_bias.any() for each in attentions)
    assert all(fusion.skip_scale.item() == 1 for fusion in modules(network, MambaFusion))
    assert exactly_one_and_zero(network)


def test_a_global_block_turns_the_channels_round_and_not_the_tokens() -> None:
    torch.manual_seed(0)
    block, x = GlobalBlock(16, 12, 5).double().eval(), torch.randn(2, 16, 4, 6, dtype=torch.float64)
    n1, n2, n3, n4 = block.norm(x.flatten(2).transpose(1, 2)).chunk(4, dim=-1)
    s = block.skip_scale
    scanned = [block.mamba(n) + block.mamba(n.flip(-1)).flip(-1) + s * n for n in (n1, n2)]
    pixels = n3.transpose(1, 2).reshape(2, 4, 4, 6)
    local = block.conv(pixels).flatten(2).transpose(1, 2) + s * n3
    merged = torch.cat([*scanned, local, n4 + s * n4], dim=-1)
    expected = block.proj(block.norm(merged)).transpose(1, 2).reshape(2, 12, 4, 6)
    torch.testing.assert_close(block(x), expected, rtol=0, atol=1e-12)


def test_attention_is_that_of_torch() -> None:
    """Its module of that name, with the same weights under the same keys; alone and for two networks at once."""
    torch.manual_seed(0)
    ours, theirs = SelfAttention(48).double(), nn.MultiheadAttention(48, 8, batch_first=True).double()
    theirs.load_state_dict(ours.state_dict())
    tokens = torch.randn(2, 3, 10, 48, dtype=torch.float64)
    expected = torch.stack([theirs(each, each, each)[0] for each in tokens])
    torch.testing.assert_close(torch.stack([ours(each) for each in tokens]), expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(torch.func.vmap(ours)(tokens), expected, rtol=0, atol=1e-12)


def test_standardising_is_instance_norm() -> None:
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(standardised(x), F.instance_norm(x), rtol=0, atol=1e-12)
    assert not standardised(x[..., :1, :1]).any(), "of one pixel nothing is left"


def test_each_side_of_a_gate_is_weighed_by_the_other() -> None:
    torch.manual_seed(0)
    gate, one, other = CrossGate(4, 6).double().eval(), *torch.randn(2, 2, 4, 3, 5, dtype=torch.float64)

    def after(mamba: nn.Module, x: Tensor) -> Tensor:
        return mamba(x.flatten(2).transpose(1, 2)).transpose(1, 2).reshape(x.shape)

    a, b = after(gate.mamba_decoder, one), after(gate.mamba_skip, other)
    expected = gate.project(b * gate.gate_decoder(a).sigmoid() + a * gate.gate_skip(b).sigmoid())
    torch.testing.assert_close(gate(one, other), expected, rtol=0, atol=1e-12)


def test_dead_parameters_are_the_twelve_of_the_sheet() -> None:
    with torch.device("meta"):
        named = dict(MambaLiteUNet().named_parameters())
    dead = {name: parameter.numel() for name, parameter in named.items() if MAMBALITE_UNET.is_dead(name)}
    assert (len(dead), sum(dead.values())) == (12, 992)
    assert all(".unused_" in name for name in dead)
    assert not ULTRALBM_UNET.dead


def test_biases_before_a_batch_norm_have_no_say() -> None:
    """72 of them, 1,324 numbers: moved by any amount, they change nothing in training mode."""
    network = build(MambaLiteUNet).double().train()
    pairs = [list(block) for block in modules(network.gates, nn.Sequential)]
    biased = [conv.bias for block in pairs for conv, norm in pairwise(block) if is_norm(norm)]
    images = torch.rand(2, 3, 64, 64, dtype=torch.float64)
    with torch.no_grad():
        before = network(images)
        for bias in biased:
            bias += torch.randn(bias.shape, dtype=torch.float64)
        torch.testing.assert_close(network(images), before, rtol=0, atol=1e-9)
    assert (len(biased), sum(bias.numel() for bias in biased)) == (72, 1_324)


def is_norm(module: nn.Module) -> bool:
    return isinstance(module, nn.BatchNorm2d)


def test_a_checkpoint_with_the_keys_of_the_released_ones_is_read(tmp_path: Path) -> None:
    """A plain state dict in float32, as the authors' are: 1,226 keys, none more, none fewer, each of its shape."""
    reference = reference_vectors.load("mambalite_unet")
    state = {key: value.float() for key, value in reference_vectors.official_state(reference).items()}
    state |= {key: torch.tensor(8_007) for key in state if key.endswith("num_batches_tracked")}
    torch.save(state, tmp_path / "best-epoch51-loss0.1905.pth")
    network = registry.load_official("mambalite_unet", tmp_path / "best-epoch51-loss0.1905.pth")
    ours = network.state_dict()
    assert (len(state), len(ours)) == (1_226, 1_226)
    assert [key for key, _ in reference["state"]] == list(state)
    assert all(torch.equal(ours[MAMBALITE_UNET.our_key(key)], value) for key, value in state.items())
    for changed in (state | {"encoder1.1.weight": torch.zeros(1)}, dict(list(state.items())[1:])):
        with pytest.raises(ValueError, match="not an official state dict of MambaLiteUNet"):
            registry.convert_official("mambalite_unet", changed)


@pytest.mark.parametrize(
    ("network", "hidden", "parameters", "millions"),
    [
        (UltraLBMUNet, (), 32_015, 61.31),
        (UltraLBMUNet, (Mamba,), 24_527, 58.68),
        (UltraLBMUNet, ULTRALBM_UNET.hidden_from_thop, 29_391, 60.45),
        (STUDENT, (), 9_877, 19.51),
        (STUDENT, (Mamba,), 7_045, 18.50),
        (STUDENT, ULTRALBM_UNET.hidden_from_thop, 9_173, 19.28),
        (MambaLiteUNet, (SelfAttention,), 692_189, 399.57),
        (MambaLiteUNet, MAMBALITE_UNET.hidden_from_thop, 494_173, 326.21),
        (MambaLiteUNet, (".in_proj", ".dt_proj", SelfAttention), 608_669, 375.42),
    ],
)
def test_thop_by_every_convention_of_the_sheet(network, hidden, parameters, millions, monkeypatch) -> None:
    """Mamba seen, hidden by a fused kernel, or without the two projections that are bare products on its slow path.

    Of parameters the sheet has the slow path's for MambaLiteUNet alone; a Mamba of d channels and rank 1 hides there
    4 d^2 + 4 d.
    """
    monkeypatch.setattr("baselines.mamba.selective_scan", lambda u, *_: u)  # thop sees nothing of it
    with torch.device("meta"):
        built = network().eval()
        with thop_counting(built, hidden) as thop, torch.no_grad():
            built(torch.empty(1, 3, 256, 256))
    macs, seen = thop()
    assert round(macs / 1e6, 2) == millions
    assert seen == parameters


def test_half_widths_are_the_student_by_its_count() -> None:
    with torch.device("meta"):
        assert sum(parameter.numel() for parameter in STUDENT().parameters()) == 10_956


@pytest.mark.parametrize(
    ("network", "size", "said"),
    [
        (UltraLBMUNet, (48, 64), "multiples of 32, not"),
        (MambaLiteUNet, (64, 96), "square"),
        (MambaLiteUNet, (48, 48), "32"),
    ],
)
def test_other_sizes_are_refused(network: type[nn.Module], size: tuple[int, int], said: str) -> None:
    with torch.device("meta"), pytest.raises(ValueError, match=said):
        network()(torch.zeros(1, 3, *size))
