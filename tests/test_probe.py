"""What the probe refuses, and why; what it must let through."""

import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.networks import registry
from benchmarks.networks.entry import Entry
from benchmarks.networks.plugins import Unfit
from benchmarks.networks.seeding import reseed, states
from benchmarks.objectives import losses
from benchmarks.protocol.recipe import RECIPES
from benchmarks.runner.probe import probe
from benchmarks.training.replicas import Replicas, initialised

RECIPE = RECIPES["quick"].changed(size=32)
CPU = torch.device("cpu")


class Small(nn.Module):
    """A network as it should be; the others differ from it by one fault."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Dropout2d(0.2))
        self.last = nn.Conv2d(8, 1, 1)

    def forward(self, x: Tensor):
        return self.last(self.body(x))


class Sigmoid(Small):
    def forward(self, x: Tensor):
        return super().forward(x).sigmoid()


class Softmax(Small):
    def forward(self, x: Tensor):
        logits = super().forward(x)
        return torch.cat([logits, -logits], dim=1).softmax(dim=1)[:, :1]


class SigmoidInEval(Small):
    def forward(self, x: Tensor):
        logits = super().forward(x)
        return logits if self.training else logits.sigmoid()


class Listing(Small):
    def forward(self, x: Tensor):
        return [super().forward(x)]


class SidesInTraining(Small):
    def forward(self, x: Tensor):
        logits = super().forward(x)
        return (logits, logits) if self.training else logits


class HalfSize(Small):
    def forward(self, x: Tensor):
        return super().forward(x)[:, :, ::2, ::2]


class TwoClasses(Small):
    def forward(self, x: Tensor):
        return super().forward(x).repeat(1, 2, 1, 1)


class Integers(Small):
    def forward(self, x: Tensor):
        return super().forward(x).long()


class NotFinite(Small):
    def forward(self, x: Tensor):
        return super().forward(x) / 0


class Draws(Small):
    def forward(self, x: Tensor):
        return super().forward(x) + torch.rand(1)


class FunctionalDropout(Small):
    def forward(self, x: Tensor):
        return F.dropout(super().forward(x), 0.1, self.training)


class DrawsFromNumpy(Small):
    def forward(self, x: Tensor):
        return super().forward(x) * np.random.rand()


class DrawsFromRandom(Small):
    def forward(self, x: Tensor):
        return super().forward(x) * random.random()


class Counts(Small):
    calls = 0

    def forward(self, x: Tensor):
        self.calls += self.training
        return super().forward(x) + self.calls


class OwnGenerator(Small):
    def __init__(self) -> None:
        super().__init__()
        self.generator = np.random.default_rng(0)

    def forward(self, x: Tensor):
        return super().forward(x) + self.generator.random()


class Attention(Small):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, dropout=0.1, batch_first=True)

    def forward(self, x: Tensor):
        sequence = F.avg_pool2d(self.body(x), 8).flatten(2).transpose(1, 2)
        found = self.attention(sequence, sequence, sequence)[0].transpose(1, 2)
        return self.last(F.interpolate(found.reshape(len(x), 8, 4, 4), scale_factor=8))


class Raises(Small):
    def forward(self, x: Tensor):
        return super().forward(x).reshape(3, 5)


class NoGradient(Small):
    def forward(self, x: Tensor):
        return super().forward(x).detach()


class Unseeded(Small):
    def __init__(self) -> None:
        super().__init__()
        nn.init.constant_(self.last.bias, np.random.default_rng().random())


class NothingToTrain(nn.Module):
    def forward(self, x: Tensor):
        return x[:, :1]


class Item(Small):
    def forward(self, x: Tensor):
        return super().forward(x) * (1 + 0 * x.mean().item())


class Untouched(Small):
    def __init__(self) -> None:
        super().__init__()
        self.extra = nn.Conv2d(1, 1, 1)


class Zeros(Small):
    def __init__(self) -> None:
        super().__init__()
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)


class HalvesByChance(Small):
    """Logits within [0, 1] on every image, until it is trained."""

    def __init__(self) -> None:
        super().__init__()
        nn.init.normal_(self.last.weight, std=1e-4)
        nn.init.constant_(self.last.bias, 0.5)


class SeededConstructor(Small):
    def __init__(self) -> None:
        super().__init__()
        nn.init.constant_(self.last.bias, np.random.rand() + random.random())


FAULTS = {
    Sigmoid: r"its outputs lie in \[0, 1\] .* it ends in a sigmoid, .* return logits",
    Softmax: r"its outputs lie in \[0, 1\]",
    SigmoidInEval: r"its outputs lie in \[0, 1\]",
    Listing: "it returns a list in eval mode; return the tensor of logits alone",
    SidesInTraining: "it returns a tuple in training mode; .* an objective of its own",
    HalfSize: r"it returns torch.float32 of shape \(2, 1, 16, 16\) in eval .* return float logits \(2, 1, 32, 32\)",
    TwoClasses: r".* of shape \(2, 2, 32, 32\)",
    Integers: "it returns torch.int64",
    NotFinite: "its logits are not finite",
    Draws: r"it draws random numbers in its forward \(rand in Draws\); use nn.Dropout modules",
    FunctionalDropout: r"it draws random numbers in its forward \(\w+ in FunctionalDropout\)",
    DrawsFromNumpy: r"it draws random numbers in its forward \(numpy or random\)",
    DrawsFromRandom: r"it draws random numbers in its forward \(numpy or random\)",
    Counts: "it keeps a state outside of parameters and buffers, .*: calls of Counts changes from call to call",
    OwnGenerator: "its output changes from call to call",
    Attention: r"it draws .* in MultiheadAttention\).* leave the dropout of nn.MultiheadAttention and nn.LSTM at 0",
    Raises: r"its forward raises RuntimeError: shape '\[3, 5\]' is invalid .*`run --debug` shows the traceback",
    NoGradient: "no gradient reaches its parameters",
    Unseeded: "its builder gives other weights each time under one seed",
    NothingToTrain: "it has no parameters",
}


@pytest.fixture
def probed(monkeypatch):
    """Probes a network under the name "mine"."""

    def run(builder, stacked=False, **fields) -> list[str]:
        entry = Entry("mine", "Mine", builder, **fields)
        monkeypatch.setitem(registry.ENTRIES, "mine", entry)
        return probe("mine", RECIPE, CPU, stacked=stacked)

    return run


@pytest.mark.parametrize("network", FAULTS, ids=lambda network: network.__name__)
def test_a_fault_is_one_sentence(network, probed):
    with pytest.raises(Unfit, match=f"^mine: {FAULTS[network]}") as caught:
        probed(network)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("network", [Small, Zeros, HalvesByChance, SeededConstructor, Item])
def test_an_honest_network_passes_and_no_random_state_is_moved(network, probed):
    before = states()
    assert probed(network) == []
    assert states() == before


@pytest.mark.parametrize("generator", [lambda: torch.rand(()).item(), np.random.rand, random.random])
def test_initial_weights_from_any_global_generator_follow_from_the_seed(monkeypatch, generator):
    class Drawn(Small):
        def __init__(self) -> None:
            super().__init__()
            nn.init.constant_(self.last.bias, generator())

    def bias(seed: int, before: int) -> float:
        reseed(before)
        return initialised("mine", 32, seed).last.bias.item()

    monkeypatch.setitem(registry.ENTRIES, "mine", Entry("mine", "Mine", Drawn))
    assert bias(1, before=5) == bias(1, before=6)
    assert bias(1, before=5) != bias(2, before=5)


def test_only_what_is_stacked_must_stack(probed):
    assert probed(Small, stacked=True) == []
    with pytest.raises(Unfit, match=r"two seeds in one pass raises .*item.* train its seeds one by one"):
        probed(Item, stacked=True)


def test_a_seed_that_feels_another_is_refused(probed, monkeypatch):
    losses_alone = Replicas.losses

    def mixing(self, images, masks, draws):
        together = losses_alone(self, images, masks, draws)
        return together.mean().expand_as(together) + len(self)

    monkeypatch.setattr(Replicas, "losses", mixing)
    with pytest.raises(Unfit, match="a seed's loss changes with the seeds trained beside it"):
        probed(Small, stacked=True)


def test_parameters_without_a_gradient_are_listed(probed):
    assert probed(Untouched) == ["no gradient reaches 2 of its 8 parameters: extra.weight, extra.bias"]


def test_a_builder_that_fails_and_one_that_returns_no_module(probed):
    def fails() -> nn.Module:
        raise ValueError("no such width")

    with pytest.raises(Unfit, match="its builder raises ValueError: no such width"):
        probed(fails)
    with pytest.raises(registry.RequestError, match=r"^mine: its builder returns a function; return an nn.Module\.$"):
        probed(lambda: lambda x: x)


def test_objectives_are_tried_as_well(probed):
    def sides(forward, images, masks, draws):
        return sum(losses.bce_dice(each, masks) for each in forward(images))

    assert probed(SidesInTraining, objective=sides) == []
    with pytest.raises(Unfit, match="its objective returns a tensor of shape"):
        probed(Small, objective=lambda forward, images, masks, draws: forward(images).mean(dim=(1, 2, 3)))
    with pytest.raises(Unfit, match="its loss is not finite on the first step"):
        probed(Small, objective=lambda forward, images, masks, draws: forward(images).mean() * float("nan"))
    with pytest.raises(Unfit, match="its forward raises KeyError: 'edges'"):
        probed(Small, objective=lambda forward, images, masks, draws: {}["edges"])


def test_what_is_trained_must_be_what_is_scored(probed):
    class Named(Small):
        def __init__(self) -> None:
            super().__init__()
            self.final = self.last
            del self.last

        def forward(self, x: Tensor):
            return self.final(self.body(x))

    class More(Small):
        def __init__(self) -> None:
            super().__init__()
            self.extra = nn.Conv2d(8, 1, 1)

        def forward(self, x: Tensor):
            features = self.body(x)
            return self.last(features) + self.extra(features) * self.training

    class Always(More):
        def forward(self, x: Tensor):
            features = self.body(x)
            return self.last(features) + self.extra(features)

    assert probed(Small, training_builder=lambda size: More()) == []
    with pytest.raises(Unfit, match=r"its training_builder lacks 2 of the 9 weights of its builder \(last.weight\)"):
        probed(Small, training_builder=lambda size: Named())
    with pytest.raises(Unfit, match="what its training_builder and its builder make of the same weights differs"):
        probed(Small, training_builder=lambda size: Always())


def test_images_reach_the_network_through_preprocess(probed):
    class Picky(Small):
        def forward(self, x: Tensor):
            if x.max() > 1:
                raise ValueError("not scaled")
            return super().forward(x)

    with pytest.raises(Unfit, match="not scaled"):
        probed(Picky)
    assert probed(Picky, preprocess=lambda images: images / 255) == []


def test_the_narrowest_batch_is_tried(monkeypatch):
    """Batch norm of one value per channel has no variance: the end of an epoch would crash."""

    class Pooled(Small):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm2d(8)

        def forward(self, x: Tensor):
            features = self.body(x)
            return self.last(features + self.norm(features.mean(dim=(2, 3), keepdim=True)))

    monkeypatch.setitem(registry.ENTRIES, "mine", Entry("mine", "Mine", Pooled))
    assert probe("mine", RECIPE, CPU, narrowest=8) == []
    with pytest.raises(Unfit, match=r"Expected more than 1 value per channel.* another --batch"):
        probe("mine", RECIPE, CPU, narrowest=1)
