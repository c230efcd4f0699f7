"""Torch or kernels: who chooses, that a run keeps what it was begun with, and that both train alike."""

import json
from dataclasses import replace
from pathlib import Path
from threading import Event

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import Tensor

from benchmarks import datasets, machine
from benchmarks.networks import registry
from benchmarks.objectives import losses
from benchmarks.protocol.recipe import RECIPES, Recipe
from benchmarks.runner import cost, local, save_run
from benchmarks.runner.console import Reporter
from benchmarks.runner.group import Control, Resources
from benchmarks.training import checkpoint, engine, kernels
from benchmarks.training.batches import ImageStore
from benchmarks.training.engine import TORCH, Engine
from benchmarks.training.loop import evaluate, train_epoch
from benchmarks.training.replicas import Replicas
from results import files
from results.cell import Cell
from results.errors import RequestError
from tests.test_reference_loop import IMAGES, MASKS

ROOT = Path(__file__).parents[1]
CPU, CUDA = torch.device("cpu"), torch.device("cuda")
RECIPE = RECIPES["quick"].changed(size=32, epochs=3)
CELL = Cell("synthetic", RECIPE.name, "aulunet_v3", 1)
OLD = Engine("kernels", "0.1", "0.1")
needs_kernels = pytest.mark.skipif(engine.installed() is None, reason="needs numba")


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LESION_BENCHMARKS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def without_numba(monkeypatch):
    monkeypatch.setattr(kernels, "version", lambda: None)


def job(root: Path, begun_with: Engine = TORCH) -> local.Job:
    prepared = datasets.load("synthetic", RECIPE.size)
    resources, control = Resources.of(prepared, RECIPE, CPU), Control(Reporter(Console(quiet=True)))
    return local.Job(RECIPE, root, resources, control, begun_with)


def paused(root: Path, begun_with: Engine) -> local.Job:
    """A results folder in which CELL has a checkpoint."""
    work = job(root, begun_with)
    save_run.begin(CELL, work.prepared, RECIPE, root, begun_with)
    replicas = Replicas(CELL.network, (CELL.seed,), RECIPE, CPU)
    path = checkpoint.path_of(CELL, root)
    checkpoint.save(replicas, [path], [checkpoint.identity(CELL, work.prepared.fingerprint)])
    return work


def recorded(root: Path, name: str) -> dict:
    return json.loads((CELL.folder(root) / name).read_text())["engine"]


@needs_kernels
def test_new_runs_have_kernels_on_a_cpu_in_float32():
    installed = engine.installed()
    assert installed.name == "kernels"
    assert engine.of_new_runs(CPU, RECIPE) == installed
    assert engine.of_new_runs(CPU, RECIPE, allowed=False) == TORCH
    assert engine.of_new_runs(CPU, RECIPES["paper-bf16"]) == TORCH
    assert engine.of_new_runs(CUDA, RECIPE) == TORCH
    assert "numba" in engine.announcement(installed, CPU, RECIPE, asked=True)


def test_without_numba_new_runs_have_torch_and_say_what_would_be_faster(without_numba):
    chosen = engine.of_new_runs(CPU, RECIPE)
    assert chosen == TORCH
    assert '".[cpu]"' in engine.announcement(chosen, CPU, RECIPE, asked=True)
    for device, asked in ((CPU, False), (CUDA, True)):
        assert engine.announcement(chosen, device, RECIPE, asked=asked) == "Runs are begun with torch."


@pytest.mark.parametrize("chosen", [TORCH, OLD])
def test_an_engine_is_read_as_it_was_recorded(chosen):
    assert Engine.of_record(chosen.record()) == chosen


def test_runs_from_before_there_were_kernels_are_torchs():
    assert Engine.of_record(None) == TORCH
    for unknown in ({"name": "abacus"}, {"colour": "blue"}, "torch"):
        with pytest.raises(ValueError, match="there is no engine"):
            Engine.of_record(unknown)


@needs_kernels
@pytest.mark.parametrize("kind", ["torch", "kernels"])
def test_a_run_says_at_both_ends_what_computed_it(kind, tmp_path):
    chosen = engine.installed() if kind == "kernels" else TORCH
    outcome = local.execute([CELL], job(tmp_path, chosen))
    assert outcome.finished == [CELL], outcome.errors
    assert recorded(tmp_path, "config.json") == recorded(tmp_path, "report.json") == chosen.record()
    assert ("numba" in recorded(tmp_path, "report.json")) == (kind == "kernels")


@needs_kernels
def test_a_seed_with_kernels_is_the_seed_beside_another_to_the_last_bit(tmp_path):
    """Side by side on two threads, and alone."""
    other, roots = replace(CELL, seed=2), (tmp_path / "together", tmp_path / "alone")
    for root, cells in zip(roots, ([other, CELL], [CELL]), strict=True):
        assert CELL in local.execute(cells, job(root, engine.installed())).finished
    for name in ("history.csv", "per_image.csv"):
        together, alone = ((CELL.folder(root) / name).read_text() for root in roots)
        assert together == alone, name


@needs_kernels
def test_a_run_begun_with_torch_goes_on_with_torch(tmp_path):
    paused(tmp_path, TORCH)
    outcome = local.execute([CELL], job(tmp_path, engine.installed()))
    assert outcome.finished == [CELL], outcome.errors
    assert recorded(tmp_path, "config.json") == recorded(tmp_path, "report.json") == {"name": "torch"}


@needs_kernels
def test_a_run_of_an_earlier_version_goes_on_with_torch(tmp_path):
    paused(tmp_path, TORCH)
    path = CELL.folder(tmp_path) / "config.json"
    config = json.loads(path.read_text())
    del config["engine"]
    files.write_json(path, config)
    assert save_run.engine_of(CELL, tmp_path, engine.installed()) == TORCH


@needs_kernels
def test_a_run_begun_with_kernels_goes_on_with_kernels_though_new_ones_would_not(tmp_path):
    paused(tmp_path, engine.installed())
    outcome = local.execute([CELL], job(tmp_path, TORCH))
    assert outcome.finished == [CELL], outcome.errors
    assert recorded(tmp_path, "report.json") == engine.installed().record()


@needs_kernels
def test_a_run_begun_with_kernels_is_refused_without_numba(tmp_path, monkeypatch):
    installed = engine.installed()
    paused(tmp_path, installed)
    monkeypatch.setattr(kernels, "version", lambda: None)
    with pytest.raises(RequestError, match=r"config\.json .* numba is not installed") as caught:
        local.execute([CELL], job(tmp_path))
    assert f"pip install numba=={installed.numba} llvmlite=={installed.llvmlite}" in str(caught.value)
    assert recorded(tmp_path, "config.json") == installed.record()


@needs_kernels
@pytest.mark.parametrize("source", [None, "0123456789ab"])
def test_a_run_begun_with_other_kernels_of_the_same_compiler_is_refused(tmp_path, source):
    paused(tmp_path, replace(engine.installed(), source=source))
    with pytest.raises(RequestError, match=r"config\.json .* another version of this code.* the commit that the file"):
        local.execute([CELL], job(tmp_path, engine.installed()))


@needs_kernels
def test_a_run_begun_with_kernels_of_another_version_is_refused(tmp_path):
    paused(tmp_path, OLD)
    with pytest.raises(RequestError, match=r"numba 0\.1 .* but numba .* pip install numba==0\.1"):
        local.execute([CELL], job(tmp_path, engine.installed()))


def test_a_run_begun_with_kernels_is_refused_on_another_device():
    with pytest.raises(RequestError, match="--device cpu"):
        engine.require(OLD, CUDA, Path("config.json"))
    engine.require(TORCH, CUDA, Path("config.json"))


def test_an_engine_that_nobody_knows_is_refused(tmp_path):
    work = paused(tmp_path, TORCH)
    path = CELL.folder(tmp_path) / "config.json"
    files.write_json(path, json.loads(path.read_text()) | {"engine": {"name": "abacus"}})
    with pytest.raises(RequestError, match=r"config\.json cannot be continued \(there is no engine .*abacus"):
        local.execute([CELL], work)


def test_a_run_of_which_nothing_was_trained_begins_anew(tmp_path):
    work = job(tmp_path)
    save_run.begin(CELL, work.prepared, RECIPE, tmp_path, OLD)
    outcome = local.execute([CELL], work)
    assert outcome.finished == [CELL], outcome.errors
    assert recorded(tmp_path, "config.json") == {"name": "torch"}


@needs_kernels
def test_training_goes_on_after_evaluations_of_other_and_of_the_same_weights():
    """Layers that remember where their weights lie must find the module's own again."""
    images = ImageStore(IMAGES, MASKS, CPU)
    changed = {}
    for evaluated in (False, True):
        replicas = Replicas(
            "aulunet_v3", (1,), RECIPES["paper"].changed(size=64, batch=4), CPU, engine=engine.installed()
        )
        for epoch in (1, 2):
            if evaluated:
                seen_otherwise = {name: tensor.detach() for name, tensor in replicas.tensors().items()}
                for tensors in (replicas.tensors(), replicas.best, seen_otherwise):
                    evaluate(replicas, images, tensors, limit=2)
            train_epoch(replicas, images, epoch, Event())
        changed[evaluated] = {name: tensor.clone() for name, tensor in replicas.tensors().items()}
        assert not torch.equal(changed[evaluated]["head.weight"], replicas.best["head.weight"])
    assert all(torch.equal(tensor, changed[True][name]) for name, tensor in changed[False].items())


@needs_kernels
def test_kernels_take_one_replica_on_a_cpu_in_float32():
    for seeds, recipe, device in (
        ((1, 2), RECIPE, CPU),
        ((1,), RECIPES["paper-bf16"].changed(size=32), CPU),
        ((1,), RECIPE, torch.device("meta")),
    ):
        with pytest.raises(ValueError, match="one replica in fp32 on a CPU"):
            Replicas("aulunet_v3", seeds, recipe, device, engine=engine.installed())


class Recording(Replicas):
    """Replicas that remember the losses of their steps."""

    def __init__(self, *arguments: object, **options: object) -> None:
        super().__init__(*arguments, **options)
        self.seen: list[Tensor] = []

    def step(self, images: Tensor, masks: Tensor, draws: Tensor) -> Tensor:
        self.seen.append(super().step(images, masks, draws))
        return self.seen[-1]


def step_losses(network: str, recipe: Recipe, computing: Engine) -> np.ndarray:
    """Losses of each step in float64, (steps,)."""
    replicas = Recording(network, (2,), recipe, CPU, torch.float64, engine=computing)
    images = ImageStore(IMAGES, MASKS, CPU, torch.float64)
    for epoch in range(1, recipe.epochs + 1):
        train_epoch(replicas, images, epoch, Event())
    return torch.cat(replicas.seen).numpy()


@needs_kernels
@pytest.mark.parametrize("network", ["aulunet_v3", "ege_unet", "lb_unet"])
def test_twenty_float64_steps_are_torchs(network):
    """Eleven steps an epoch, whose last batch has other shapes; quarter turns and rotations with them."""
    recipe = RECIPES["paper"].changed(size=64, batch=4, epochs=4)
    expected = step_losses(network, recipe, TORCH)
    assert len(expected) >= 20
    np.testing.assert_allclose(step_losses(network, recipe, engine.installed()), expected, rtol=1e-10)


@pytest.mark.parametrize("objective", [losses.plain, losses.deep_supervision])
def test_objectives_take_another_implementation_of_their_loss(objective):
    masks = torch.ones(2, 1, 4, 4)

    def forward(images: Tensor) -> Tensor | tuple[Tensor, list[Tensor]]:
        return images if objective is losses.plain else (images, [images])

    def ten(logits: Tensor, targets: Tensor) -> Tensor:
        return torch.tensor(10.0)

    taken = objective(forward, masks, masks, masks, loss=ten)
    assert taken.item() == pytest.approx(10 if objective is losses.plain else 11)


@needs_kernels
def test_an_objective_without_kernels_is_left_alone():
    from benchmarks.training.kernels.objectives import by_kernels

    objective = registry.entry("c2sdg").objective
    assert by_kernels(objective) is objective
    for network in ("aulunet_v3", "ege_unet", "lb_unet"):
        assert by_kernels(registry.entry(network).objective) is not registry.entry(network).objective


@needs_kernels
def test_costs_are_kept_apart_by_engine(tmp_path):
    installed = engine.installed()
    paused(tmp_path, TORCH)
    work = job(tmp_path, installed)
    cells = [CELL, *(Cell("synthetic", RECIPE.name, "aulunet_v3", seed) for seed in (2, 3))]
    counted = cost.groups(cells, work)
    assert counted == {("aulunet_v3", TORCH): 1, ("aulunet_v3", installed): 2}
    costs = {group: cost.Cost(1, seconds, 1.0) for group, seconds in zip(counted, (10.0, 2.0), strict=True)}
    assert cost.makespan(counted, costs, work) == (10.0 if machine.workers(CPU) > 1 else 14.0)


def test_no_worker_is_timed_before_all_are_warm(tmp_path, monkeypatch):
    done = []
    warm, timed = cost._warm, cost._seconds
    monkeypatch.setattr(cost, "SECONDS", 0.0)
    monkeypatch.setattr(cost, "WARMING", 0.0)
    monkeypatch.setattr(cost, "workers", lambda device: 2)
    monkeypatch.setattr(cost, "_warm", lambda *each: (warm(*each), done.append("warm"))[0])
    monkeypatch.setattr(cost, "_seconds", lambda *each: (done.append("timed"), timed(*each))[1])
    assert cost.measure("aulunet_v3", TORCH, 2, job(tmp_path)).seconds > 0
    assert done == ["warm", "warm", "timed", "timed"]


@needs_kernels
def test_a_cost_is_measured_with_the_engine_that_is_asked_for(tmp_path, monkeypatch):
    used = []

    class Noted(Replicas):
        def __init__(self, *arguments: object, **options: object) -> None:
            super().__init__(*arguments, **options)
            used.append(self.engine)

    monkeypatch.setattr(cost, "Replicas", Noted)
    monkeypatch.setattr(cost, "SECONDS", 0.0)
    monkeypatch.setattr(cost, "WARMING", 0.0)
    measured = cost.measure("aulunet_v3", engine.installed(), 2, job(tmp_path))
    assert set(used) == {engine.installed()}
    assert measured.seconds > 0
