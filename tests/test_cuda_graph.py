"""The captured step: that it is the step, over thirty of them, and that every network's step can be captured.

Without a GPU the recording is a tape of the tensor operations of one step. Replaying it runs those operations again on
the same tensors, with no Python of the step in between: as with a CUDA graph, whatever the step took from Python (a
learning rate, a counter, a branch) stays what it was when it was recorded. With a GPU the same test runs on CUDA.
"""

from collections.abc import Iterable
from itertools import islice
from threading import Event
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from benchmarks.networks import registry
from benchmarks.protocol.recipe import RECIPES, Recipe
from benchmarks.training.batches import ImageStore
from benchmarks.training.cuda_graph import WARM_UP, Captured, Graph, Step, cuda_graph
from benchmarks.training.data import Data
from benchmarks.training.loop import Drawn, steps_of, train
from benchmarks.training.replicas import Replicas
from tests.test_reference_loop import IMAGES, MASKS, PAIRS, STEPS, reference_losses

CPU, META = torch.device("cpu"), torch.device("meta")
gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
DEVICES = [pytest.param(CPU, id="tape"), pytest.param(torch.device("cuda"), id="cuda", marks=gpu)]


class Tape(TorchDispatchMode):
    """The tensor operations of a step, below autograd and vmap."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[tuple[Any, tuple, dict, list[Any]]] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        self.operations.append((function, args, kwargs or {}, tree_leaves(result)))
        return result

    def play(self) -> dict[int, Tensor]:
        """Run the operations again; what each recorded result is this time, by its identity."""
        now: dict[int, Tensor] = {}

        def current(value: Any) -> Any:
            return now.get(id(value), value)

        with torch.no_grad():
            for function, args, kwargs, results in self.operations:
                again = tree_leaves(function(*tree_map(current, args), **tree_map(current, kwargs)))
                now |= {id(old): new for old, new in zip(results, again, strict=True) if old is not new}
        return now


class Taped:
    """Records the step of some replicas and leaves no trace in their training state, as a CUDA graph does."""

    def __init__(self) -> None:
        self.replicas: Replicas | None = None

    def __call__(self, step: Step, inputs: tuple[Tensor, ...]) -> Graph:
        moments = [value for state in self.replicas.optimizer.state.values() for value in state.values()]
        state = [*self.replicas.tensors().values(), *moments]
        before = [each.detach().clone() for each in state]
        with Tape() as tape:
            output = step(*inputs)
        with torch.no_grad():
            for place, value in zip(state, before, strict=True):
                place.copy_(value)
        place = torch.zeros_like(output)
        return Graph(lambda: place.copy_(tape.play()[id(output)]), inputs, place)


def captured_losses(
    network: str, seeds: tuple[int, ...], recipe: Recipe, device: torch.device, dtype: torch.dtype
) -> np.ndarray:
    """Losses of the first STEPS steps, (steps, R), all but the first few of each shape from a recording."""
    capture = cuda_graph if device.type == "cuda" else Taped()
    replicas = Replicas(network, seeds, recipe, device, dtype, capture=capture)
    if isinstance(capture, Taped):
        capture.replicas = replicas
    store, losses = ImageStore(IMAGES, MASKS, device, dtype), []
    step = replicas.step_on(store)
    assert isinstance(step, Captured)
    for epoch in range(1, recipe.epochs + 1):
        replicas.set_rate(recipe.lr_at(epoch))
        losses += [step(*drawn).clone() for drawn in steps_of(replicas, len(store), epoch)]
    assert step.refusal is None
    return torch.stack(losses)[:STEPS].cpu().numpy()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("network", ["aulunet_v3", "ulvm_unet"])
def test_captured_stacked_and_plain_reach_the_same_losses(network, device):
    """Thirty steps in float64 over three epochs, whose learning rates differ, against the field's loop.

    On CUDA the learning rate of a captured step is a float32, which AdamW makes more of than of the order of sums.
    """
    tolerance = 1e-9 if device.type == "cpu" else 1e-4
    expected = np.stack([reference_losses(network, seed, PAIRS, torch.float64)[:STEPS] for seed in (1, 2)], axis=1)
    for seeds in ((1, 2), (2,)):
        losses = captured_losses(network, seeds, PAIRS, device, torch.float64)
        assert len(losses) == STEPS
        np.testing.assert_allclose(losses, expected[:, -len(seeds) :], rtol=tolerance, err_msg=str(seeds))


@pytest.mark.parametrize("device", DEVICES)
def test_batches_of_two_widths_have_a_graph_each(device):
    """22 images in fives are four steps and a rest of two, which comes once an epoch."""
    recipe = RECIPES["paper"].changed(size=64, batch=5, epochs=6)
    expected = reference_losses("aulunet_v3", 1, recipe, torch.float64)
    losses = captured_losses("aulunet_v3", (1,), recipe, device, torch.float64)
    assert len(expected) == len(losses) == 30
    np.testing.assert_allclose(losses[:, 0], expected, rtol=1e-9 if device.type == "cpu" else 1e-4)


def test_a_graph_is_made_once_for_each_shape():
    made: list[tuple[Tensor, ...]] = []

    def capture(step: Step, inputs: tuple[Tensor, ...]) -> Graph:
        made.append(inputs)
        output = torch.zeros(3)
        return Graph(lambda: output.copy_(step(*inputs)), inputs, output)

    step = Captured(lambda x: x.sum().expand(3), capture)
    for size in (2, 4) * 5:
        assert step(torch.ones(size)).tolist() == [size] * 3
    assert [each[0].shape for each in made] == [(2,), (4,)]


def test_what_cannot_be_captured_runs_as_it_is():
    def capture(step: Step, inputs: tuple[Tensor, ...]) -> Graph:
        raise RuntimeError("operation not permitted when stream is capturing\nand more")

    step = Captured(lambda x: x * 2, capture)
    assert [step(torch.tensor(float(k))).item() for k in range(6)] == [0, 2, 4, 6, 8, 10]
    assert step.refusal == "operation not permitted when stream is capturing"


class Hostless(TorchDispatchMode):
    """Refuses operations that move data between the host and the device; numbers may go along with a kernel."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        tensors = list(self.tensors(((args, kwargs), result)))
        on_host = [each for each in tensors if each.device.type == "cpu"]
        moves = len(on_host) not in (0, len(tensors)) and "copy" in str(function)
        assert not moves, f"{function} copies between host and device"
        assert all(each.dim() == 0 for each in on_host), f"{function} works on the host"
        return result

    @staticmethod
    def tensors(tree: Any) -> Iterable[Tensor]:
        return (leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor))


@pytest.mark.parametrize("network", registry.names())
def test_no_step_waits_for_the_device_or_copies_from_the_host(network):
    """On a device without values, where a step that asks for one cannot run: forward and backward of two seeds."""
    size = 64
    store = ImageStore(np.zeros((4, size, size, 3), np.uint8), np.zeros((4, size, size), np.uint8), META)
    replicas = Replicas(network, (1, 2), RECIPES["paper"].changed(size=size, batch=2), META)
    replicas.optimizer.step = lambda: None  # AdamW's fused kernel has no version for this device
    assert store.rot90_flip.is_meta
    assert store.rotation.is_meta  # the tables are made by the first step, which is never captured
    drawn = next(steps_of(replicas, len(store), 1))
    with Hostless():
        losses = replicas.step_on(store)(*drawn)
    assert losses.shape == (2,)


def test_a_step_that_asks_the_device_is_noticed():
    with pytest.raises(RuntimeError, match="meta"):
        torch.ones(2, device=META).sum().item()
    given = torch.ones(2)
    with Hostless(), pytest.raises(AssertionError, match="copies between"):
        given.to(META)


@gpu
def test_training_on_cuda_is_captured():
    cuda, recipe = torch.device("cuda"), RECIPES["paper"].changed(size=64, batch=2, epochs=2)
    replicas, store = Replicas("aulunet_v3", (1, 2), recipe, cuda), ImageStore(IMAGES, MASKS, cuda)
    train(replicas, Data(store, store, store), lambda replicas: None, Event())
    assert replicas.eager_because is None
    expected = reference_losses("aulunet_v3", 2, recipe, torch.float32)
    assert replicas.progress[1].history[0]["train_loss"] == pytest.approx(expected[:11].mean(), rel=1e-2)


def test_a_captured_step_draws_what_an_eager_one_draws():
    """The order of `Drawn` is that of the step's arguments."""
    recipe = RECIPES["paper"].changed(size=64, batch=4)
    replicas, store = Replicas("aulunet_v3", (1, 2), recipe, CPU), ImageStore(IMAGES, MASKS, CPU)
    drawn = list(islice(steps_of(replicas, len(store), 1), WARM_UP))
    assert all(isinstance(each, Drawn) and each.order.shape == (2, 4) for each in drawn)
    assert list(Drawn._fields) == list(replicas.step_on(store).__code__.co_varnames[:5])
