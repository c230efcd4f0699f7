"""Dropout with streams of its own: torch's distribution, and the same numbers alone, stacked and resumed."""

from copy import deepcopy

import pytest
import torch
from timm.layers import DropPath
from torch import nn
from torch.func import functional_call, stack_module_state, vmap
from torchvision.ops import StochasticDepth

from baselines.drop_path import drawn
from benchmarks.networks import registry
from benchmarks.networks.dropout import give_streams
from benchmarks.networks.entry import Entry
from benchmarks.networks.seeding import reseed, seeded
from benchmarks.objectives.losses import DRAWS
from benchmarks.protocol.recipe import RECIPES
from benchmarks.training import checkpoint
from benchmarks.training.progress import EpochRecord
from benchmarks.training.replicas import Replicas, initialised
from results.cell import Cell

P = 0.3
FLAT, PLANES, VOLUMES = (40, 50), (40, 50, 3, 2), (40, 50, 2, 3, 2)
MODULES = {
    "Dropout": (lambda: nn.Dropout(P, inplace=True), FLAT, (40, 50)),
    "Dropout1d": (lambda: nn.Dropout1d(P), (40, 50, 3), (40, 50, 1)),
    "Dropout1d, one sample": (lambda: nn.Dropout1d(P), (2000, 3), (2000, 1)),
    "Dropout2d": (lambda: nn.Dropout2d(P), PLANES, (40, 50, 1, 1)),
    "Dropout3d": (lambda: nn.Dropout3d(P), VOLUMES, (40, 50, 1, 1, 1)),
    "Dropout3d, one sample": (lambda: nn.Dropout3d(P), (2000, 2, 3, 2), (2000, 1, 1, 1)),
    "AlphaDropout": (lambda: nn.AlphaDropout(P), FLAT, (40, 50)),
    "FeatureAlphaDropout": (lambda: nn.FeatureAlphaDropout(P), PLANES, (40, 50, 1, 1)),
    "timm DropPath": (lambda: DropPath(P), (2000, 2, 3), (2000, 1, 1)),
    "timm DropPath, unscaled": (lambda: DropPath(P, scale_by_keep=False), (2000, 2, 3), (2000, 1, 1)),
    "StochasticDepth": (lambda: StochasticDepth(P, "row"), (2000, 2, 3), (2000, 1, 1)),
}


def test_a_stream_is_splitmix64():
    """Against the first outputs of the published generator from seed 0, of which we keep the upper 24 bits."""
    stream = torch.tensor(0)
    numbers = torch.cat([drawn(stream, 2), drawn(stream, 1)]).tolist()
    assert numbers == [0xE220A8397B1DCDAF >> 40, 0x6E789E6AA1B965F4 >> 40, 0x06C45D188009454F >> 40]


@pytest.mark.parametrize("kind", MODULES)
def test_the_distribution_is_that_of_the_module_it_replaces(kind):
    """Which values come out, how often, and what is dropped together."""
    build, shape, noise = MODULES[kind]
    theirs = build().train()
    ours = deepcopy(theirs)
    with seeded(1):
        give_streams(ours)
        expected, out = theirs(torch.full(shape, 2.0)), ours(torch.full(shape, 2.0))
    assert type(ours) is not type(theirs)
    torch.testing.assert_close(out.unique(), expected.unique())
    dropped = (out == out.min()).reshape(*noise, -1)
    assert (dropped.all(dim=-1) == dropped.any(dim=-1)).all(), "parts of what is dropped together were kept"
    share = dropped.float().mean().item()
    assert abs(share - P) < 4 * (P * (1 - P) / dropped[..., 0].numel()) ** 0.5
    assert torch.equal(ours.eval()(torch.ones(shape)), torch.ones(shape))


def test_a_stream_moves_on_and_none_is_like_another():
    network = nn.Sequential(nn.Dropout(P), nn.Dropout(P)).train()
    with seeded(1):
        give_streams(network)
    ones = torch.ones(1000)
    outputs = [network[0](ones), network[0](ones), network[1](ones)]
    assert all(0.3 < (a == b).float().mean() < 0.8 for a in outputs for b in outputs if a is not b)


def test_what_never_drops_and_what_is_not_known_is_left_alone():
    class Own(nn.Dropout):
        pass

    network = nn.Sequential(nn.Dropout(0.0), Own(P), DropPath(0.0), nn.ReLU())
    give_streams(network)
    assert [type(module) for module in network] == [nn.Dropout, Own, DropPath, nn.ReLU]
    assert not list(network.buffers())


class Dropping(nn.Module):
    """Dropout of three kinds between convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *(nn.BatchNorm2d(3), nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Dropout2d(P), nn.Dropout(P)),
            *(nn.Conv2d(8, 4, 3, padding=1), nn.AlphaDropout(P), DropPath(P), nn.Conv2d(4, 1, 1)),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)


@pytest.fixture
def dropping(monkeypatch) -> str:
    monkeypatch.setitem(registry.ENTRIES, "dropping", Entry("dropping", "Dropping", Dropping))
    return "dropping"


def test_initial_weights_and_their_names_are_as_without_streams(dropping):
    with seeded(3):
        plain = Dropping().state_dict()
    streamed = initialised(dropping, 32, 3)
    assert list(streamed.state_dict()) == list(plain)
    assert all(torch.equal(streamed.state_dict()[key], plain[key]) for key in plain)
    assert len([name for name, _ in streamed.named_buffers() if name.endswith("stream")]) == 4


def test_stacked_masks_are_those_of_each_seed_alone(dropping):
    """The outputs of the dropout modules themselves, to the last bit; draws in between do not matter."""
    modules = [initialised(dropping, 32, seed).body[3:5].train() for seed in (1, 2, 3)]
    stacks = stack_module_state(deepcopy(modules))
    x = torch.rand(3, 2, 8, 6, 6)
    for _ in range(2):
        together = vmap(lambda p, b, x: functional_call(modules[0], (p, b), (x,)))(*stacks, x)
        torch.rand(5)
        alone = torch.stack([deepcopy(module)(image) for module, image in zip(modules, x, strict=True)])
        assert torch.equal(together, alone)
        assert not torch.equal(together[0] == 0, together[1] == 0)
        [module(image) for module, image in zip(modules, x, strict=True)]  # moves their streams on as well


def steps(replicas: Replicas, first: int, last: int) -> list[float]:
    """Losses of optimizer steps on drawn images."""
    losses = []
    for step in range(first, last):
        images = 255 * torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(step))
        masks = (images[:, :1] > 128).float()
        shown = [each.expand(len(replicas), *each.shape) for each in (images, masks, torch.zeros(DRAWS))]
        losses.append(replicas.step(*shown).tolist())
        torch.rand(3)
    return losses


def of(name: str, *seeds: int) -> Replicas:
    return Replicas(name, seeds, RECIPES["paper"].changed(size=32), torch.device("cpu"))


def test_a_seed_trains_to_the_same_bits_whatever_was_drawn_and_stacked_to_rounding(dropping):
    reseed(7)
    first = steps(of(dropping, 1), 0, 4)
    reseed(8)
    assert steps(of(dropping, 1), 0, 4) == first
    second = steps(of(dropping, 2), 0, 4)
    together = torch.tensor(steps(of(dropping, 1, 2), 0, 4))
    torch.testing.assert_close(together, torch.tensor([a + b for a, b in zip(first, second, strict=True)]))


def test_a_resumed_seed_goes_on_with_its_streams(dropping, tmp_path):
    whole, part, resumed = of(dropping, 1), of(dropping, 1), of(dropping, 1)
    expected = steps(whole, 0, 4)
    identities = [checkpoint.identity(Cell("synthetic", "quick", dropping, 1), "data")]
    assert steps(part, 0, 2) == expected[:2]
    part.progress[0].add(EpochRecord(1, 1e-3, *expected[0], *expected[1], 0.5, 0.5))
    part.progress[0].images, part.progress[0].seconds = 2 * part.recipe.batch, 1.0
    checkpoint.save(part, [tmp_path / "checkpoint.safetensors"], identities)
    checkpoint.restore(resumed, [tmp_path / "checkpoint.safetensors"], identities)
    assert steps(resumed, 2, 4) == expected[2:]
