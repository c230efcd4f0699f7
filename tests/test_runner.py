"""Cells on disk: skipping, killing and going on, failing alone, refusing; with drawn lesions and real training."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from benchmarks import datasets, machine
from benchmarks.networks import registry
from benchmarks.networks.entry import Entry
from benchmarks.protocol.recipe import RECIPES, Recipe
from benchmarks.runner import local, save_run
from benchmarks.runner.claims import Claims
from benchmarks.runner.console import Reporter
from benchmarks.runner.group import Control, GroupSpec, Resources, run_group
from benchmarks.runner.plan import plan_of
from benchmarks.training import checkpoint, engine
from benchmarks.training.batches import ImageStore
from benchmarks.training.loop import evaluate
from benchmarks.training.pixel_counts import predicted
from benchmarks.training.replicas import Replicas
from results import files, predictions
from results.cell import Cell
from results.errors import RequestError
from results.metrics import COUNT_COLUMNS, pooled
from results.runs import is_finished, load_runs

RECIPE = RECIPES["quick"].changed(size=32, epochs=3, batch=4, lr=1e-2)  # learns enough to predict some pixels
ROOT = Path(__file__).parents[1]
needs_kernels = pytest.mark.skipif(engine.installed() is None, reason="needs numba")


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LESION_BENCHMARKS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def cells(network: str, seeds: tuple[int, ...], recipe: Recipe = RECIPE) -> list[Cell]:
    return [Cell("synthetic", recipe.name, network, seed) for seed in seeds]


def job(root: Path, recipe: Recipe = RECIPE) -> local.Job:
    prepared = datasets.load("synthetic", recipe.size)
    cpu = torch.device("cpu")
    resources, control = Resources.of(prepared, recipe, cpu), Control(Reporter(Console(quiet=True)))
    return local.Job(recipe, root, resources, control)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A results folder with two finished seeds of AULUNet-v3."""
    root = tmp_path_factory.mktemp("results")
    with Reporter(Console(quiet=True)):
        outcome = local.execute(cells("aulunet_v3", (1, 2)), job(root))
    assert not outcome.errors
    assert len(outcome.finished) == 2
    return root


def scores(root: Path, cell: Cell) -> tuple[str, dict]:
    """The stored counts as text, and the metrics; of a network that found some pixels, and not all."""
    folder = cell.folder(root)
    counts = pd.read_csv(folder / "per_image.csv")[list(COUNT_COLUMNS)].sum()
    assert 0.02 < (counts["tp"] + counts["fp"]) / counts.sum() < 0.5, "too little was predicted to compare"
    assert counts["tp"] > counts["fp"]
    return (folder / "per_image.csv").read_text(), json.loads((folder / "report.json").read_text())["metrics"]


def test_a_folder_explains_itself(finished):
    folder = cells("aulunet_v3", (1,))[0].folder(finished)
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json",
        "history.csv",
        "per_image.csv",
        "predictions.tif",
        "probabilities.csv",
        "report.json",
        "weights.safetensors",
    ]
    report, config = (json.loads((folder / name).read_text()) for name in ("report.json", "config.json"))
    assert config["split"]["sizes"] == {"train": 64, "validation": 16, "test": 32}
    assert config["recipe_settings"]["epochs"] == report["epochs"] == 3
    assert report["parameters"] == 28_636
    assert 1 <= report["best_epoch"] <= 3
    history = pd.read_csv(folder / "history.csv")
    assert history["validation_loss"].min() == report["validation_loss"]


def test_counts_recompute_every_metric_and_cover_every_pixel(finished):
    cell = cells("aulunet_v3", (1,))[0]
    table = pd.read_csv(cell.folder(finished) / "per_image.csv")
    counts = table[list(COUNT_COLUMNS)].to_numpy()
    assert (counts.sum(axis=1) == 32 * 32).all()
    prepared = datasets.load("synthetic", 32)
    test = prepared.split("paper").test
    assert list(table["id"]) == [prepared.ids[row] for row in test]
    lesion = (prepared.masks[test] >= 128).sum(axis=(1, 2))
    assert np.array_equal(lesion, table["tp"] + table["fn"])
    assert pooled(counts) == scores(finished, cell)[1]


def test_stored_weights_and_masks_are_those_that_were_scored(finished):
    cell = cells("aulunet_v3", (2,))[0]
    network = registry.build("aulunet_v3")
    network.load_state_dict(load_file(cell.folder(finished) / "weights.safetensors"))
    prepared = datasets.load("synthetic", 32)
    test = prepared.split("paper").test
    images, _ = ImageStore(prepared.images[test], prepared.masks[test], torch.device("cpu")).plain(0, len(test))
    with torch.no_grad():
        found = predicted(network.eval()(images))[:, 0].numpy()
    assert 0.02 < found.mean() < 0.5
    truth = prepared.masks[test] >= 128
    table = pd.read_csv(cell.folder(finished) / "per_image.csv")
    assert abs((found & truth).sum() - table["tp"].sum()) <= 2  # batch size may move a pixel on the threshold
    kept = predictions.read(cell.folder(finished) / "predictions.tif", len(found), 32)
    assert ((kept != found).sum(axis=(1, 2)) <= 1).all()
    assert np.array_equal(kept.sum(axis=(1, 2)), table["tp"] + table["fp"])


def test_a_seed_alone_is_the_seed_among_others_to_the_last_bit(finished, tmp_path):
    local.execute(cells("aulunet_v3", (2,)), job(tmp_path))
    cell = cells("aulunet_v3", (2,))[0]
    assert scores(tmp_path, cell) == scores(finished, cell)


def test_finished_cells_are_skipped(finished):
    plan = plan_of(cells("aulunet_v3", (1, 2, 3)), finished)
    assert [cell.seed for cell in plan.todo] == [3]
    assert [cell.seed for cell in plan.done] == [1, 2]


LONGER = RECIPES["quick"].changed(size=32, epochs=8, batch=4)


def command_line(root: Path, before: str = "", *, recipe: Recipe, kernels: bool) -> list[str]:
    """The command line in a process of its own, which begins with `before` and writes a checkpoint every epoch."""
    rhythm = "import benchmarks.runner.rhythm as r; r.LATEST = 0.0"
    before += "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "  # ignored in the background
    code = f"{before}{rhythm}; from benchmarks.__main__ import main; main()"
    start = [sys.executable, "-c", code, "run", "--suite", "quick", "--network", "aulunet_v3", "--seeds", "1"]
    options = ["--size", "32", "--epochs", str(recipe.epochs), "--batch", "4", "--results", str(root)]
    return [*start, *options, *([] if kernels else ["--no-kernels"])]


def interrupt(
    root: Path, cell: Cell, kind: signal.Signals, epochs: int, start: list[str]
) -> subprocess.CompletedProcess:
    """Start the command and send it a signal once `epochs` epochs are on disk."""
    path = cell.folder(root) / "checkpoint.safetensors"
    identity = checkpoint.identity(cell, datasets.load("synthetic", 32).fingerprint)
    process = subprocess.Popen(start, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    deadline = time.monotonic() + 120
    while checkpoint.epochs_done(path, identity) < epochs:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, kind)
    output = process.communicate(timeout=60)[0]
    assert not is_finished(cell, root), "it finished before it was interrupted; the test says nothing"
    return subprocess.CompletedProcess(process.args, process.returncode, output)


@pytest.mark.parametrize(
    ("kernels", "epochs", "ending"),
    [
        pytest.param(False, 8, signal.SIGINT, id="torch"),
        pytest.param(True, 48, signal.SIGTERM, id="kernels", marks=needs_kernels),  # SIGTERM ends what is in background
    ],
)
def test_stopped_then_killed_then_finished_elsewhere_gives_the_same_numbers(tmp_path, kernels, epochs, ending):
    """Elsewhere: other folders, another number of cores and threads."""
    recipe, computing = LONGER.changed(epochs=epochs), engine.installed() if kernels else engine.TORCH
    command = partial(command_line, recipe=recipe, kernels=kernels)
    cell = cells("aulunet_v3", (1,), recipe)[0]
    broken, whole = tmp_path / "broken", tmp_path / "whole"
    stopped = interrupt(broken, cell, ending, 2, command(broken))
    assert stopped.returncode == 130
    assert "Run the same command again" in stopped.stdout
    interrupt(broken, cell, signal.SIGKILL, 5, command(broken))
    moved = tmp_path / "another machine" / "results"
    shutil.copytree(broken, moved)
    environment = os.environ | {"OMP_NUM_THREADS": "3", "LESION_BENCHMARKS_CACHE": str(tmp_path / "its cache")}
    one_core = (
        "import os; hasattr(os, 'sched_setaffinity') and os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); "
    )
    done = subprocess.run(
        command(moved, one_core), cwd=ROOT, check=True, capture_output=True, text=True, env=environment
    )
    assert "resumed after epoch" in done.stdout
    local.execute([cell], replace(job(whole, recipe), engine=computing))
    assert files.read_json(cell.folder(moved) / "report.json")["engine"] == computing.record()
    assert scores(moved, cell) == scores(whole, cell)
    histories = [(cell.folder(root) / "history.csv").read_text() for root in (moved, whole)]
    assert histories[0] == histories[1]
    assert not (cell.folder(moved) / "checkpoint.safetensors").exists()


def test_a_run_pauses_in_time_and_goes_on(tmp_path):
    """A pause comes at the end of an epoch, with its checkpoint, where there is no time for another one."""
    cell, longer = cells("aulunet_v3", (1,), LONGER)[0], job(tmp_path, LONGER)
    assert local.execute([cell], replace(longer, deadline=time.time())).interrupted
    path, identity = (
        cell.folder(tmp_path) / "checkpoint.safetensors",
        checkpoint.identity(cell, longer.prepared.fingerprint),
    )
    assert not path.exists()
    pauses, stood = 0, set()
    deadline = time.monotonic() + 120
    while not is_finished(cell, tmp_path):
        assert time.monotonic() < deadline
        outcome = local.execute([cell], replace(longer, deadline=time.time() + 0.5))
        assert outcome.interrupted == (not is_finished(cell, tmp_path))
        pauses += outcome.interrupted
        stood.add(checkpoint.epochs_done(path, identity))
    assert pauses
    assert max(stood) > 0, "it was finished in one go, or never paused with a checkpoint"
    local.execute([cell], job(tmp_path / "whole", LONGER))
    assert scores(tmp_path, cell) == scores(tmp_path / "whole", cell)


def test_a_failing_seed_is_recorded_and_the_command_says_so(tmp_path):
    recipe = RECIPES["quick"].changed(size=32, epochs=2, lr=1e30)
    outcome = local.execute(cells("aulunet_v3", (1,), recipe), job(tmp_path, recipe))
    assert not outcome.finished
    assert "not finite" in outcome.failed[0].reason
    assert plan_of(cells("aulunet_v3", (1,), recipe), tmp_path).failed


def test_a_network_that_crashes_does_not_stop_the_others(tmp_path, monkeypatch):
    def broken() -> torch.nn.Module:
        raise RuntimeError("no such thing")

    monkeypatch.setitem(registry.ENTRIES, "broken", Entry("broken", "Broken", broken))
    outcome = local.execute([*cells("broken", (1,)), *cells("aulunet_v3", (1,))], job(tmp_path))
    [(network, what)] = outcome.errors
    assert network == "broken"
    assert what.startswith("its builder raises RuntimeError: no such thing; ")
    assert [cell.network for cell in outcome.finished] == ["aulunet_v3"]


@pytest.mark.parametrize("kind", [RuntimeError, SystemExit, KeyboardInterrupt])
def test_whatever_training_raises_is_an_error_of_its_network(kind, tmp_path, monkeypatch):
    """`sys.exit()` in a forward is no success, and what a library raises for Ctrl-C is not the user's."""

    def raising(self, *_):
        raise kind("its own")

    monkeypatch.setattr(Replicas, "losses", raising)
    outcome = local.execute(cells("aulunet_v3", (1,)), job(tmp_path))
    [(network, what)] = outcome.errors
    assert (network, outcome.finished, outcome.interrupted) == ("aulunet_v3", [], False)
    assert "its own" in what


def test_a_network_that_does_not_take_the_size_is_named(tmp_path):
    recipe = RECIPE.changed(size=48)
    outcome = local.execute(cells("aulunet_v3", (1,), recipe), job(tmp_path, recipe))
    assert outcome.errors == [("aulunet_v3", "it takes multiples of 32, not --size 48")]
    assert not any(tmp_path.iterdir())


def begun(seeds: tuple[int, ...], work: local.Job) -> GroupSpec:
    """One group of these seeds, as CUDA has it, of which nothing was trained yet."""
    for cell in cells("aulunet_v3", seeds):
        save_run.begin(cell, work.prepared, work.recipe, work.root)
    wanted, fingerprint = registry.specification("aulunet_v3"), work.prepared.fingerprint
    return GroupSpec(wanted, seeds, "synthetic", fingerprint, work.recipe, work.root, engine.TORCH)


def test_groups_that_do_not_fit_into_memory_are_halved(tmp_path, monkeypatch):
    """The fault of a full device, raised where it would be: in the step of more than one replica."""
    sizes = []
    losses = Replicas.losses

    def too_large(self, *arguments):
        sizes.append(len(self))
        if len(self) > 1:
            raise torch.cuda.OutOfMemoryError("full")
        return losses(self, *arguments)

    monkeypatch.setattr(Replicas, "losses", too_large)
    work = job(tmp_path)
    group = begun((1, 2, 3), work)
    with Claims(tmp_path) as claims:
        run_group(group, work.resources, work.control, claims)
    assert sizes[0] == 3
    assert [is_finished(cell, tmp_path) for cell in group.cells] == [True] * 3


def test_stacked_groups_write_one_folder_per_seed(tmp_path):
    """What CUDA does, on CPU: one group of two seeds, each with its own results."""
    work = job(tmp_path)
    group = begun((1, 2), work)
    with Claims(tmp_path) as claims:
        run_group(group, work.resources, work.control, claims)
    stored = load_runs(tmp_path)
    assert not stored.problems
    assert [run.cell for run in stored.runs] == group.cells
    losses = [list(run.history()["train_loss"]) for run in stored.runs]
    assert losses[0] != losses[1]


def test_history_is_that_of_the_validation_split(finished):
    """Its best row is what the stored weights give on it, and not on the test split."""
    for cell in cells("aulunet_v3", (1, 2)):
        folder, work = cell.folder(finished), job(finished)
        report = json.loads((folder / "report.json").read_text())
        best = pd.read_csv(folder / "history.csv").set_index("epoch").loc[report["best_epoch"]]
        replicas = Replicas("aulunet_v3", (cell.seed,), RECIPE, work.device)
        weights = {name: tensor[None] for name, tensor in load_file(folder / "weights.safetensors").items()}
        losses, counts = evaluate(replicas, work.data.validation, weights)
        metrics, other = pooled(counts[0].numpy()), report["metrics"]
        assert best["validation_loss"] == pytest.approx(losses.mean().item(), rel=1e-5)
        assert best["validation_iou"] == pytest.approx(metrics["iou"], abs=1e-3)
        assert best["validation_dsc"] == pytest.approx(metrics["dsc"], abs=1e-3)
        assert 0.1 < metrics["iou"] < metrics["dsc"] - 0.01
        assert abs(metrics["iou"] - other["iou"]) > 2e-3


def test_a_folder_begun_on_other_data_is_refused(finished, tmp_path):
    cell = cells("aulunet_v3", (1,))[0]
    path = cell.folder(tmp_path) / "config.json"
    config = json.loads((cell.folder(finished) / "config.json").read_text())
    files.write_json(path, config | {"fingerprint": "other"})
    with pytest.raises(RequestError, match=r"config\.json was begun with another fingerprint"):
        local.execute([cell], job(tmp_path))
    assert [each.name for each in path.parent.iterdir()] == ["config.json"], "something was trained"


def test_cuda_is_asked_for_in_vain():
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    with pytest.raises(RequestError, match="--device cuda"):
        machine.device_named("cuda")
