"""A network with tied parameters and shared modules: trained to the end, stored under every name, counted once.

That it trains what the field's loop trains is in test_tiny_training.py.
"""

from threading import Event

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from benchmarks.datasets import PreparedSet, splits, store
from benchmarks.measuring.inference import weights_bytes
from benchmarks.networks import registry
from benchmarks.runner import local
from benchmarks.runner.console import Reporter
from benchmarks.runner.group import Control, Resources
from benchmarks.training.loop import evaluate, train_epoch
from benchmarks.training.pixel_counts import counts
from benchmarks.training.replicas import Replicas, places
from results import files
from results.cell import Cell
from tests import tiny_network
from tests.tiny_network import RECIPE, SIZE

CPU = torch.device("cpu")
CELLS = [Cell("synthetic", RECIPE.name, "tied", seed) for seed in (3, 4)]
PARAMETERS = 6 + 81 + 3 + 3 + 3 + 1  # the norm, one kernel, two biases, and the last layer


@pytest.fixture(autouse=True)
def tied():
    with tiny_network.own_registry():
        yield tiny_network.registered("tied", builder=tiny_network.Tied)


@pytest.fixture
def prepared(tmp_path) -> PreparedSet:
    images, masks = tiny_network.pictures(sum(splits.COUNTS["synthetic"]))
    ids = tuple(f"image_{k:03d}" for k in range(len(images)))
    cache, origin = tmp_path / "cache", {"originals": "drawn"}
    with store.locked(cache):
        return store.write(cache / str(SIZE), "synthetic", SIZE, ids, zip(images, masks, strict=True), origin)


class Stopping(Reporter):
    """Stops all groups after some epochs."""

    def __init__(self, epochs: int, stop: Event) -> None:
        super().__init__(Console(quiet=True))
        self.left, self.stop = epochs, stop

    def epoch(self, replicas) -> None:
        self.left -= 1
        if self.left == 0:
            self.stop.set()


def run(prepared: PreparedSet, root, stop_after: int = 0) -> local.Outcome:
    stop = Event()
    control = Control(Stopping(stop_after, stop), stop)
    return local.execute(CELLS, local.Job(RECIPE, root, Resources.of(prepared, RECIPE, CPU), control))


def test_it_is_stored_under_every_name_and_counted_once(prepared, tmp_path):
    outcome = run(prepared, tmp_path)
    assert (outcome.finished, outcome.errors) == (CELLS, [])
    data = Resources.of(prepared, RECIPE, CPU).data.test
    images, _ = data.plain(0, len(data))
    for cell in CELLS:
        folder, network = cell.folder(tmp_path), tiny_network.Tied()
        weights = load_file(folder / "weights.safetensors")
        assert torch.equal(weights["first.weight"], weights["second.weight"])
        assert torch.equal(weights["norm.running_var"], weights["again.running_var"])
        network.load_state_dict(weights)
        with torch.no_grad():
            found = counts(network.eval()(images)[None], data.truth(0, len(data)))[0].sum(dim=0)
        rows = [line.split(",")[1:] for line in (folder / "per_image.csv").read_text().splitlines()[1:]]
        assert torch.tensor([[int(each) for each in row] for row in rows]).sum(dim=0).tolist() == found.tolist()
        assert files.read_json(folder / "report.json")["parameters"] == PARAMETERS
    assert weights_bytes(registry.build("tied")) == (CELLS[0].folder(tmp_path) / "weights.safetensors").stat().st_size


def test_an_interrupted_run_goes_on_to_the_same_bytes(prepared, tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.runner.rhythm.LATEST", 0)  # every epoch is saved
    run(prepared, tmp_path / "whole")
    assert run(prepared, tmp_path / "parts", stop_after=3).interrupted
    assert run(prepared, tmp_path / "parts").finished == CELLS
    for cell in CELLS:
        for name in ("weights.safetensors", "per_image.csv", "history.csv"):
            whole, parts = (cell.folder(tmp_path / root) / name for root in ("whole", "parts"))
            assert whole.read_bytes() == parts.read_bytes(), name


@pytest.mark.parametrize("seeds", [(3,), (3, 4)])
def test_evaluating_other_weights_leaves_its_own_in_place(prepared, seeds):
    replicas, data = Replicas("tied", seeds, RECIPE, CPU), Resources.of(prepared, RECIPE, CPU).data
    before = places(replicas.module)
    train_epoch(replicas, data.train, 1, Event())
    evaluate(replicas, data.validation, replicas.best)
    assert all(tensor is before[name] for name, tensor in places(replicas.module).items())
