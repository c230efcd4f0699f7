"""What a run needs of memory is known before it is taken: refused with numbers and a cure, or said."""

import pytest
import torch

from benchmarks.measuring import step_memory
from benchmarks.networks.entry import MultiplesOf
from benchmarks.protocol.recipe import RECIPES
from benchmarks.runner import memory
from results.cell import Cell
from results.errors import RequestError
from tests import tiny_network

CPU = torch.device("cpu")
RECIPE = RECIPES["paper"].changed(size=512)
PIXELS = 512 * 512
DATA = PIXELS * (4 * 112 + 8 * 70)  # 64 + 16 + 32 images and masks, and the rows of the tables of augmentation


@pytest.fixture(autouse=True)
def tiny():
    with tiny_network.own_registry():
        yield tiny_network.registered("tiny", builder=tiny_network.Tied, accepts=MultiplesOf(1))


@pytest.fixture
def asked(monkeypatch):
    """Asks for one cell of "tiny", or more, with so many bytes free; returns what was said."""

    def ask(free: int, recipe=RECIPE, cells: int = 1, workers: int = 2) -> list[str]:
        said: list[str] = []
        monkeypatch.setattr(memory, "available_memory", lambda: free)
        monkeypatch.setattr(memory, "workers", lambda device: workers)
        memory.require([Cell("synthetic", "x", "tiny", seed) for seed in range(cells)], recipe, CPU, said.append)
        return said

    return ask


def test_a_step_is_counted_without_taking_it():
    """Of a network whose step can be counted by hand to within what AdamW and small tensors take."""
    before = step_memory.of_step("tiny", RECIPE.changed(batch=2))
    after = step_memory.of_step("tiny", RECIPE.changed(batch=4))
    maps = (after - before) / (2 * PIXELS * 4)  # of float32, per pixel
    assert 4 + 5 * 3 < maps < 40, "images and masks, and the five maps of three channels that backward needs"


def test_data_that_do_not_fit_are_refused(asked):
    with pytest.raises(
        RequestError, match=r"^synthetic at 512 px takes 0.3 GB of memory, and 0.1 GB are free; choose a"
    ):
        asked(100_000_000)
    asked(2**50)


def test_a_step_that_does_not_fit_is_refused_with_numbers(asked):
    step = step_memory.of_step("tiny", RECIPE)
    with pytest.raises(RequestError, match=r"^A step of tiny with batches of 8 at 512 px takes .* smaller --size or"):
        asked(DATA + step - 1)
    assert asked(DATA + step + 1) == []


def test_cells_side_by_side_that_do_not_fit_are_said(asked):
    step = step_memory.of_step("tiny", RECIPE)
    (said,) = asked(DATA + 2 * step - 1, cells=2)
    assert "2 train side by side" in said
    assert asked(DATA + 2 * step + 1, cells=2) == []
    assert asked(DATA + 2 * step - 1, cells=2, workers=1) == []


def test_a_batch_is_no_wider_than_the_training_split(asked):
    step = step_memory.of_step("tiny", RECIPE.changed(batch=64))
    assert asked(DATA + step + 1, RECIPE.changed(batch=4096)) == []


def test_a_network_that_does_not_run_without_values_is_let_through(asked):
    class Item(tiny_network.Tied):
        def forward(self, x):
            return super().forward(x) * x.mean().item()

    tiny_network.registered("tiny", builder=Item)
    assert step_memory.of_step("tiny", RECIPE) is None
    assert asked(DATA + 1) == []


def test_a_network_that_does_not_take_the_size_is_left_to_the_plan(asked):
    tiny_network.registered("tiny", accepts=MultiplesOf(7))
    assert asked(DATA + 1) == []
