"""How SCR-Net, C2SDG and ASwin U-Net start, and the facts of theirs that a refactor could lose."""

import math
from collections.abc import Iterator
from itertools import chain
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from baselines.aswin_unet import ASwinUNet, CrossContextual, SwinStage
from baselines.c2sdg import C2SDG
from baselines.drop_path import DropPath
from baselines.scr_net import SCM, SCRNet
from benchmarks.networks.official import ASWIN_UNET, SCR_NET


def count(network: nn.Module, prefixes: tuple[str, ...] = ("",)) -> int:
    return sum(p.numel() for name, p in network.named_parameters() if name.startswith(prefixes))


def close_to(weight: Tensor, deviation: float) -> bool:
    """Whether the spread fits `deviation` to five standard errors of a sample of this size."""
    tolerance = 5 * deviation / math.sqrt(2 * weight.numel())
    return abs(weight.std().item() - deviation) < tolerance and abs(weight.mean().item()) < math.sqrt(2) * tolerance


def convolutions(*parts: nn.Module) -> Iterator[tuple[Tensor, float]]:
    """Weight of each (transposed) convolution and the spread that PyTorch's default gives it."""
    for part in parts:
        for module in part.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                yield module.weight, 1 / math.sqrt(3 * module.weight[0].numel())


def small_c2sdg(**options: Any) -> C2SDG:
    return C2SDG(widths=(8, 8, 8, 8), depths=(1, 1, 1, 1), decoder_width=8, **options)


@pytest.fixture(scope="module")
def scr_net() -> SCRNet:
    torch.manual_seed(0)
    return SCRNet()


@pytest.fixture(scope="module")
def c2sdg_net() -> C2SDG:
    torch.manual_seed(0)
    return C2SDG()


@pytest.fixture(scope="module")
def aswin() -> ASwinUNet:
    torch.manual_seed(0)
    return ASwinUNet()


def test_scr_net_starts_from_the_defaults(scr_net: SCRNet) -> None:
    assert all(close_to(weight, deviation) for weight, deviation in convolutions(scr_net))
    assert (count(scr_net), count(scr_net, SCR_NET.dead)) == (811_788, 10_864)


def test_scr_net_keeps_the_warp_that_is_not_the_identity() -> None:
    scm = SCM(4)
    nn.init.zeros_(scm.flow.weight)
    warped = scm(torch.zeros(1, 4, 8, 12), torch.ones(1, 4, 4, 6))[0, 0]
    torch.testing.assert_close(warped[0, 0], torch.tensor(0.25))
    torch.testing.assert_close(warped[0, 1:-1], torch.full((10,), 0.5))
    torch.testing.assert_close(warped[1:-1, 1:-1], torch.ones(6, 10))


def test_scr_net_flow_moves_half_a_pixel_a_unit() -> None:
    scm = SCM(4)
    nn.init.zeros_(scm.flow.weight)
    ramp = torch.arange(8.0).expand(1, 4, 8, 8)
    still = scm(ramp, ramp)
    with torch.no_grad():
        scm.project_low.weight.copy_(torch.eye(4)[..., None, None])
        scm.flow.weight[0, 4, 1, 1] = 1  # flow along x = channel 0 of the finer map
    moved = scm(torch.ones(1, 4, 8, 8), ramp)
    torch.testing.assert_close((moved - still)[..., 1:-2, 2:-2], torch.full((1, 4, 5, 4), 0.5))


def test_c2sdg_starts_as_the_sheet_says(c2sdg_net: C2SDG) -> None:
    encoder = [weight for weight, _ in convolutions(c2sdg_net.stem, c2sdg_net.encoder)]
    assert len(encoder) == 36  # stem, 16 blocks of two, three shortcuts
    assert all(close_to(weight, math.sqrt(2 / (weight.shape[0] * weight[0, 0].numel()))) for weight in encoder)
    assert all(close_to(weight, deviation) for weight, deviation in convolutions(c2sdg_net.decoder, c2sdg_net.head))
    assert close_to(c2sdg_net.channel_prompt, 1)
    assert count(c2sdg_net) == 22_009_793


def test_c2sdg_gates_share_each_channel(c2sdg_net: C2SDG) -> None:
    content, style = c2sdg_net.gates()
    torch.testing.assert_close(content + style, torch.ones(64, 1, 1))
    first, second = c2sdg_net.channel_prompt
    torch.testing.assert_close(content, torch.sigmoid(10 * (first - second)))


def test_c2sdg_owns_the_projector_in_training_only() -> None:
    with torch.device("meta"):
        network = C2SDG(projector_size=256)
    assert count(network, ("projector.",)) == 33_560_088
    small = small_c2sdg(projector_size=64, embedding=16)
    logits, content, style = small(torch.rand(2, 3, 64, 64))
    assert (logits.shape, content.shape, style.shape) == ((2, 1, 64, 64), (2, 16), (2, 16))
    with pytest.raises(ValueError, match="built for 64 px, not 32 x 32"):
        small(torch.rand(2, 3, 32, 32))
    assert small.eval()(torch.rand(2, 3, 32, 32)).shape == (2, 1, 32, 32)


def test_aswin_starts_as_the_sheet_says(aswin: ASwinUNet) -> None:
    linear = [module for module in aswin.modules() if isinstance(module, nn.Linear)]
    assert all(close_to(module.weight, 0.02) for module in linear)
    assert not any(module.bias.any() for module in linear if module.bias is not None)
    tables = [parameter for name, parameter in aswin.named_parameters() if name.endswith("bias_table")]
    assert [len(tables), *{len(table) for table in tables}] == [22, 225]
    assert all(close_to(table, 0.02) for table in tables)
    assert all(close_to(weight, deviation) for weight, deviation in convolutions(aswin))
    assert (count(aswin), count(aswin, ASWIN_UNET.dead)) == (46_913_892, 7_968)


def test_aswin_drop_path_rises_and_the_decoder_mirrors_it(aswin: ASwinUNet) -> None:
    def rates(stage: nn.Module) -> list[float]:
        return [module.rate for module in stage.modules() if isinstance(module, DropPath)]

    encoder = [rates(stage) for stage in aswin.encoder.stages]
    assert list(chain(*encoder)) == pytest.approx([0.1 * block / 11 for block in range(12)], abs=1e-7)
    assert [rates(stage) for stage in aswin.decoder] == [encoder[2], encoder[1], encoder[0]]


def test_aswin_cross_contextual_attention_touches_one_token() -> None:
    torch.manual_seed(0)
    decoded, skip = torch.rand(2, 1, 16, 8)
    new_decoded, new_skip = CrossContextual(8, depth=2, heads=2, head_width=4)(decoded, skip)
    for new, old in (new_decoded, decoded), (new_skip, skip):
        assert torch.equal(new[:, 1:], old[:, 1:])
        assert not torch.allclose(new[:, 0], old[:, 0])


def test_aswin_shifts_every_second_block_and_masks_what_the_shift_joined() -> None:
    stage = SwinStage(8, heads=2, window=8, drop_paths=(0, 0)).double()
    tokens = torch.rand(1, 32 * 32, 8, dtype=torch.float64)
    changed = tokens.clone()
    changed[0, 0] = torch.rand(8)
    reached = (stage(tokens, (32, 32)) - stage(changed, (32, 32))).abs().amax(-1).reshape(32, 32) > 1e-12
    expected = torch.zeros(32, 32, dtype=torch.bool)
    expected[:12, :12] = True  # the corner's window, 0 to 7, then the shifted ones up to 11; not the opposite edges
    assert torch.equal(reached, expected)


@pytest.mark.parametrize("size", [(32, 32), (64, 128)])
def test_aswin_serves_grids_smaller_than_its_window(aswin: ASwinUNet, size: tuple[int, int]) -> None:
    with torch.no_grad():
        assert aswin.eval()(torch.rand(1, 3, *size)).shape == (1, 1, *size)


def test_wrong_sizes_are_refused_with_the_legal_ones(scr_net: SCRNet, c2sdg_net: C2SDG, aswin: ASwinUNet) -> None:
    with pytest.raises(ValueError, match="multiples of 8, at least 16"):
        scr_net(torch.rand(1, 3, 100, 96))
    with pytest.raises(ValueError, match="multiples of 32"):
        c2sdg_net(torch.rand(1, 3, 100, 96))
    with pytest.raises(ValueError, match="32, 64, 128, 256, 512, 768, 1024"):
        aswin(torch.rand(1, 3, 192, 192))
