"""Counts of networks that are not the suite's: by hand, against torch's own counter, and against the installed thop."""

import copy
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.utils.rnn import pack_sequence
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.measuring import complexity

from .test_complexity import thop_says

B, T, D = 2, 16, 12  # batch, tokens, width
IMAGES = torch.rand(B, 3, 8, 8)
EMBEDDING = B * T * D * 3 * 2 * 2  # multiply-accumulates of the convolution that makes tokens


class Tokens(nn.Module):
    """Images (B, 3, 8, 8) to tokens (B, T, D), and what a layer makes of them."""

    def __init__(self, layer: nn.Module | None = None, run: Callable[[Any, Tensor], Any] | None = None) -> None:
        super().__init__()
        self.embedding = nn.Conv2d(3, D, 2, stride=2)
        self.layer = nn.Identity() if layer is None else layer
        self.run = run or (lambda layer, tokens: layer(tokens))

    def forward(self, images: Tensor) -> Any:
        return self.run(self.layer, self.embedding(images).flatten(2).transpose(1, 2))


def encoder_layer() -> nn.Module:
    return nn.TransformerEncoderLayer(D, 4, 20, batch_first=True)


def heads(tokens: Tensor) -> Tensor:
    return tokens.unflatten(-1, (3, 4)).transpose(1, 2)


def bilinear(weight: Tensor, x: Tensor) -> Tensor:
    return torch.einsum("noj,nj->no", torch.einsum("ni,oij->noj", x, weight), x)


def attention(*, groups: int = 3, masked: bool = False, **arguments: Any) -> Tokens:
    def run(_: Any, tokens: Tensor) -> Tensor:
        q, mask = heads(tokens), torch.ones(T, T, dtype=torch.bool) if masked else None
        return F.scaled_dot_product_attention(q, q[:, :groups], q[:, :groups], mask, **arguments)

    return Tokens(run=run)


ATTENTION = 2 * B * T * T * D  # scores, and their product with the values
PROJECTIONS = B * T * D * 4 * D
MLP = 2 * B * T * D * 20


def recurrent(steps: int, *layers: tuple[int, int]) -> int:
    """Multiply-accumulates of layers with (weights from the input and from the hidden state, directions) per step."""
    return B * steps * sum(weights * directions for weights, directions in layers)


@dataclass(frozen=True)
class Case:
    """A network, its multiply-accumulates by hand, and one with the same products that torch's counter can see."""

    network: Callable[[], nn.Module]
    by_hand: int
    same: Callable[[], nn.Module] | None = None


def layer(build: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    return lambda: Tokens(build())


def operation(run: Callable[[Tensor], Any]) -> Callable[[], nn.Module]:
    return lambda: Tokens(run=lambda _, tokens: run(tokens))


CASES = {
    "attention": Case(attention, ATTENTION),
    "causal attention": Case(lambda: attention(is_causal=True), ATTENTION),
    "masked attention": Case(lambda: attention(masked=True), ATTENTION),
    "grouped attention": Case(lambda: attention(groups=1, enable_gqa=True), ATTENTION),
    "MultiheadAttention": Case(
        lambda: Tokens(nn.MultiheadAttention(D, 4, batch_first=True), lambda layer, x: layer(x, x, x)),
        PROJECTIONS + ATTENTION,
    ),
    "MultiheadAttention without weights": Case(
        lambda: Tokens(
            nn.MultiheadAttention(D, 4), lambda layer, x: layer(*[x.mT.permute(2, 0, 1)] * 3, need_weights=False)
        ),
        PROJECTIONS + ATTENTION,
    ),
    "TransformerEncoderLayer": Case(layer(encoder_layer), PROJECTIONS + ATTENTION + MLP),
    "TransformerEncoder": Case(
        layer(lambda: nn.TransformerEncoder(encoder_layer(), 2, enable_nested_tensor=False)),
        2 * (PROJECTIONS + ATTENTION + MLP),
    ),
    "LSTM": Case(layer(lambda: nn.LSTM(D, 5, batch_first=True)), recurrent(T, (4 * 5 * (D + 5), 1))),
    "deep LSTM of two directions": Case(
        layer(lambda: nn.LSTM(D, 5, 2, batch_first=True, bidirectional=True)),
        recurrent(T, (4 * 5 * (D + 5), 2), (4 * 5 * (10 + 5), 2)),
    ),
    "LSTM with projections": Case(
        layer(lambda: nn.LSTM(D, 5, batch_first=True, proj_size=3)), recurrent(T, (4 * 5 * (D + 3) + 5 * 3, 1))
    ),
    "packed LSTM": Case(
        lambda: Tokens(nn.LSTM(D, 5), lambda layer, x: layer(pack_sequence([x[0], x[1, :9]]))[1][0]),
        (T + 9) * 4 * 5 * (D + 5),
    ),
    "GRU": Case(layer(lambda: nn.GRU(D, 5, batch_first=True)), recurrent(T, (3 * 5 * (D + 5), 1))),
    "RNN": Case(layer(lambda: nn.RNN(D, 5, batch_first=True)), recurrent(T, (5 * (D + 5), 1))),
    "LSTMCell": Case(
        lambda: Tokens(nn.LSTMCell(D, 5), lambda layer, x: layer(x[:, 0])[0]), recurrent(1, (4 * 5 * (D + 5), 1))
    ),
    "Bilinear": Case(
        lambda: Tokens(nn.Bilinear(D, D, 4), lambda layer, x: layer(x, x)),
        B * T * 4 * (D + 1) * D,
        same=lambda: Tokens(nn.Bilinear(D, D, 4), lambda layer, x: bilinear(layer.weight, x.flatten(0, 1))),
    ),
    "einsum": Case(operation(lambda x: torch.einsum("bnd,bmd->bnm", x, x)), B * T * T * D),
    "baddbmm": Case(operation(lambda x: torch.baddbmm(x[:, :, :1], x, x.mT)), B * T * T * D),
    "addbmm": Case(
        operation(lambda x: torch.addbmm(x[0, :, :1], x, x.mT)),
        B * T * T * D,
        same=operation(lambda x: torch.baddbmm(x[:, :, :1], x, x.mT)),
    ),
    "in place": Case(
        operation(lambda x: x.new_zeros(B, T, T).baddbmm_(x, x.mT)[0].addmm_(x[0], x[0].T)),
        (B + 1) * T * T * D,
        same=operation(lambda x: (x @ x.mT, x[0] @ x[0].T)),
    ),
    "vectors": Case(
        operation(
            lambda x: (
                torch.mv(x[0], x[0, 0]).sum()
                + torch.addmv(x[0, :, 0], x[0], x[0, 0]).sum()
                + torch.dot(x[0, 0], x[0, 1])
            )
        ),
        2 * T * D + D,
        same=operation(lambda x: (x[0] @ x[0, :1].T, x[0] @ x[0, :1].T, x[0, :1] @ x[0, 1:2].T)),
    ),
    "transposed convolution": Case(lambda: Tokens(nn.ConvTranspose1d(T, 6, 2, stride=2, groups=2)), B * T * D * 3 * 2),
}


def torch_says(network: nn.Module) -> int:
    """Operations by torch's own counter, on its meta device and by plain attention, where no kernel is fused."""
    network = copy.deepcopy(network).to("meta").train()  # in training mode no layer takes a fused path
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter, torch.device("meta"):
        network(IMAGES.to("meta"))
    return counter.get_total_flops()


@pytest.mark.parametrize("name", CASES)
def test_hand_torch_and_the_suite_count_the_same(name: str) -> None:
    case = CASES[name]
    seen = complexity.count(case.network(), IMAGES)
    assert seen.flops == 2 * (EMBEDDING + case.by_hand)
    assert not any(note.startswith("flops") for note in seen.notes)
    if name != "packed LSTM":  # the meta device cannot pack
        assert torch_says((case.same or case.network)()) == seen.flops


# thop sums over the tree of modules


class Shared(nn.Module):
    """One convolution under two parents, each of which holds it twice, and called in several places."""

    def __init__(self) -> None:
        super().__init__()
        shared = nn.Conv2d(3, 3, 3, padding=1)
        self.left = nn.ModuleDict({"a": shared, "b": shared, "own": nn.Conv2d(3, 3, 1)})
        self.right = nn.Sequential(shared, nn.BatchNorm2d(3))
        self.block = nn.Sequential(nn.Sequential(shared, nn.Conv2d(3, 3, 5, padding=2)), nn.PReLU())
        self.again = nn.ModuleList([self.block, nn.Sequential(self.block)])
        self.silent = nn.Sequential(nn.Linear(4, 4), shared)

    def forward(self, images: Tensor) -> Tensor:
        x = self.right(self.left["b"](self.left["a"](images)))
        return self.again[1](self.block(self.left["own"](self.left["own"](x))))


def with_weight_norm() -> nn.Module:
    network = Tokens(nn.Linear(D, 4))
    with warnings.catch_warnings(action="ignore"):  # it is deprecated, and still in many networks
        network.embedding = nn.utils.weight_norm(network.embedding)
    return network


def with_parametrization() -> nn.Module:
    network = Tokens(nn.Linear(D, 4))
    nn.utils.parametrizations.weight_norm(network.embedding)
    return network


def cells(kind: type[nn.Module], **arguments: Any) -> nn.Module:
    def run(cell: Any, tokens: Tensor) -> Any:
        state = cell(tokens[:, 0])
        return cell(tokens[:, 1], state)

    return Tokens(kind(D, 5, **arguments), run)


THOP = {
    "shared": Shared,
    "only a convolution": lambda: nn.Conv2d(3, 4, 3),
    "a sequence": lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 1)),
    "weight norm": with_weight_norm,
    "parametrization": with_parametrization,
    "attention": CASES["MultiheadAttention"].network,
    "encoder": CASES["TransformerEncoder"].network,
    "RNNCell": lambda: cells(nn.RNNCell),
    "GRUCell": lambda: cells(nn.GRUCell, bias=False),
    "LSTMCell": lambda: cells(nn.LSTMCell),
    "RNN": layer(lambda: nn.RNN(D, 5, 3, batch_first=True, bidirectional=True)),
    "RNN without bias": layer(lambda: nn.RNN(D, 5, bias=False)),
    "GRU": layer(lambda: nn.GRU(D, 5, 2)),
    "GRU of two directions": layer(lambda: nn.GRU(D, 5, 2, batch_first=True, bidirectional=True)),
    "LSTM": layer(lambda: nn.LSTM(D, 5, 3, batch_first=True)),
    "LSTM of two directions": layer(lambda: nn.LSTM(D, 5, 2, bidirectional=True, bias=False)),
    "packed": CASES["packed LSTM"].network,
    "twice": lambda: Tokens(nn.LSTM(D, D), lambda layer, x: layer(layer(x)[0])),
    "keywords": lambda: Tokens(nn.ModuleList([nn.Linear(D, 4)]), lambda layers, x: layers[0](x)),
}


@pytest.mark.parametrize("name", THOP)
def test_thop_itself_counts_the_same(name: str) -> None:
    network = THOP[name]()
    expected = thop_says(copy.deepcopy(network) if name != "weight norm" else with_weight_norm(), IMAGES)
    seen = complexity.count(network, IMAGES)
    assert (seen.thop_parameters, seen.thop_macs) == expected
    assert "thop" not in " ".join(seen.notes)


class Activated(nn.Module):
    """Modules that ptflops counts, among them those that thop takes for free, and one in two places."""

    def __init__(self) -> None:
        super().__init__()
        self.plain = nn.Sequential(nn.Conv2d(3, 8, (3, 5), stride=2, padding=(1, 2)), nn.BatchNorm2d(8), nn.ReLU6())
        self.norms = nn.Sequential(nn.GroupNorm(2, 8), nn.InstanceNorm2d(8), nn.InstanceNorm2d(8, affine=True))
        self.up = nn.Sequential(nn.ConvTranspose2d(8, 6, 3, stride=2, groups=2), nn.Upsample(scale_factor=2))
        self.places = nn.ModuleList([nn.Sequential(nn.LeakyReLU(), self.up[1])])
        self.pools = nn.Sequential(nn.MaxPool2d(2), nn.AvgPool2d(2), nn.AdaptiveAvgPool2d((7, 5)))
        self.most = nn.AdaptiveMaxPool2d(1)
        self.tokens = nn.Sequential(nn.LayerNorm(35), nn.Linear(35, 12), nn.PReLU(), nn.GELU(), nn.Sigmoid())
        self.lonely = nn.Linear(5, 5)

    def forward(self, images: Tensor) -> Tensor:
        x = self.places[0](self.up(self.norms(self.plain(images))))
        return self.tokens(self.pools(x).flatten(2)) + self.most(x).flatten(2)


PTFLOPS = {"modules": Activated, "shared": Shared, "only a convolution": THOP["only a convolution"]}


@pytest.mark.parametrize("name", PTFLOPS)
def test_ptflops_itself_counts_the_same(name: str) -> None:
    ptflops = pytest.importorskip("ptflops", reason="ptflops, MK-UNet's counter, is not installed")
    network = PTFLOPS[name]()
    modules = {
        "as_strings": False,
        "print_per_layer_stat": False,
        "backend_specific_config": {"count_functional": False},
    }
    macs, _ = ptflops.get_model_complexity_info(copy.deepcopy(network), tuple(IMAGES.shape[1:]), **modules)
    assert complexity.count(network, IMAGES[:1]).ptflops_macs == macs


def test_ptflops_by_hand() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveMaxPool2d(1))
    assert complexity.count(network, IMAGES).ptflops_macs == B * 8 * 8 * 4 * (27 + 1 + 2 + 1 + 1)
    seen = complexity.count(CASES["LSTM"].network(), IMAGES)
    assert seen.ptflops_macs is None
    assert "ptflops_macs could not be counted (ValueError: there is no rule for LSTM)." in seen.notes


# What earlier versions broke on


class Unpooling(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3, padding=1)
        self.pool, self.unpool = nn.MaxPool2d(2, return_indices=True), nn.MaxUnpool2d(2)

    def forward(self, images: Tensor) -> Tensor:
        return self.unpool(*self.pool(self.convolution(images)))


class ByKeyword(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleList(
            [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Upsample(scale_factor=2), nn.Softmax(dim=1)]
        )

    def forward(self, images: Tensor) -> Tensor:
        for part in self.parts:
            images = part(input=images)
        return images


def test_modules_called_by_keyword() -> None:
    seen, positional = complexity.count(ByKeyword(), IMAGES), nn.Sequential(*ByKeyword().parts)
    assert seen == complexity.count(positional, IMAGES)
    assert seen.flops == 2 * B * 6 * 6 * 4 * 27
    assert seen.fvcore_macs
    assert not seen.notes


def test_a_counter_that_fails_takes_no_other_with_it() -> None:
    seen = complexity.count(Unpooling(), IMAGES)
    macs = B * 8 * 8 * 4 * 27
    assert (seen.flops, seen.thop_macs, seen.thop_parameters) == (2 * macs, macs, 112)
    assert seen.fvcore_macs in (None, macs)  # tracing an unpooling fails in some versions of torch
    assert (seen.fvcore_macs is None) == any(note.startswith("fvcore_macs could not") for note in seen.notes)


@pytest.mark.parametrize(("counter", "figure"), [("_thop", "thop_macs"), ("_flops", "flops")])
def test_a_counter_that_fails_is_named(counter: str, figure: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = complexity.count(Tokens(), IMAGES)

    def broken(*_: Any) -> Any:
        raise ValueError("no idea\nat all")

    monkeypatch.setattr(complexity, counter, broken)
    monkeypatch.setattr(complexity, "_in_one_pass", broken)
    seen = complexity.count(Tokens(), IMAGES)
    assert seen.notes == (f"{figure} could not be counted (ValueError: no idea).",)
    failed = {name for name in complexity.COUNTS if getattr(seen, name) is None}
    assert failed == ({"flops"} if figure == "flops" else {"thop_macs", "thop_parameters"})
    assert {getattr(seen, name) == getattr(whole, name) for name in set(complexity.COUNTS) - failed} == {True}


def test_a_rule_that_fails_costs_thop_alone() -> None:
    with pytest.warns(UserWarning, match="Implicit dimension choice for softmax"):
        seen = complexity.count(Tokens(nn.Softmax()), IMAGES)  # without a dimension, where thop fails too
    assert (seen.thop_macs, seen.flops, seen.fvcore_macs) == (None, 2 * EMBEDDING, EMBEDDING)
    assert seen.notes[0].startswith("thop_macs could not be counted (")


@torch.compile
def compiled_product(tokens: Tensor) -> Tensor:
    return tokens @ tokens.mT


def test_compiled_modules_count_as_what_they_hold() -> None:
    expected = complexity.count(Tokens(nn.Linear(D, 4)), IMAGES)
    inside, in_place = Tokens(nn.Linear(D, 4)), Tokens(nn.Linear(D, 4))
    inside.layer = torch.compile(inside.layer)
    in_place.layer.compile()
    for network in (torch.compile(Tokens(nn.Linear(D, 4))), inside, in_place):
        assert complexity.count(network, IMAGES) == expected
    seen = complexity.count(operation(compiled_product)(), IMAGES)
    assert seen.flops == 2 * (EMBEDDING + B * T * T * D)
    assert seen.fvcore_macs or seen.notes[0].startswith("fvcore_macs could not be counted (")


def test_weight_norm_is_counted_by_all() -> None:
    network = with_weight_norm()
    seen = complexity.count(network, IMAGES)
    macs = EMBEDDING + B * T * D * 4
    assert (seen.thop_macs, seen.fvcore_macs, seen.flops, seen.notes) == (macs, macs, 2 * macs, ())
    assert seen.parameters == sum(parameter.numel() for parameter in network.parameters())


# What cannot be counted is named


class Trace(torch.autograd.Function):
    """Overwrites memory of torch without an operation of torch."""

    @staticmethod
    def forward(ctx: Any, tokens: Tensor) -> Tensor:
        return filled_by_others(tokens)


class Visible(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tokens: Tensor) -> Tensor:
        return (
            tokens.view_as(tokens) if tokens.dim() == 1 else torch.empty_like(tokens).copy_(tokens @ tokens.mT @ tokens)
        )


def filled_by_others(tokens: Tensor) -> Tensor:
    return torch.empty_like(tokens)


@torch.library.custom_op("tests_of_counts::double", mutates_args=())
def double(tokens: Tensor) -> Tensor:
    return tokens * 2


UNSEEN = {
    "Fourier": (lambda x: torch.fft.rfft2(x).real, "_fft_r2c"),
    "distances": (lambda x: torch.cdist(x, x), "_cdist_forward"),
    "solver": (lambda x: torch.linalg.inv(x @ x.mT + 100 * torch.eye(T)), "linalg_inv_ex"),
    "numpy": (lambda x: torch.from_numpy(x.numpy() * 2), "numpy"),
    "custom operation": (double, "tests_of_counts::double"),
    "function": (lambda x: Trace.apply(x), "Trace"),
    "kernel": (lambda x: filled_by_others(x) * 2, "a kernel outside torch"),
    "kernel last": (lambda x: {"out": [filled_by_others(x)]}, "a kernel outside torch"),
}


@pytest.mark.parametrize("name", UNSEEN)
def test_what_is_not_counted_is_named(name: str) -> None:
    run, unseen = UNSEEN[name]
    seen = complexity.count(operation(run)(), IMAGES)
    assert f"flops does not see {unseen}." in seen.notes


def test_what_fvcore_does_not_see_is_named() -> None:
    said = {"attention": "scaled_dot_product_attention", "LSTM": "lstm", "Bilinear": "bilinear", "baddbmm": "baddbmm"}
    for name, unseen in said.items():
        seen = complexity.count(CASES[name].network(), IMAGES)
        assert [note for note in seen.notes if "ptflops" not in note] == [f"fvcore_macs does not see {unseen}."]
        assert seen.fvcore_macs == EMBEDDING
    seen = complexity.count(operation(UNSEEN["numpy"][0])(), IMAGES)
    assert "fvcore_macs does not see numpy." in seen.notes
    seen = complexity.count(CASES["TransformerEncoderLayer"].network(), IMAGES)  # by its parts, not as one operation
    assert "fvcore_macs does not see scaled_dot_product_attention." in seen.notes
    assert seen.fvcore_macs is not None
    assert seen.fvcore_macs > EMBEDDING + PROJECTIONS + MLP


FREE = {
    "norms and interpolation": lambda x: F.interpolate(F.normalize(F.layer_norm(x, (D,)), dim=-1), scale_factor=2),
    "memory that torch fills": lambda x: torch.empty(B, T, D).copy_(x) + x.new_empty(3, B, T, D).fill_(1)[1],
    "shape of empty memory": lambda x: torch.zeros_like(torch.empty_like(x)) + torch.cat([x, x.new_empty(B, 0, D)], 1),
    "visible function": lambda x: (Visible.apply(x[0, 0]), Visible.apply(x)),
}


@pytest.mark.parametrize("name", FREE)
def test_what_costs_nothing_is_not_named(name: str) -> None:
    seen = complexity.count(operation(FREE[name])(), IMAGES)
    assert not any(note.startswith("flops") for note in seen.notes)


def test_a_network_that_cannot_run_raises_its_own_error() -> None:
    with pytest.raises(ZeroDivisionError):
        complexity.count(operation(lambda x: 1 / 0)(), IMAGES)


def test_counting_leaves_torch_and_the_network_as_they_were() -> None:
    network, apply = with_weight_norm().train(), torch.autograd.Function.__dict__["apply"]
    network.layer.compile()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    complexity.count(network, IMAGES)
    assert torch.backends.mha.get_fastpath_enabled()
    assert torch.autograd.Function.__dict__["apply"] is apply
    assert network.training
    assert network.layer._compiled_call_impl is not None
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
