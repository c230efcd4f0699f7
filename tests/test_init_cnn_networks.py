"""Initial weights of UNeXt-S, MALUNet, EGE-UNet and LB-UNet, and facts of theirs that a rewrite would lose first."""

import re
from math import sqrt

import pytest
import torch
from torch import nn

from baselines import ege_unet, lb_unet, malunet, unext
from benchmarks.networks.official import EGE_UNET, LB_UNET, Official

NETWORKS = {
    "unext_s": unext.UNeXtS,
    "malunet": malunet.MALUNet,
    "ege_unet": ege_unet.EGEUNet,
    "lb_unet": lb_unet.LBUNet,
}
DRAWS = 16  # networks a standard deviation is taken over

SPREADS = [
    # blocks and embeddings: linear 0.02, convolution sqrt(2 / fan_out); elsewhere PyTorch: 1 / sqrt(3 fan_in)
    ("unext_s", "token_encoders.1.blocks.0.mlp.fc1.weight", 0.02),
    ("unext_s", "token_decoders.0.blocks.0.mlp.fc2.weight", 0.02),
    ("unext_s", "token_encoders.0.blocks.0.mlp.depthwise.weight", sqrt(2 / 9)),
    ("unext_s", "patch_embeddings.0.projection.weight", sqrt(2 / (9 * 64))),
    ("unext_s", "encoders.1.conv.weight", 1 / sqrt(3 * 9 * 8)),
    ("unext_s", "encoders.1.conv.bias", 1 / sqrt(3 * 9 * 8)),
    ("unext_s", "decoders.0.conv.weight", 1 / sqrt(3 * 9 * 128)),
    ("unext_s", "last_decoder.weight", 1 / sqrt(3 * 9 * 8)),
    ("unext_s", "final.weight", 1 / sqrt(3 * 8)),
    # both memories of an IEA as linear_1, whose kernel x outputs is C
    ("malunet", "encoders.3.0.linear_0.weight", sqrt(2 / 24)),
    ("malunet", "encoders.3.0.linear_1.weight", sqrt(2 / 24)),
    ("malunet", "bottleneck.0.linear_0.weight", sqrt(2 / 48)),
    ("malunet", "bridge.channel.local.weight", sqrt(2 / 3)),
    ("malunet", "bridge.channel.gates.4.weight", 0.02),
    ("malunet", "bridge.spatial.conv.weight", sqrt(2 / 49)),
    ("malunet", "encoders.0.weight", sqrt(2 / (9 * 8))),
    ("malunet", "decoders.0.0.dilated.2.weight", sqrt(2 / 9)),
    ("malunet", "decoders.0.0.gau.value.depthwise.weight", sqrt(2 / 25)),
    ("malunet", "decoders.0.0.gau.residual.weight", sqrt(2 / 48)),
    # one-dimensional convolutions ignore their groups; their biases stay PyTorch's
    ("ege_unet", "encoders.3.row_gate.0.weight", sqrt(2 / (3 * 6))),
    ("ege_unet", "encoders.3.row_gate.0.bias", 1 / sqrt(3 * 3)),
    ("ege_unet", "decoders.0.column_gate.2.weight", sqrt(2 / 16)),
    ("ege_unet", "decoders.0.column_gate.2.bias", 1 / sqrt(3 * 16)),
    ("ege_unet", "decoders.0.plane_gate.0.weight", sqrt(2 / 9)),
    ("ege_unet", "decoders.0.mix.2.weight", sqrt(2 / 48)),
    ("ege_unet", "bridges.0.groups.3.1.weight", sqrt(2 / 9)),
    ("ege_unet", "heads.0.weight", sqrt(2)),
    ("lb_unet", "encoders.2.1.depthwise.weight", sqrt(2 / 49)),
    ("lb_unet", "encoders.2.1.expand.weight", sqrt(2 / 96)),
    ("lb_unet", "downs.2.conv.weight", sqrt(2 / (4 * 24))),
    ("lb_unet", "decoders.0.gates.3.2.weight", sqrt(2 / 16)),
    ("lb_unet", "decoders.0.mix.0.weight", sqrt(2 / 9)),
    ("lb_unet", "predictions.2.boundary.weight", sqrt(2)),
]
RANDOM_BIASES = {
    "unext_s": r"(encoders|decoders)\.\d\.conv\.|last_decoder|final",
    "ege_unet": r"(row|column)_gate",
}


@pytest.fixture(scope="module")
def drawn() -> dict[str, list[dict[str, torch.Tensor]]]:
    torch.manual_seed(0)
    return {name: [dict(build().named_parameters()) for _ in range(DRAWS)] for name, build in NETWORKS.items()}


@pytest.mark.parametrize(("name", "key", "spread"), SPREADS)
def test_spread_of_initial_weights(drawn, name: str, key: str, spread: float) -> None:
    values = torch.cat([network[key].detach().flatten() for network in drawn[name]])
    margin = 5 / sqrt(2 * values.numel())  # five standard errors of a normal's standard deviation
    assert values.std().item() == pytest.approx(spread, rel=margin)
    assert abs(values.mean().item()) < 5 * spread / sqrt(values.numel())


@pytest.mark.parametrize("name", NETWORKS)
def test_vectors_start_at_one_and_zero(drawn, name: str) -> None:
    for key, value in drawn[name][0].items():
        if value.dim() == 1 and not (name in RANDOM_BIASES and re.search(RANDOM_BIASES[name], key)):
            assert (value == (1 if key.endswith("weight") else 0)).all(), key


def test_learned_maps_start_at_one(drawn) -> None:
    maps = [
        *(value for key, value in drawn["ege_unet"][0].items() if key.endswith(("plane", "rows", "columns"))),
        *(value for key, value in drawn["lb_unet"][0].items() if ".spaces." in key),
    ]
    assert sum(value.numel() for value in maps) == 4_960 + 15_872
    assert all((value == 1).all() for value in maps)


def test_memories_of_malunet_start_tied_and_are_separate() -> None:
    attentions = [m for m in malunet.MALUNet().modules() if isinstance(m, malunet.InvertedExternalAttention)]
    assert len(attentions) == 6
    for attention in attentions:
        first, second = attention.linear_0.weight, attention.linear_1.weight
        assert torch.equal(first, second.transpose(0, 1))
        assert first.untyped_storage().data_ptr() != second.untyped_storage().data_ptr()


@pytest.mark.parametrize("axis", [1, 2])
def test_shift_of_unext_moves_groups_and_fills_with_zeros(axis: int) -> None:
    torch.manual_seed(0)
    x = torch.rand(1, 6, 7, 64)  # (B, H, W, C)
    moved = unext.shift(x, axis)
    for k, channels in enumerate([slice(0, 13), slice(13, 26), slice(26, 39), slice(39, 52), slice(52, 64)]):
        expected = torch.zeros_like(x[..., channels])
        length, step = x.shape[axis], k - 2
        source = x[..., channels].narrow(axis, max(0, -step), length - abs(step))
        expected.narrow(axis, max(0, step), length - abs(step)).copy_(source)
        assert torch.equal(moved[..., channels], expected), k


@pytest.mark.parametrize(("name", "theirs", "extra"), [("ege_unet", EGE_UNET, 5), ("lb_unet", LB_UNET, 8)])
def test_training_outputs_follow_the_official_order(name: str, theirs: Official, extra: int) -> None:
    torch.manual_seed(0)
    network, images = NETWORKS[name]().eval(), torch.rand(1, 3, 64, 96)
    official = theirs.outputs(network, images)
    logits = network(images)
    network.training = True  # of the outermost module alone: batch norms keep their stored statistics
    main, regions, *boundaries = network(images)
    assert torch.equal(main, logits)
    ours = [*(region.sigmoid() for region in regions), *(b for group in boundaries for b in group), main.sigmoid()]
    assert len(ours) == len(official) == extra + 1
    for mine, authors in zip(ours, official, strict=True):
        assert mine.shape == (1, 1, 64, 96)
        assert torch.equal(mine, authors)


@pytest.mark.parametrize("name", NETWORKS)
def test_other_sizes_are_refused(name: str) -> None:
    network: nn.Module = NETWORKS[name]().eval()
    with pytest.raises(ValueError, match="multiples of 32, not 64 x 80"):
        network(torch.rand(1, 3, 64, 80))
