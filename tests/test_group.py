"""A group trained from its specification in a fresh process gives the same files; what changed meanwhile is refused."""

import multiprocessing
import os
import pickle
import time
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest
import torch
from rich.console import Console

from benchmarks import datasets
from benchmarks.networks import registry
from benchmarks.protocol.recipe import RECIPES
from benchmarks.runner import litter, local, save_run
from benchmarks.runner.claims import ClaimLost, Claims, held_now
from benchmarks.runner.console import Reporter
from benchmarks.runner.group import Control, GroupSpec, Resources, run_alone, run_group
from benchmarks.training import checkpoint
from benchmarks.training.loop import Interrupted, train
from benchmarks.training.replicas import Replicas
from results.cell import Cell
from results.errors import RequestError
from results.runs import is_finished

CPU = torch.device("cpu")
RECIPE = RECIPES["quick"].changed(size=32, epochs=2, batch=8)
NUMBERS = ("per_image.csv", "history.csv", "weights.safetensors")
PLUGIN = """
from torch import nn
from benchmarks.networks.entry import Entry
from shapes import width

NETWORKS = [Entry("own", "Own", lambda: nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.Conv2d(width, 1, 1)))]
"""


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LESION_BENCHMARKS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def plugin(tmp_path):
    """A plugin of two files, registered as `own` for the length of a test."""
    (tmp_path / "shapes.py").write_text("width = 2\n")
    path = tmp_path / "own.py"
    path.write_text(PLUGIN)
    registry.load_plugin(str(path))
    yield path
    registry.ENTRIES.pop("own", None)


def quiet() -> Control:
    return Control(Reporter(Console(quiet=True)))


def planned(root: Path, *networks: str, seed: int = 1) -> tuple[list[GroupSpec], local.Job]:
    """The groups of one seed of these networks, to be stored in `root`."""
    prepared = datasets.load("synthetic", RECIPE.size)
    job = local.Job(RECIPE, root, Resources.of(prepared, RECIPE, CPU), quiet())
    cells = [Cell("synthetic", RECIPE.name, network, seed) for network in networks]
    return local.planned_groups(cells, job), job


def numbers(spec: GroupSpec) -> list[bytes]:
    """What was stored of the only cell of a group."""
    (cell,) = spec.cells
    return [(cell.folder(spec.root) / name).read_bytes() for name in NUMBERS]


def in_a_fresh_process(pickled: list[bytes]) -> None:
    """Only bytes come in; what they need is imported by unpickling them, as on another machine."""
    for each in pickled:
        run_alone(pickle.loads(each), quiet(), "cpu")


def test_a_fresh_process_trains_a_group_to_the_same_numbers(tmp_path, plugin):
    """One of ours and one of a plugin of two files, whose process was never told of it."""
    here, job = planned(tmp_path / "here", "aulunet_v3", "own")
    there, _ = planned(tmp_path / "there", "aulunet_v3", "own")
    process = multiprocessing.get_context("spawn").Process(
        target=in_a_fresh_process, args=([pickle.dumps(spec) for spec in there],)
    )
    process.start()
    with Claims(tmp_path / "here") as claims:
        for spec in here:
            run_group(spec, job.resources, job.control, claims)
    process.join(120)
    assert process.exitcode == 0
    assert [spec.network for spec in there] == ["aulunet_v3", "own"]
    assert [numbers(spec) for spec in there] == [numbers(spec) for spec in here]


def test_a_specification_is_plain_data(tmp_path, plugin):
    (spec,), _ = planned(tmp_path / "results", "own")
    assert pickle.loads(pickle.dumps(spec)) == spec
    assert spec.root.is_absolute()
    assert spec.wanted == registry.Specification("own", str(plugin), registry.entry("own").plugin.digest)


def test_a_plugin_that_was_changed_since_is_refused(tmp_path, plugin):
    """In the file that it imports, and in a process that has loaded it, or has not."""
    (spec,), _ = planned(tmp_path / "results", "own")
    (tmp_path / "shapes.py").write_text("width = 3\n")
    registry.ENTRIES.pop("own")
    for _ in range(2):
        with pytest.raises(RequestError, match=r"own\.py have changed since own was planned"):
            run_alone(spec, quiet(), "cpu")
    assert not is_finished(spec.cells[0], spec.root)


def test_a_network_of_the_same_name_from_elsewhere_is_refused(tmp_path, plugin):
    (spec,), _ = planned(tmp_path / "results", "own")
    other = replace(spec, wanted=replace(spec.wanted, name="aulunet_v3"))
    with pytest.raises(RequestError, match=r"own\.py have changed since aulunet_v3 was planned"):
        run_alone(other, quiet(), "cpu")


def test_other_data_than_planned_are_refused(tmp_path):
    (spec,), _ = planned(tmp_path, "aulunet_v3")
    with pytest.raises(RequestError, match=r"synthetic with fingerprint .*, but .* planned on 0123456789ab;"):
        run_alone(replace(spec, fingerprint="0123456789abcdef"), quiet(), "cpu")
    assert not is_finished(spec.cells[0], tmp_path)


def test_seeds_that_stand_apart_train_one_after_another_and_a_refused_one_stops_no_other(tmp_path, plugin):
    """As after a kill between two renames: one of three goes on, one begins, and one cannot be gone on with."""
    (spec,), job = planned(tmp_path / "broken", "own")
    spec = replace(spec, seeds=(1, 2, 3))
    for cell in spec.cells:
        save_run.begin(cell, job.prepared, RECIPE, spec.root)
    identities = [checkpoint.identity(cell, spec.fingerprint) for cell in spec.cells]
    first = Replicas("own", (1,), RECIPE.changed(epochs=1), CPU)
    train(first, job.data, lambda replicas: None, Event())
    checkpoint.save(first, spec.checkpoints[:1], identities[:1])
    checkpoint.before(spec.checkpoints[0]).write_text("not needed")
    spec.checkpoints[2].write_text("damaged")
    with (
        Claims(spec.root) as claims,
        pytest.raises(RequestError, match=r"seed-3/checkpoint\.safetensors: it is not a checkpoint"),
    ):
        run_group(spec, job.resources, job.control, claims)
    assert [is_finished(cell, spec.root) for cell in spec.cells] == [True, True, False]
    for seed in (1, 2):
        alone, _ = planned(tmp_path / "whole", "own", seed=seed)
        with Claims(alone[0].root) as claims:
            run_group(alone[0], job.resources, job.control, claims)
        assert numbers(replace(spec, seeds=(seed,))) == numbers(alone[0])
    assert not list(spec.root.rglob("seed-[12]/checkpoint*"))


def test_a_deadline_on_the_wall_clock_and_a_stop_are_obeyed(tmp_path):
    (spec,), job = planned(tmp_path, "aulunet_v3")
    with Claims(tmp_path) as claims:
        with pytest.raises(Interrupted):
            run_group(replace(spec, deadline=time.time() - 1), job.resources, job.control, claims)
        job.control.stop.set()
        with pytest.raises(Interrupted):
            run_group(spec, job.resources, job.control, claims)
    assert os.listdir(spec.cells[0].folder(tmp_path)) == ["config.json"]


def test_a_thief_in_the_middle_of_a_write_is_no_fault_of_the_disk(tmp_path, monkeypatch):
    (spec,), job = planned(tmp_path, "aulunet_v3")
    written = checkpoint.checkpoint_file.write

    def write(path: Path, *content) -> None:
        written(path, *content)
        with Claims(tmp_path, steal=held_now(spec.cells, tmp_path)) as thief:
            assert thief.take(spec.cells[0])
            assert path in litter.clean(spec.cells[0].folder(tmp_path))
            thief._mine.clear()  # it goes on to hold the cell

    monkeypatch.setattr(checkpoint.checkpoint_file, "write", write)
    monkeypatch.setattr(job.control.pause, "is_set", iter([False, True]).__next__)
    with Claims(tmp_path) as claims, pytest.raises(ClaimLost, match="seed 1"):
        run_group(spec, job.resources, job.control, claims)
