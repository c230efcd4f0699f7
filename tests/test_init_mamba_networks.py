"""Initial weights of ULVM-UNet, LightM-UNet and VM-UNet against their fact sheets, and a few facts worth guarding."""

import hashlib
import math
from collections.abc import Iterable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines import lightm_unet, ulvm_unet
from baselines.drop_path import DropPath
from baselines.lightm_unet import LightMUNet
from baselines.ulvm_unet import PVMLayer, ULVMUNet
from baselines.vm_unet import SS2D, VMUNet
from benchmarks.networks.official import LIGHTM_UNET_REVISED
from tests import reference_vectors

SMALL = (24, 48, 96, 192)  # widths of a VM-UNet that is quick to build
UNIFORM = 1 / math.sqrt(3)  # standard deviation of U(-1, 1)
STATES = torch.arange(1.0, 17).log()


def build(make: type[nn.Module], **architecture: object) -> nn.Module:
    torch.manual_seed(0)
    return make(**architecture)


def modules(network: nn.Module, kind: type) -> list:
    return [module for module in network.modules() if isinstance(module, kind)]


def relative_spread(pairs: Iterable[tuple[Tensor, float]]) -> float:
    """Standard deviation of all (tensor, expected standard deviation) pairs together, each in units of its own."""
    return torch.cat([tensor.detach().flatten() / expected for tensor, expected in pairs]).std().item()


def log_uniform_steps(bias: Tensor) -> None:
    """The step sizes softplus(bias) are log-uniform in 0.001 to 0.1."""
    exponents = F.softplus(bias.detach().double()).log10()
    assert exponents.min() > -3.0001
    assert exponents.max() < -0.9999
    assert exponents.mean().item() == pytest.approx(-2, abs=0.05)
    assert exponents.std().item() == pytest.approx(UNIFORM, rel=0.05)


def test_ulvm_initialisation_reaches_inside_mamba() -> None:
    network = build(ULVMUNet)
    linears, conv1ds, conv2ds = (modules(network, kind) for kind in (nn.Linear, nn.Conv1d, nn.Conv2d))
    mambas = modules(network, ulvm_unet.Mamba)
    assert len(mambas) == 6
    assert relative_spread((layer.weight, 0.02) for layer in linears) == pytest.approx(1, rel=0.03)
    assert relative_spread((mamba.dt_proj.weight, 0.02) for mamba in mambas) == pytest.approx(1, rel=0.2)
    assert not any(layer.bias.any() for layer in [*linears, *conv2ds] if layer.bias is not None)
    wide = [(conv.weight, math.sqrt(2 / (conv.kernel_size[0] * conv.out_channels))) for conv in conv1ds]
    assert relative_spread(wide) == pytest.approx(1, rel=0.1)
    wide = [(conv.weight, math.sqrt(2 / (math.prod(conv.kernel_size) * conv.out_channels))) for conv in conv2ds]
    assert relative_spread(wide) == pytest.approx(1, rel=0.05)
    assert relative_spread((mamba.conv1d.bias, 0.5 * UNIFORM) for mamba in mambas) == pytest.approx(1, rel=0.15)
    for mamba in mambas:
        assert torch.equal(mamba.A_log, STATES.expand_as(mamba.A_log))
        assert torch.equal(mamba.D, torch.ones_like(mamba.D))


@pytest.mark.parametrize("version", ["first", "revised"])
def test_lightm_keeps_the_defaults_of_mamba_and_pytorch(version: str) -> None:
    network = build(LightMUNet, version=version)
    mambas = modules(network, lightm_unet.Mamba)
    rates = {id(mamba.dt_proj): mamba.dt_proj.in_features**-0.5 * UNIFORM for mamba in mambas}
    assert len(mambas) == 21
    assert relative_spread((mamba.dt_proj.weight, rates[id(mamba.dt_proj)]) for mamba in mambas) == pytest.approx(
        1, rel=0.05
    )
    log_uniform_steps(torch.cat([mamba.dt_proj.bias for mamba in mambas]))
    linears = [layer for layer in modules(network, nn.Linear) if id(layer) not in rates]
    default = [(layer.weight, layer.in_features**-0.5 * UNIFORM) for layer in linears]
    assert relative_spread(default) == pytest.approx(1, rel=0.03)
    default = [(conv.weight, conv.weight[0].numel() ** -0.5 * UNIFORM) for conv in modules(network, nn.Conv2d)]
    assert relative_spread(default) == pytest.approx(1, rel=0.05)
    for mamba in mambas:
        assert torch.equal(mamba.A_log, STATES.expand_as(mamba.A_log))
        assert torch.equal(mamba.D, torch.ones_like(mamba.D))


def test_vm_unet_initialisation() -> None:
    network = build(VMUNet, dims=SMALL)
    scans = modules(network, SS2D)
    assert len(scans) == 15
    assert relative_spread((layer.weight, 0.02) for layer in modules(network, nn.Linear)) == pytest.approx(1, rel=0.02)
    default = [(conv.weight, conv.weight[0].numel() ** -0.5 * UNIFORM) for conv in modules(network, nn.Conv2d)]
    assert relative_spread(default) == pytest.approx(1, rel=0.05)
    default = [(scan.x_proj_weight, scan.out_norm.weight.numel() ** -0.5 * UNIFORM) for scan in scans]
    assert relative_spread(default) == pytest.approx(1, rel=0.02)
    rates = [(scan.dt_projs_weight, scan.dt_projs_weight.shape[-1] ** -0.5 * UNIFORM) for scan in scans]
    assert relative_spread(rates) == pytest.approx(1, rel=0.02)
    log_uniform_steps(torch.cat([scan.dt_projs_bias.flatten() for scan in scans]))
    for scan in scans:
        assert torch.equal(scan.A_logs, STATES.expand_as(scan.A_logs))
        assert torch.equal(scan.Ds, torch.ones_like(scan.Ds))


def test_vm_unet_drops_most_at_the_centre() -> None:
    rates = [path.rate for path in modules(VMUNet(dims=SMALL), DropPath)]
    encoder = torch.linspace(0, 0.2, 8).tolist()
    decoder = torch.linspace(0, 0.2, 7).flip(0).tolist()
    assert rates == pytest.approx(encoder + decoder, abs=1e-7)


@pytest.mark.parametrize(
    ("network", "architecture", "parameters"),
    [
        (ULVMUNet, {}, 49_457),
        (LightMUNet, {}, 403_302),
        (LightMUNet, {"filters": 16}, 1_433_654),
        (LightMUNet, {"filters": 24}, 3_091_366),
        (LightMUNet, {"version": "revised"}, 380_812),
        (LightMUNet, {"version": "revised", "filters": 32}, 5_011_732),
        (VMUNet, {}, 27_427_561),
        (VMUNet, {"depths": (2, 2, 9, 2), "decoder_depths": (2, 9, 2, 2)}, 44_273_833),
    ],
)
def test_parameters_of_the_sheet(network: type[nn.Module], architecture: dict, parameters: int) -> None:
    with torch.device("meta"):
        assert sum(parameter.numel() for parameter in network(**architecture).parameters()) == parameters


def test_revised_lightm_takes_the_official_keys() -> None:
    """There are no reference vectors of the revised file, only the fingerprint of its keys and shapes."""
    kept = [(k, s) for k, s in reference_vectors.load("lightm_unet")["state"] if not k.startswith(("convInit", "up_l"))]
    official = {key: tuple(shape) for key, shape in kept if not key.startswith("conv_final.2")}
    official |= {"convInit.0.conv.weight": (3, 1, 3, 3), "convInit.1.conv.weight": (8, 3, 1, 1)}
    official |= {"conv_final.2.0.conv.weight": (8, 1, 1, 1), "conv_final.2.0.conv.bias": (8,)}
    official |= {"conv_final.2.1.conv.weight": (1, 8, 1, 1), "conv_final.2.1.conv.bias": (1,)}
    for level, c in enumerate((32, 16, 8)):
        block = f"up_layers.{level}.0."
        official |= {f"{block}{norm}.{kind}": (c,) for norm in ("norm1", "norm2") for kind in ("weight", "bias")}
        official |= {f"{block}skip_scale": (1,), f"{block}conv.0.conv.weight": (c, 1, 3, 3)}
        official[f"{block}conv.1.conv.weight"] = (c, c, 1, 1)
    lines = "\n".join(sorted(f"{key} {shape}" for key, shape in official.items()))
    assert hashlib.sha256(lines.encode()).hexdigest().startswith("387ccd5364bd1410")
    state = {key: torch.zeros(shape) for key, shape in official.items()}
    LightMUNet(version="revised").load_state_dict(LIGHTM_UNET_REVISED.convert(state))


def test_chunks_of_a_pvm_layer_share_one_mamba() -> None:
    torch.manual_seed(0)
    layer, tokens = PVMLayer(24, 32).double(), torch.randn(2, 24, 4, 6, dtype=torch.float64)
    normed = layer.norm(tokens.flatten(2).transpose(1, 2))
    parts = [layer.mamba(part) + layer.skip_scale * part for part in normed.chunk(4, dim=-1)]
    expected = layer.proj(layer.norm(torch.cat(parts, dim=-1))).transpose(1, 2).reshape(2, 32, 4, 6)
    torch.testing.assert_close(layer(tokens), expected, rtol=0, atol=1e-12)


def test_scan_directions_cover_the_plane() -> None:
    """Each direction alone passes a point on to what follows it in its own order, and to nothing before it."""
    torch.manual_seed(0)
    x = torch.randn(1, 3, 4, 16, dtype=torch.float64)  # (B, H, W, D)
    row, column = 1, 2
    rank = torch.arange(12).reshape(3, 4)  # row-major order
    by_column = torch.arange(12).reshape(4, 3).T
    after = [rank >= rank[row, column], by_column >= by_column[row, column]]
    after += [rank <= rank[row, column], by_column <= by_column[row, column]]
    for direction, reached in enumerate(after):
        scan = SS2D(channels=8).double()
        with torch.no_grad():
            others = torch.arange(4) != direction
            scan.x_proj_weight[others] = 0
            scan.Ds.unflatten(0, (4, -1))[others] = 0
            moved = x.clone()
            moved[0, row, column] += 1
            changed = ((scan.scan(moved) - scan.scan(x)).abs() > 1e-9).any(-1)[0]
        assert torch.equal(changed, reached), direction


@pytest.mark.parametrize(
    ("network", "size", "divisor"), [(ULVMUNet, (48, 64), 32), (LightMUNet, (64, 36), 8), (VMUNet, (80, 64), 32)]
)
def test_other_sizes_are_refused(network: type[nn.Module], size: tuple[int, int], divisor: int) -> None:
    with torch.device("meta"), pytest.raises(ValueError, match=f"multiples of {divisor}, not"):
        network()(torch.zeros(1, 3, *size))


def test_unknown_lightm_version_is_refused() -> None:
    with pytest.raises(ValueError, match='"first" and "revised"'):
        LightMUNet(version="second")
