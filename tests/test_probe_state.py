"""What a network holds and does to it: what the probe refuses because training would lose it without a word."""

import sys

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from benchmarks.networks import registry
from benchmarks.networks.entry import Entry
from benchmarks.networks.plugins import Unfit
from benchmarks.protocol.recipe import RECIPES
from benchmarks.runner.probe import probe, probe_evaluation
from tests.test_probe import Small
from tests.tiny_network import Tied

RECIPE = RECIPES["quick"].changed(size=32)
CPU = torch.device("cpu")


class Assigned(Small):
    """Counts its steps in a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(()))

    def counted(self) -> None:
        self.count = self.count + 1

    def forward(self, x: Tensor):
        if self.training:
            self.counted()
        return super().forward(x) + 0.1 * self.count


class InPlace(Assigned):
    def counted(self) -> None:
        self.count += 1


class AssignedData(Assigned):
    def counted(self) -> None:
        self.count.data = self.count + 1


class AssignedDeep(Small):
    def __init__(self) -> None:
        super().__init__()
        self.body.append(Assigned())

    def forward(self, x: Tensor):
        return self.last(self.body[:4](x)) + self.body[4](x)


class AssignedInEval(Assigned):
    def forward(self, x: Tensor):
        self.count = self.count * 1
        return Small.forward(self, x)


class MaxNorm(Small):
    """As found in the field: weights that are cut to a norm before each use."""

    def forward(self, x: Tensor):
        self.last.weight.data = torch.renorm(self.last.weight.data, 2, 0, 1)
        return super().forward(x)


class FirstForward(Small):
    def forward(self, x: Tensor):
        if not hasattr(self, "scale"):
            self.scale = nn.Parameter(torch.ones(()))
        return super().forward(x) * self.scale


class FilledLater(Small):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("grid", None)

    def forward(self, x: Tensor):
        self.grid = torch.linspace(0, 1, x.shape[-1])
        return super().forward(x) + self.grid


class TakenAway(Assigned):
    def forward(self, x: Tensor):
        if "count" in self._buffers:
            del self.count
        return Small.forward(self, x)


class ChangesImages(Small):
    def forward(self, x: Tensor):
        return super().forward(x.div_(255))


class ChangesImagesInTraining(Small):
    def forward(self, x: Tensor):
        return super().forward(x.div_(255) if self.training else x / 255)


class Late(Small):
    """A warm-up that counts in Python, whose effect comes too late for anyone to see it."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor):
        self.calls += self.training
        return super().forward(x) if self.calls < 100 else super().forward(x) * 2


class MovingMean(Small):
    def __init__(self) -> None:
        super().__init__()
        self.mean = torch.zeros(())

    def forward(self, x: Tensor):
        self.mean = 0.9 * self.mean + 0.1 * x.detach().mean()
        return super().forward(x)


class Growing(Small):
    def __init__(self) -> None:
        super().__init__()
        self.seen = []

    def forward(self, x: Tensor):
        self.seen.append(x.shape)
        return super().forward(x)


class Caches(Small):
    """What is made at the first call and is the same at all later ones."""

    def __init__(self) -> None:
        super().__init__()
        self.size, self.grid, self.seen = None, None, None

    def forward(self, x: Tensor):
        self.size, self.grid = x.shape[-1], torch.linspace(0, 1, x.shape[-1])
        self.seen = super().forward(x)
        return self.seen + self.grid


class Unregistered(Small):
    def __init__(self) -> None:
        super().__init__()
        self.more = [nn.Conv2d(3, 1, 3, padding=1)]

    def forward(self, x: Tensor):
        return super().forward(x) + self.more[0](x)


class ParametersInAList(Small):
    """As they are in it, also when others are asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = [self.last.weight]

    def forward(self, x: Tensor):
        return nn.functional.conv2d(self.body(x), self.weights[0])


class Alias(Small):
    def __init__(self) -> None:
        super().__init__()
        self.alias = self.last.weight.data

    def forward(self, x: Tensor):
        return super().forward(x) * self.alias.abs().mean()


class SharedMemory(Small):
    def __init__(self) -> None:
        super().__init__()
        self.twin = nn.Conv2d(8, 1, 1)
        self.twin.weight = nn.Parameter(self.last.weight.data)

    def forward(self, x: Tensor):
        return super().forward(x) + self.twin(self.body(x))


class Neighbours(Small):
    """Two parameters side by side in one memory."""

    def __init__(self) -> None:
        super().__init__()
        both = torch.zeros(4)
        self.a, self.b = nn.Parameter(both[:2]), nn.Parameter(both[2:])

    def forward(self, x: Tensor):
        return super().forward(x) + self.a.sum() - self.b.sum()


class Extra(Small):
    def get_extra_state(self):
        return {"version": 2}

    def set_extra_state(self, state) -> None:
        pass


class Lazy(Small):
    def __init__(self) -> None:
        super().__init__()
        self.last = nn.LazyConv2d(1, 1)


def of_type(dtype: torch.dtype):
    return lambda: Small().to(dtype)


def with_parameter(**options):
    def build() -> nn.Module:
        module = Small()
        module.more = nn.Parameter(torch.ones(3, **options), requires_grad=False)
        return module

    return build


def with_buffer(**options):
    def build() -> nn.Module:
        module = Small()
        module.body.register_buffer("more", torch.ones(3, **options))
        return module

    return build


def frozen() -> nn.Module:
    return Small().requires_grad_(False)


ONLY = Small()

FAULTS = {
    Assigned: r"its forward assigns the buffer count of Assigned anew, .* first value; .* as self.count.copy_\(...\)",
    AssignedData: "its forward assigns the buffer count of AssignedData anew",
    AssignedDeep: r"its forward assigns the buffer count of body.4 \(Assigned\) anew",
    AssignedInEval: "its forward assigns the buffer count of AssignedInEval anew",
    MaxNorm: r"its forward assigns the parameter weight of last \(Conv2d\) anew",
    FirstForward: "its forward adds the parameter scale of FirstForward; create it in the builder",
    FilledLater: "its forward adds the buffer grid of FilledLater",
    TakenAway: "its forward takes away the buffer count of TakenAway",
    ChangesImages: "its forward changes the images in place; make new ones",
    ChangesImagesInTraining: "its forward changes the images in place",
    Late: "it keeps a state outside of .*: calls of Late changes from call to call; keep it in a buffer",
    MovingMean: "it keeps a state .*: mean of MovingMean changes",
    Growing: "it keeps a state .*: seen of Growing changes",
    Unregistered: "its logits do not follow from its parameters and buffers alone: .*nn.ModuleList",
    ParametersInAList: "its logits do not follow from its parameters and buffers alone",
    Alias: "its logits do not follow from its parameters and buffers alone",
    SharedMemory: "its (last|twin).weight and (last|twin).weight share memory and are two tensors; assign the",
    Extra: "its state dict holds _extra_state, which is neither a parameter nor a buffer",
    Lazy: "its last.weight has no shape before the first forward, because its layer is lazy; give",
    of_type(torch.float64): "its parameter body.0.weight is torch.float64, and networks train in torch.float32; build",
    of_type(torch.float16): "its parameter body.0.weight is torch.float16",
    of_type(torch.bfloat16): "its parameter .* torch.bfloat16, .*the recipe paper-bf16",
    with_parameter(dtype=torch.complex64): "its parameter more is torch.complex64, .* imaginary .* torch.view_as_real",
    with_buffer(dtype=torch.complex64): "its buffer body.more is torch.complex64",
    with_buffer(dtype=torch.float64): "its buffer body.more is torch.float64",
    with_parameter(dtype=torch.int64): "its parameter more is torch.int64, which cannot be trained; make it a buffer",
    with_parameter(device="meta"): "its parameter more has no values, because it is on the meta device",
    frozen: "none of its parameters requires a gradient",
    (lambda: ONLY): "its builder gives the same body.0.weight each time, which all seeds would share",
}


@pytest.fixture
def probed(monkeypatch):
    def run(builder, **options) -> list[str]:
        monkeypatch.setitem(registry.ENTRIES, "mine", Entry("mine", "Mine", builder))
        return probe("mine", RECIPE, CPU, **options)

    return run


@pytest.mark.parametrize(("network", "said"), FAULTS.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_a_fault_is_one_sentence(network, said, probed):
    with pytest.raises(Unfit, match=f"^mine: {said}") as caught:
        probed(network)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("network", [Tied, InPlace, Caches, Neighbours, with_buffer(dtype=torch.int64)])
def test_what_is_kept_rightly_passes(network, probed):
    assert probed(network) == []


@pytest.mark.parametrize("stacked", [False, True])
def test_tied_weights_pass_alone_and_stacked(stacked, probed):
    assert probed(Tied, stacked=stacked) == []


def test_torch_leaves_foreign_tensors_in_a_shared_module():
    """Why the trainer does not have torch tie them: when this fails, `called_with` can be `functional_call` again."""
    module = Tied()
    own = module.norm.weight
    functional_call(module, dict(Tied().named_parameters()), (torch.zeros(2, 3, 8, 8),))
    assert module.norm.weight is not own


class Ends(Small):
    def forward(self, x: Tensor):
        sys.exit(0)


class Interrupts(Small):
    def forward(self, x: Tensor):
        raise KeyboardInterrupt


class EndsInTraining(Small):
    def forward(self, x: Tensor):
        return sys.exit() if self.training else super().forward(x)


@pytest.mark.parametrize(
    ("network", "said"),
    [
        (Ends, "its forward raises SystemExit: 0; mend it there"),
        (Interrupts, "its forward raises KeyboardInterrupt"),
        (EndsInTraining, "its forward raises SystemExit"),
        (lambda: sys.exit(0), "its builder raises SystemExit"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_whoever_ends_the_process_is_named(network, said, probed):
    with pytest.raises(Unfit, match=said):
        probed(network)


def test_what_only_evaluates_is_probed_for_that_alone(monkeypatch):
    def of(builder) -> None:
        monkeypatch.setitem(registry.ENTRIES, "mine", Entry("mine", "Mine", builder))
        probe_evaluation("mine", 32, CPU)

    of(EndsInTraining)
    with pytest.raises(Unfit, match="its forward raises SystemExit"):
        of(Ends)
    with pytest.raises(Unfit, match="its forward changes the images in place"):
        of(ChangesImages)
