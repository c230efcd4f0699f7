"""Who trains, on what and which part of it, as it is typed; and what travels to other machines."""

import pickle
import sys
import time
from io import StringIO
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import torch
from rich.console import Console
from typer.testing import CliRunner

from benchmarks import datasets, machine
from benchmarks.cli.app import app
from benchmarks.datasets import splits, store
from benchmarks.datasets.transfer import Shipped, is_prepared
from benchmarks.networks import registry
from benchmarks.protocol.recipe import RECIPES
from benchmarks.runner import local
from benchmarks.runner.console import Moment, Note, Reporter, Watcher
from benchmarks.runner.executors import slurm, task
from benchmarks.runner.executors.ray import Ray
from benchmarks.runner.executors.slurm import Slurm
from benchmarks.runner.group import Control, Resources
from benchmarks.runner.local import Outcome
from benchmarks.runner.rhythm import Rhythm
from benchmarks.runner.shard import Shard
from benchmarks.training import checkpoint
from results.cell import Cell
from results.errors import RequestError

CPU, GPU = torch.device("cpu"), torch.device("cuda")
PLAN = [Cell(data, "paper", name, seed) for data in ("isic2018", "isic2017") for name in "abc" for seed in (1, 2, 3)]


@pytest.mark.parametrize("count", [1, 2, 5, 18, 40])
@pytest.mark.parametrize(("device", "together"), [(CPU, 1), (GPU, 3)])
def test_shards_together_are_the_plan(count, device, together):
    parts = [Shard(number, count).part(PLAN, device) for number in range(1, count + 1)]
    assert sorted(cell for part in parts for cell in part) == sorted(PLAN)
    units = [len(part) / together for part in parts]
    assert all(each.is_integer() for each in units), "the seeds of a network were divided"
    assert max(units) - min(units) <= 1


@pytest.mark.parametrize("text", ["0/2", "3/2", "1/0", "1", "a/b", "-1/2", "1/2/3", "1/99999999999"])
def test_a_shard_that_is_none_is_refused(text):
    with pytest.raises(RequestError, match=r"--shard is .*; give which of how many parts"):
        Shard.of(text)


@pytest.mark.parametrize(
    ("name", "found"),
    [("cpu", ["cpu"]), ("cuda:1", ["cuda:1"]), ("auto", ["cuda:0", "cuda:1"]), ("cuda", ["cuda:0", "cuda:1"])],
)
def test_all_gpus_are_used_unless_one_is_named(monkeypatch, name, found):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [str(device) for device in machine.devices_named(name)] == found
    with pytest.raises(RequestError, match=r"--device is cuda:2, but this machine has cuda:0 to cuda:1"):
        machine.devices_named("cuda:2")


@pytest.mark.parametrize("name", ["cuda:", "cuda:x", "cpu:0", "gpu"])
def test_a_device_that_is_none_is_refused(name):
    with pytest.raises(RequestError, match=r'one of several as "cuda:1"'):
        machine.device_named(name)


def test_the_script_for_slurm():
    given = ["partition=gpu", "gpus=1", "time=1-00:30:00", "at_once=4", "mem=16G", "mail-type=END"]
    lines = Slurm.asked(given, "auto").script(10, Path("/shared/results")).splitlines()
    for option in (
        "--array=0-9%4",
        "--cpus-per-task=1",
        "--gpus-per-node=1",
        "--mail-type=END",
        "--mem=16G",
        "--partition=gpu",
        "--signal=USR2@120",
        "--time=1470",
    ):
        assert f"#SBATCH {option}" in lines
    assert lines[0] == "#!/bin/bash"
    assert lines[-1].endswith(f"{sys.executable} -u -m submitit.core._submit /shared/results/slurm")
    assert "--array" not in Slurm.asked([], "cpu").script(1, Path("results"))
    assert Slurm.asked(["gpus=1"], "auto").device == Slurm.asked([], "cuda").device == GPU
    assert Slurm.asked([], "auto").device == CPU


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--executor", "dask"], "There is no executor 'dask'; did you mean"),
        (["--address", "10.0.0.1:6379"], "--address goes with --executor ray"),
        (["--slurm", "time=10"], "--slurm goes with --executor slurm"),
        (["--print"], "--print goes with --executor slurm"),
        (["--executor", "slurm", "--slurm", "gpu"], "--slurm gpu is not KEY=VALUE"),
        (["--executor", "slurm", "--slurm", "time=soon"], "--slurm time=soon is no time"),
        (["--executor", "slurm", "--slurm", "time=1"], "--slurm time=1 is too short"),
        (["--executor", "slurm", "--slurm", "at_once=0"], "--slurm at_once=0 is not a whole number of 1 or more"),
        (["--executor", "slurm", "--device", "cuda:1"], "with --executor slurm give auto, cpu or cuda"),
        (["--executor", "ray", "--device", "cuda:1"], "with --executor ray give auto, cpu or cuda"),
        (["--executor", "ray", "--address", "auto"], "--address is 'auto'; give HOST:PORT"),
        (["--executor", "ray", "--address", "127.0.0.1:1"], "--address 127.0.0.1:1 does not answer"),
        (["--shard", "5/4"], "--shard is '5/4'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_cannot_be_meant_is_refused(tmp_path, monkeypatch, options, said):
    monkeypatch.setenv("LESION_BENCHMARKS_CACHE", str(tmp_path / "cache"))
    arguments = ["run", "--suite", "quick", "--size", "32", "--results", str(tmp_path / "results"), *options]
    done = CliRunner().invoke(app, arguments)
    assert isinstance(done.exception, RequestError)
    assert said.partition("; did")[0] in str(done.exception)
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(("executor", "module"), [(Ray, "ray"), (Slurm.asked, "submitit")])
def test_an_executor_that_is_not_installed_is_named(monkeypatch, executor, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(RequestError, match=rf"needs {module}; type: pip install \"lesion-benchmarks\[(ray|slurm)\]\""):
        executor(*([[], "cpu"] if module == "submitit" else ["cpu"]))


def test_other_code_is_refused():
    assert len(task.code()) == 64
    task.require_code(task.code(), "Node a")
    with pytest.raises(RequestError, match=r"^Node a runs another version of this package"):
        task.require_code("0" * 64, "Node a")


def test_what_went_wrong_elsewhere_can_be_read_here():
    """An exception of a plugin's own class, which no other process knows."""

    class Unknown(Exception):
        pass

    outcome = Outcome(errors=[("own", "it broke")])
    try:
        raise Unknown("in its forward")
    except Unknown as error:
        outcome.causes.append(error)
    [cause] = pickle.loads(pickle.dumps(task.portable(outcome))).causes
    assert "Unknown: in its forward" in str(cause)
    assert __file__ in str(cause)


def test_errors_that_several_processes_met_are_said_once():
    both = [Outcome(errors=[("a", "x"), ("b", "y")]), Outcome(errors=[("a", "x")], interrupted=True)]
    whole = task.merged(both)
    assert (whole.errors, whole.interrupted) == ([("a", "x"), ("b", "y")], True)


def test_events_are_shown_as_groups_begin_move_are_lost_and_end():
    console = Console(width=100, record=True, force_terminal=False, file=StringIO())
    with Reporter(console) as reporter:
        for event in (
            Moment("a seed 1", 0, 9),
            Moment("a seed 1", 1, 9, "loss 1"),
            Moment("a seed 1", 1, 9, ended=True),
            Moment("a seed 1", 1, 9),  # on another machine
            Moment("a seed 1", 9, 9, "loss 0.5"),
            Note("a seed 1: done [best]"),
            Moment("a seed 1", 9, 9, ended=True),
            Moment("a seed 1", 1, 9, ended=True),  # of the machine that was lost, late
        ):
            reporter.show(pickle.loads(pickle.dumps(event)))
    assert console.export_text().splitlines() == [
        "a seed 1: starting at epoch 0 of 9",
        "a seed 1: epoch 1/9, loss 1",
        "a seed 1: resumed after epoch 1 of 9",
        "a seed 1: epoch 9/9, loss 0.5",
        "a seed 1: done [best]",
    ]


def test_a_pause_that_is_asked_for_comes_with_a_checkpoint_and_never_after_the_last_epoch():
    rhythm = Rhythm(3)
    assert not rhythm.after_epoch(1).pause
    due = rhythm.after_epoch(2, pause=True)
    assert (due.pause, due.save) == (True, True)
    assert not rhythm.after_epoch(3, pause=True).pause


@pytest.fixture
def small(tmp_path, monkeypatch) -> datasets.PreparedSet:
    """A prepared ISIC2018 of five pictures in a cache folder."""
    monkeypatch.setattr(splits, "COUNTS", splits.COUNTS | {"isic2018": (2, 1, 2)})
    monkeypatch.setenv("LESION_BENCHMARKS_CACHE", str(tmp_path / "here"))
    folder = tmp_path / "here" / "isic2018" / "8"
    draw = np.random.default_rng(1)
    pictures = [(draw.integers(0, 256, (8, 8, 3), np.uint8), draw.integers(0, 256, (8, 8), np.uint8)) for _ in range(5)]
    with store.locked(folder.parent):
        return store.write(folder, "isic2018", 8, [f"ISIC_{k}" for k in range(5)], pictures, {"from": "a test"})


def test_a_machine_without_the_data_set_receives_it(small, tmp_path, monkeypatch):
    sent = pickle.dumps(Shipped.of(small))
    monkeypatch.setenv("LESION_BENCHMARKS_CACHE", str(tmp_path / "there"))
    assert not is_prepared("isic2018", 8)
    for _ in range(2):  # the second time it is there
        pickle.loads(sent).arrive()
    assert is_prepared("isic2018", 8)
    arrived = datasets.load("isic2018", 8)
    assert (arrived.folder, arrived.fingerprint) == (tmp_path / "there" / "isic2018" / "8", small.fingerprint)
    arrived.verification.check()
    texts = [(each.folder / "prepared.json").read_text() for each in (small, arrived)]
    assert texts[0] == texts[1]


def test_pixels_that_changed_on_their_way_are_refused(small, tmp_path, monkeypatch):
    sent = pickle.loads(pickle.dumps(Shipped.of(small)))
    sent.masks[0, 0, 0] ^= 1
    monkeypatch.setenv("LESION_BENCHMARKS_CACHE", str(tmp_path / "there"))
    with pytest.raises(RequestError, match="has received other pixels than were sent; delete it"):
        sent.arrive()


def test_a_job_that_is_told_of_its_end_pauses_with_a_checkpoint(tmp_path, monkeypatch):
    """Soon enough that none was due; what submitit queues again is the same task."""
    output = StringIO()
    monkeypatch.setattr(slurm, "Console", lambda: Console(file=output))
    monkeypatch.setattr(registry, "ENTRIES", dict(registry.ENTRIES))
    monkeypatch.setenv("LESION_BENCHMARKS_CACHE", str(tmp_path / "cache"))
    registry.load_plugin(str(Path(__file__).with_name("slow_network.py")))
    recipe = RECIPES["quick"].changed(size=8, batch=8, epochs=1000)
    cell = Cell("synthetic", recipe.name, "slow", 1)
    resources = Resources.of(datasets.load("synthetic", 8), recipe, CPU)
    job = local.Job(recipe, tmp_path, resources, Control(Watcher(lambda _: None)))
    [group] = local.planned_groups([cell], job)
    attempt = slurm.Attempt(task.Task(group, "cpu", "a job", frozenset(), task.code()))
    outcomes = []
    running = Thread(target=lambda: outcomes.append(attempt()))
    running.start()
    while "starting at epoch 0" not in output.getvalue():
        assert running.is_alive(), outcomes
        time.sleep(0.001)
    again = attempt.checkpoint()
    running.join()
    assert (outcomes[0].interrupted, outcomes[0].errors) == (True, [])
    assert checkpoint.exists(cell, tmp_path)
    assert pickle.loads(pickle.dumps(again.function)).task == attempt.task
