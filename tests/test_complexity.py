"""Counts of every registered network: against the fact sheets, against the installed thop, and by hand."""

import math
import warnings
from collections.abc import Iterator

import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from baselines.selective_scan import scan_flops, selective_scan
from benchmarks.measuring import complexity
from benchmarks.networks import registry
from benchmarks.networks.entry import Entry, OneOf
from results import complexity as stored_counts
from results import files
from results.errors import RequestError
from results.published import published_table

# name: (parameters, thop's parameters, thop's MACs: whole, or in millions at the printed digits), from the sheets.
TABLE_1 = {
    "unet": (7_765_985, 7_765_985, 13_745.783),
    "scr_net": (811_788, 800_924, 1_567.468),
    "aswin_unet": (46_913_892, 46_854_624, 14_180_961_696),
    "c2sdg": (22_009_793, 22_009_793 - 128, 7_972_192_256),  # the channel prompt is a bare tensor
    "unext_s": (253_561, 253_561, 103.834),
    "malunet": (177_943, 175_031, 82.973),
    "ege_unet": (53_374, 45_806, 72.096),
    "vm_unet": (27_427_561, 22_037_737, 4_111_859_712),
    "lightm_unet": (403_302, 70_193, 390_725_632),
    "lb_unet": (55_865, 38_489, 98.000),
    "ulvm_unet": (49_457, 37_623, 60_240_000),
    "aulunet_v1": (28_557, 28_557, 55.99),
    "aulunet_v2": (31_245, 31_245, 56.48),
    "aulunet_v3": (28_636, 28_636, 69.028),
}
BEYOND = {
    "lightm_unet_revised": (380_812, 47_700, 174.78),
    "aulunet_v1_pooled": (28_636, 28_636, 56.38),
    "aulunet_v2_pooled": (30_836, 30_836, 56.38),
    "aulunet_m4": (24_056, 24_056, 56.37),
    "aulunet_m5": (25_036, 25_036, 69.02),
    **dict.fromkeys(
        ("aulunet_d13", "aulunet_d24", "aulunet_d15", "aulunet_d17", "aulunet_d35"), (28_636, 28_636, 69.03)
    ),
    **dict.fromkeys(("aulunet_d123", "aulunet_d135", "aulunet_d157", "aulunet_d357"), (26_279, 26_279, 78.58)),
    "mk_unet_t": (27_384, 27_384, 66.78),
    "mk_unet_s": (93_050, 93_050, 132.33),
    "mk_unet": (315_566, 315_566, 327.54),
    "simple_unet": (16_308, 16_244, 210.55),
    "simple_unet_one_class": (16_298, 16_234, 209.76),
    "tiny_unet": (481_170, 481_170, 1_663.37),
    "ultralbm_unet": (34_166, 29_391, 60.45),
    "mambalite_unet": (910_627, 494_173, 326.21),
}
EXPECTED = TABLE_1 | BEYOND

# Convolutions and linear layers alone, in millions of MACs: true FLOPs are twice that where there is nothing else.
CONV_AND_LINEAR = {
    "unet": 12_071.21,
    "unext_s": 99.23,
    "malunet": 82.74,
    "ege_unet": 72.10,
    "lb_unet": 93.67,
    "scr_net": 1_542.92,
    "aulunet_v3": 57.56,
    "mk_unet_t": 49.65,
    "mk_unet_s": 104.39,
    "mk_unet": 278.05,
    "simple_unet": 191.20,
    "simple_unet_one_class": 190.68,
    "tiny_unet": 1_565.07,
}
PTFLOPS = {"mk_unet_t": 62.21, "mk_unet_s": 124.68, "mk_unet": 313.76}  # of modules alone, in millions

# fvcore on the authors' networks, in millions, and how many side outputs theirs upsample to 256 px in eval mode while
# ours do not (4 operations a pixel each).
FVCORE = {
    "unet": (12_103.19, 0),
    "unext_s": (105.13, 0),
    "malunet": (90.36, 0),
    "ege_unet": (80.52, 5),
    "lb_unet": (104.27, 8),
    "scr_net": (1_571.27, 0),
    "aulunet_v3": (68.50, 0),
    "aswin_unet": (14_662.10, 0),
    "c2sdg": (5_736.69, 0),
    "mk_unet_t": (59.69, 0),
    "mk_unet_s": (121.32, 0),
    "mk_unet": (308.71, 0),
    "simple_unet": (199.83, 0),
    "ultralbm_unet": (67.43, 0),
}


@pytest.fixture(scope="session")
def counted() -> pd.DataFrame:
    return complexity.table(registry.names()).set_index("network")


def printed(number: float, like: float) -> bool:
    """Whether a count is the expected one: all digits of an int, else the millions at the digits given (3 at most)."""
    if isinstance(like, int):
        return number == like
    digits = len(str(like).partition(".")[2])
    return round(number / 1e6, max(digits, 2)) == like


def test_every_row_of_table_1_has_an_expectation() -> None:
    assert set(published_table("table1")["model"]) == set(TABLE_1)


@pytest.mark.parametrize("name", EXPECTED)
def test_the_papers_counter_sees_what_the_sheet_says(name: str, counted: pd.DataFrame) -> None:
    row, (parameters, thop_parameters, thop_macs) = counted.loc[name], EXPECTED[name]
    assert (row.parameters, row.thop_parameters) == (parameters, thop_parameters)
    assert printed(row.thop_macs, thop_macs)


def test_every_registered_network_is_counted(counted: pd.DataFrame) -> None:
    numbers = counted[["parameters", "thop_macs", "fvcore_macs", "flops"]]
    assert list(counted.index) == registry.names()
    assert (numbers > 0).all(axis=None)
    assert (counted["thop_parameters"] <= counted["parameters"]).all()
    assert set(counted["input"]) == {"1x3x256x256"}


@pytest.mark.parametrize("name", CONV_AND_LINEAR)
def test_flops_are_two_a_multiply_accumulate(name: str, counted: pd.DataFrame) -> None:
    assert printed(counted.flops[name] / 2, CONV_AND_LINEAR[name])


@pytest.mark.parametrize("name", FVCORE)
def test_fvcore_agrees_with_the_sheet(name: str, counted: pd.DataFrame) -> None:
    millions, side_outputs = FVCORE[name]
    assert printed(counted.fvcore_macs[name] + side_outputs * 4 * 256 * 256, millions)


@pytest.mark.parametrize("name", PTFLOPS)
def test_ptflops_of_modules_agrees_with_the_sheet(name: str, counted: pd.DataFrame) -> None:
    assert printed(counted.ptflops_macs[name], PTFLOPS[name])


def test_flops_of_vm_unet_hold_its_scans(counted: pd.DataFrame) -> None:
    """5.288 G of multiply-accumulates and 2.96 G in scans by the sheet. Stages: (grid, width, blocks in all)."""
    stages = ((64, 96, 3), (32, 192, 4), (16, 384, 4), (8, 768, 4))
    scans = sum(blocks * scan_flops(1, 4, grid * grid, 2 * width, 16) for grid, width, blocks in stages)
    assert round(scans / 1e9, 2) == 2.96
    assert round((counted.flops["vm_unet"] - scans) / 2e9, 3) == 5.288


def test_fvcore_sees_an_instance_norm_of_mambalite_that_ours_writes_out(counted: pd.DataFrame) -> None:
    """Its fusion blocks, (grid, width); 4 operations a pixel and channel."""
    blocks = ((32, 48), (16, 64), (8, 96), (8, 128), (8, 96), (16, 64))
    written_out = 4 * sum(grid * grid * width for grid, width in blocks)
    assert printed(counted.fvcore_macs["mambalite_unet"] + written_out, 556.85)


def test_flops_of_mambalite_hold_its_scans_and_attentions(counted: pd.DataFrame) -> None:
    """The sheet's counter saw neither, 147.3 M and 146.8 M multiply-accumulates, only the other 393.86 M.

    A fusion block has four Mambas, a gate has eight; inner channels are half of the width. Attention: four projections,
    scores, and their product with the values.
    """
    fusions = ((32, 48), (16, 64), (8, 96), (8, 128), (8, 96), (16, 64))
    gates = ((8, 96), (16, 64), (32, 48), (64, 32))
    calls = [(grid * grid, width // 2, count) for blocks, count in ((fusions, 4), (gates, 8)) for grid, width in blocks]
    scans = sum(count * scan_flops(1, 1, tokens, inner, 16) for tokens, inner, count in calls)
    attention = sum(4 * grid**2 * width**2 + 2 * grid**4 * width for grid, width in fusions)
    assert round(scans / 1e6, 1) == 147.3
    assert printed((counted.flops["mambalite_unet"] - scans) / 2 - attention, 393.86)


# The Mamba calls of the two networks: tokens, inner channels, rank of the step sizes, how often. All have 16 states.
MAMBA_CALLS = {
    "lightm_unet": ((256**2, 16, 1, 3), (128**2, 32, 1, 5), (64**2, 64, 2, 5), (32**2, 128, 4, 8)),
    "ulvm_unet": ((4 * 32**2, 12, 1, 1), (4 * 16**2, 16, 1, 2), (4 * 8**2, 24, 1, 2), (4 * 8**2, 32, 1, 1)),
}


@pytest.mark.parametrize(
    ("name", "modules", "everything"), [("lightm_unet", 1_224.36, 2_415.0), ("ulvm_unet", 66.542, 81.5)]
)
def test_where_nothing_is_hidden_the_counter_sees_mamba(name: str, modules: float, everything: float) -> None:
    """The sheet's counts with all modules but the step sizes' projection, and with that and the scan added."""
    network = registry.build(name)
    seen = complexity.count(network, torch.zeros(1, 3, 256, 256))
    steps = sum(tokens * inner * rank * calls for tokens, inner, rank, calls in MAMBA_CALLS[name])
    scans = sum((9 * 16 + 1) * tokens * inner * calls for tokens, inner, _, calls in MAMBA_CALLS[name])
    assert printed(seen.thop_macs - steps, modules)
    assert (seen.thop_macs + scans) / 1e6 == pytest.approx(everything, rel=5e-4)
    assert scans < seen.flops - 2 * steps


class Zoo(nn.Module):
    """Every kind of module that has a rule, and some that thop does not see."""

    class Derived(nn.Conv2d):
        """A type that thop does not know."""

    def __init__(self) -> None:
        super().__init__()
        self.plain = nn.Sequential(nn.Conv2d(3, 8, (3, 5), padding=(1, 2), bias=False), nn.BatchNorm2d(8), nn.PReLU(8))
        self.again = nn.Conv2d(8, 8, 3, padding=1, groups=4)
        self.norms = nn.Sequential(nn.InstanceNorm2d(8), nn.BatchNorm2d(8, affine=False), nn.GroupNorm(4, 8))
        self.up = nn.Sequential(nn.ConvTranspose2d(8, 6, 2, stride=2, groups=2), nn.Upsample(scale_factor=2))
        self.grow = nn.Sequential(*(nn.Upsample(scale_factor=2, mode=mode) for mode in ("bilinear", "bicubic")))
        self.smooth = nn.UpsamplingBilinear2d(scale_factor=2)
        self.pools = nn.Sequential(nn.AvgPool2d(2), nn.AdaptiveAvgPool2d((7, 5)), self.Derived(6, 6, 1))
        self.tokens = nn.Sequential(nn.LayerNorm(35), nn.Linear(35, 12), nn.Softmax(dim=-1), nn.Conv1d(6, 2, 3))
        self.lonely = nn.Linear(5, 5)  # never called
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, images: Tensor) -> Tensor:
        x = self.norms(self.again(self.again(self.plain(images))))
        x = self.pools(self.smooth(self.grow(self.up(x))))
        return self.tokens(x.flatten(2)) * self.scale


def thop_says(network: nn.Module, images: Tensor) -> tuple[int, int]:
    """Parameters and MACs by the installed thop, whose own deprecation warnings say nothing about us."""
    thop = pytest.importorskip("thop", reason="thop, the paper's counter, is not installed", exc_type=ImportError)
    with warnings.catch_warnings(action="ignore"):
        macs, parameters = thop.profile(network, (images,), verbose=False)
    return int(parameters), int(macs)


def test_the_rules_are_those_of_thop() -> None:
    images = torch.rand(2, 3, 24, 16)
    seen = complexity.count(Zoo(), images)
    assert (seen.thop_parameters, seen.thop_macs) == thop_says(Zoo(), images)
    assert seen.thop_parameters < seen.parameters


@pytest.mark.parametrize("name", ["unet", "scr_net", "c2sdg", "malunet", "lb_unet", "vm_unet", "aulunet_v3"])
def test_thop_itself_gives_the_same_counts(name: str, counted: pd.DataFrame) -> None:
    network = registry.build(name).to("meta")
    row = counted.loc[name]
    assert (row.thop_parameters, row.thop_macs) == thop_says(network, torch.zeros(1, 3, 256, 256, device="meta"))


class Scanner(nn.Module):
    """A linear layer, then a scan over tokens (B, L, D) with N = 4 states."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, channels)

    def forward(self, tokens: Tensor) -> Tensor:
        u = self.linear(tokens).unsqueeze(1)  # (B, 1, L, D)
        a = -u.new_ones(1, u.shape[-1], 4)
        return selective_scan(u, u.exp(), a, u[..., :4], u[..., :4], u.new_ones(1, u.shape[-1]))


def test_a_scan_is_counted_once_and_only_as_flops() -> None:
    seen = complexity.count(Scanner(6), torch.rand(2, 10, 6))
    macs = 2 * 10 * 6 * 6
    assert (seen.thop_macs, seen.fvcore_macs) == (macs, macs)
    assert seen.flops == 2 * macs + 2 * 10 * (9 * 6 * 4 + 6)


class Refuser(Scanner):
    def forward(self, tokens: Tensor) -> Tensor:
        super().forward(tokens)
        raise ValueError("not today")


def test_the_scan_comes_back_even_after_an_error() -> None:
    before = selective_scan
    with pytest.raises(ValueError, match="not today"):
        complexity.count(Refuser(6), torch.rand(2, 10, 6))
    assert selective_scan is before
    assert torch.isfinite(Scanner(6)(torch.rand(2, 10, 6))).all()


def test_counting_leaves_the_network_as_it_was() -> None:
    network = registry.build("aulunet_v3").train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    complexity.count(network, torch.rand(1, 3, 64, 64))
    assert network.training
    assert not any(module._forward_hooks for module in network.modules())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_write_keeps_what_table_says(tmp_path) -> None:
    written = stored_counts.update(tmp_path / "complexity.csv", complexity.table(["aulunet_v3"]), ["aulunet_v3"])
    read = stored_counts.ComplexityTable.read(tmp_path / "complexity.csv").rows
    assert tuple(read.columns) == stored_counts.COLUMNS
    pd.testing.assert_frame_equal(read, written, check_dtype=False)
    assert int(read.parameters[0]) == 28_636


def test_write_replaces_only_the_rows_that_were_counted(tmp_path, counted: pd.DataFrame) -> None:
    path = tmp_path / "complexity.csv"
    moved = complexity.table(["malunet"]).assign(flops=1)
    stored_counts.update(path, moved, registry.names())  # no file yet: the other rows are this checkout's
    lines, committed = path.read_text().splitlines(), (files.HOME / "complexity.csv").read_text().splitlines()
    assert [a.split(",")[0] for a, b in zip(lines, committed, strict=True) if a != b] == ["malunet"]
    stored_counts.update(path, counted.loc[["unet", "malunet"]].reset_index(), registry.names())
    assert path.read_text() == (files.HOME / "complexity.csv").read_text()
    path.write_text("not a table\n\x00")
    with pytest.raises(RequestError, match=r"complexity\.csv: its last line was cut off"):
        stored_counts.update(path, moved, registry.names())


def test_the_committed_counts_are_what_the_code_counts(counted: pd.DataFrame) -> None:
    stored = stored_counts.ComplexityTable.read(files.HOME / "complexity.csv").rows.set_index("network")
    pd.testing.assert_frame_equal(stored, counted, check_dtype=False)
    assert not counted["notes"].any()


@pytest.fixture
def picky() -> Iterator[str]:
    """A registered network that does not take 256 px."""
    entry = Entry("picky", "Picky", nn.Identity, accepts=OneOf(224))
    registry.register(entry)
    yield "picky"
    del registry.ENTRIES["picky"]


def test_a_network_of_another_size_is_named(picky: str) -> None:
    with pytest.raises(RequestError, match="picky takes 224 px only"):
        complexity.table([picky])
    with pytest.raises(RequestError, match="no network 'unknown'"):
        complexity.table(["unknown"])


def test_transposed_convolutions_cost_the_paper_four_times(counted: pd.DataFrame) -> None:
    """The excess of the paper's counter over the truth in U-Net is three quarters of what it charges for them."""
    charged = sum(4 * (256 >> level) ** 2 * (32 << level) * (64 << level) for level in range(4))
    norms = 4 * sum((256 >> level) ** 2 * (32 << level) * (4 if level < 4 else 2) for level in range(5))
    assert counted.thop_macs["unet"] - counted.flops["unet"] // 2 == charged * 3 // 4 + norms
    assert math.isclose(charged * 3 / 4 / 1e9, 1.61, abs_tol=0.005)
