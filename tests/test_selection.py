"""What selects the epoch, what is scored, and what a run says of itself: each wrong choice shows in a number.

Weights are made by hand, so that the best ones and the last ones differ, and so that masks are neither empty nor full.
"""

import os
import platform
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from threading import Event
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from benchmarks import datasets, machine
from benchmarks.datasets import PreparedSet
from benchmarks.networks import registry
from benchmarks.objectives.losses import DRAWS, bce_dice
from benchmarks.protocol.recipe import RECIPES
from benchmarks.runner import local, save_run
from benchmarks.runner.console import Reporter
from benchmarks.runner.evaluate import score
from benchmarks.runner.group import Control, Resources
from benchmarks.training import loop as training
from benchmarks.training.data import Data
from benchmarks.training.loop import evaluate, train
from benchmarks.training.pixel_counts import predicted
from benchmarks.training.progress import EpochRecord, Progress
from benchmarks.training.replicas import Replicas
from results import files, installation, predictions
from results.cell import Cell
from results.errors import RequestError
from results.metrics import COUNT_COLUMNS, per_image_mean, pooled
from tests.test_reference_loop import IMAGES, MASKS

CPU = torch.device("cpu")
RECIPE = RECIPES["quick"].changed(size=32, epochs=3)
SEEDS = (1, 2)
CELLS = [Cell("synthetic", RECIPE.name, "aulunet_v3", seed) for seed in SEEDS]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> PreparedSet:
    with pytest.MonkeyPatch.context() as patch:
        kept = os.environ.get("LESION_BENCHMARKS_TEST_CACHE")  # mutation testing draws it once
        patch.setenv("LESION_BENCHMARKS_CACHE", kept or str(tmp_path_factory.mktemp("cache")))
        return datasets.load("synthetic", 32)


def logits_of(weights: dict[str, torch.Tensor], images: torch.Tensor) -> torch.Tensor:
    """Evaluation logits (B, 1, H, W) of AULUNet-v3 with these weights, as a user would get them."""
    network = registry.build("aulunet_v3")
    network.load_state_dict(weights)
    with torch.no_grad():
        return network.eval()(images)


def shifted(replicas: Replicas, share: float, images: torch.Tensor) -> dict[str, torch.Tensor]:
    """Stacked weights whose last bias has about this share of pixels predicted, by each replica."""
    tensors = {name: tensor.detach().clone() for name, tensor in replicas.tensors().items()}
    with torch.no_grad():
        logits = replicas.logits(images, tensors).flatten(1)
    tensors["head.bias"] -= logits.quantile(1 - share, dim=1, keepdim=True)
    return tensors


@pytest.fixture(scope="module")
def scored(prepared, tmp_path_factory) -> tuple[Path, Replicas]:
    """Two finished seeds whose best weights predict three in ten pixels, and whose last ones six in ten."""
    root, data = tmp_path_factory.mktemp("results"), Data.of(prepared, RECIPE.split, CPU)
    replicas = Replicas("aulunet_v3", SEEDS, RECIPE, CPU)
    images, _ = data.test.plain(0, 32)
    replicas.best = shifted(replicas, 0.3, images)
    last = shifted(replicas, 0.6, images)
    with torch.no_grad():
        replicas.parameters["head.bias"].copy_(last["head.bias"])
    for progress in replicas.progress:
        progress.epoch, progress.images, progress.seconds = 3, 192, 8.0
        progress.best_epoch, progress.best_loss = 2, 0.625
        progress.history = [{"epoch": epoch} for epoch in (1, 2, 3)]
    for cell in CELLS:
        save_run.begin(cell, prepared, RECIPE, root)
    save_run.finish(replicas, CELLS, score(replicas, data.test), root)
    return root, replicas


@pytest.mark.parametrize("k", range(len(SEEDS)))
def test_the_best_weights_are_stored_scored_and_drawn(scored, prepared, k):
    folder, replicas = CELLS[k].folder(scored[0]), scored[1]
    weights = load_file(folder / "weights.safetensors")
    assert all(torch.equal(tensor, replicas.best[name][k]) for name, tensor in weights.items())
    split = prepared.split("paper")
    images, _ = Data.of(prepared, RECIPE.split, CPU).test.plain(0, len(split.test))
    found, truth = predicted(logits_of(weights, images))[:, 0].numpy(), prepared.masks[split.test] >= 128
    assert 0.2 < found.mean() < 0.4
    table = pd.read_csv(folder / "per_image.csv").set_index("id")
    assert list(table.index) == [prepared.ids[row] for row in split.test]
    cases = {"tp": found & truth, "fp": found & ~truth, "fn": ~found & truth, "tn": ~found & ~truth}
    for name, case in cases.items():
        assert np.abs(table[name] - case.sum(axis=(1, 2))).max() <= 2, name  # pixels at the threshold but for rounding
    drawn = predictions.read(folder / "predictions.tif", len(found), found.shape[-1])
    assert ((drawn != found).sum(axis=(1, 2)) <= 2).all()


def test_a_report_says_what_was_done(scored):
    """Every field, each against another source than the code that wrote it."""
    for cell in CELLS:
        folder = cell.folder(scored[0])
        report, config = (files.read_json(folder / name) for name in ("report.json", "config.json"))
        counts = pd.read_csv(folder / "per_image.csv")[list(COUNT_COLUMNS)].to_numpy()
        finished, memory = datetime.fromisoformat(report.pop("finished_at")), report.pop("peak_memory_mb")
        assert timedelta(0) <= datetime.now(UTC) - finished < timedelta(hours=1)
        assert 50 < memory < 50_000
        assert memory == round(memory, 1)
        expected = {
            "format": 1,
            **vars(cell),
            "split": config["split"],
            "metrics": pooled(counts),
            "per_image_mean": per_image_mean(counts),
            "best_epoch": 2,
            "epochs": 3,
            "validation_loss": 0.625,
            "parameters": 28_636,
            "seconds": 8.0,
            "seeds_side_by_side": 2,
            "images_per_second": 24.0,  # 192 in 8 seconds
            "code": save_run.code_version(),
            "torch": torch.__version__,
            "python": platform.python_version(),
            "device": "cpu",
            "precision": "fp32, TF32 off",
            "eager_because": None,
        }
        assert {name: report.get(name, "missing") for name in expected} == expected
        host = {"machine": platform.machine(), "system": platform.system(), "cpus": os.cpu_count()}
        assert report["host"] | host == report["host"]
        assert list(pd.read_csv(folder / "history.csv")["epoch"]) == [1, 2, 3]


def test_peak_memory_is_that_of_the_process():
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("this system does not tell the peak of a process")
    (kibibytes,) = (line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    assert machine.peak_memory_mb(CPU) == pytest.approx(int(kibibytes) * 1024 / 1e6, rel=0.05)


def test_a_failed_seed_leaves_its_history_and_a_reason_and_the_other_its_results(prepared, tmp_path):
    replicas = Replicas("aulunet_v3", SEEDS, RECIPE, CPU)
    for progress in replicas.progress:
        progress.history, progress.seconds, progress.images = [{"epoch": 1}, {"epoch": 2}], 1.0, 8
        progress.best_epoch, progress.best_loss = 1, 0.5
    replicas.progress[0].failed_at = 2
    for cell in CELLS:
        save_run.begin(cell, prepared, RECIPE, tmp_path)
    save_run.finish(replicas, CELLS, score(replicas, Data.of(prepared, RECIPE.split, CPU).test), tmp_path)
    failed, whole = (cell.folder(tmp_path) for cell in CELLS)
    assert {path.name for path in failed.iterdir()} == {"config.json", "history.csv", "failed.json"}
    assert list(pd.read_csv(failed / "history.csv")["epoch"]) == [1, 2]
    reason = files.read_json(failed / "failed.json")
    assert (reason["epoch"], reason["reason"]) == (2, "the loss of epoch 2 is not finite")
    assert {"report.json", "predictions.tif", "per_image.csv"} <= {path.name for path in whole.iterdir()}
    assert not (whole / "failed.json").exists()


CHANGES = {
    "cross entropy": lambda config: {"cross_entropy": None},  # as before it was recorded
    "fingerprint": lambda config: {"fingerprint": "other"},
    "recipe settings": lambda config: {"recipe_settings": config["recipe_settings"] | {"weight_decay": 0.02}},
    "split": lambda config: {"split": config["split"] | {"rule": "sorted"}},
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_folder_begun_otherwise_is_refused(prepared, tmp_path, what):
    """With another loss, on other data, with other settings under the same name, or on another split."""
    save_run.begin(CELLS[0], prepared, RECIPE, tmp_path)
    path = CELLS[0].folder(tmp_path) / "config.json"
    config = files.read_json(path)
    files.write_json(path, config | CHANGES[what](config))
    before = path.read_text()
    with pytest.raises(RequestError, match=rf"config\.json was begun with another {what}; move its folder away"):
        save_run.begin(CELLS[0], prepared, RECIPE, tmp_path)
    assert path.read_text() == before


def test_a_folder_begun_alike_is_gone_on_with(prepared, tmp_path):
    """What config.json says, and that it stays as it is."""
    save_run.begin(CELLS[0], prepared, RECIPE, tmp_path)
    path = CELLS[0].folder(tmp_path) / "config.json"
    config, entry = files.read_json(path), registry.entry("aulunet_v3")
    expected = {
        "format": 1,
        **vars(CELLS[0]),
        "label": entry.label,
        "venue": entry.venue,
        "paper": entry.paper,
        "upstream": entry.upstream,
        "deviations": list(entry.deviations),
        "base_recipe": "quick",
        "recipe_settings": vars(RECIPE),
        "fingerprint": prepared.fingerprint,
        "size": 32,
        "split": {
            "rule": "paper",
            "fingerprint": prepared.split("paper").fingerprint,
            "selected_on": "validation",
            "scored_on": "test",
            "sizes": {"train": 64, "validation": 16, "test": 32},
        },
        "code": save_run.code_version(),
    }
    assert config | expected == config
    files.write_json(path, config | {"label": "begun before"})
    save_run.begin(CELLS[0], prepared, RECIPE, tmp_path)
    assert files.read_json(path) == config | {"label": "begun before"}


def test_training_never_touches_the_test_split_and_notes_what_validation_gave():
    """The test split is not even there."""
    recipe = RECIPES["paper"].changed(size=64, batch=4, epochs=3, lr=1e-2)
    stores = [training.ImageStore(IMAGES[part], MASKS[part], CPU) for part in (slice(0, 18), slice(16, 22))]
    kept = {}

    def keep(replicas: Replicas) -> None:
        kept[replicas.epoch] = {name: tensor.detach().clone() for name, tensor in replicas.tensors().items()}

    replicas = Replicas("aulunet_v3", (2,), recipe, CPU)
    train(replicas, Data(*stores, None), keep, Event())
    images, masks = stores[1].plain(0, len(stores[1]))
    rows = replicas.progress[0].history
    for row in rows:
        logits = logits_of({name: tensor[0] for name, tensor in kept[row["epoch"]].items()}, images)
        found, truth = predicted(logits), stores[1].truth(0, len(stores[1]))
        both, either = (found & truth).sum().item(), (found | truth).sum().item()
        assert row["lr"] == recipe.lr_at(row["epoch"])
        assert row["validation_loss"] == pytest.approx(bce_dice(logits, masks).item(), rel=1e-4)
        assert row["validation_iou"] == pytest.approx(both / either, abs=1e-3)
        assert row["validation_dsc"] == pytest.approx(2 * both / (both + either), abs=1e-3)
    assert 0 < rows[-1]["validation_iou"] < rows[-1]["validation_dsc"] - 0.01, "too little was predicted to compare"
    assert replicas.progress[0].best_epoch == min(rows, key=lambda row: row["validation_loss"])["epoch"]


def test_training_time_and_images_are_counted_once(monkeypatch):
    """A clock that is a second later each time it is read, which is at the start and the end of an epoch."""
    seconds = count()
    monkeypatch.setattr(training, "time", SimpleNamespace(perf_counter=lambda: float(next(seconds))))
    store = training.ImageStore(IMAGES[:5], MASKS[:5], CPU)
    replicas = Replicas("aulunet_v3", SEEDS, RECIPES["paper"].changed(size=64, batch=2, epochs=2), CPU)
    train(replicas, Data(store, store, store), lambda replicas: None, Event())
    assert [(each.seconds, each.images) for each in replicas.progress] == [(2.0, 10)] * 2


def test_why_a_step_runs_eagerly_is_noted_and_its_rate_still_follows_the_schedule():
    """A capture that refuses, after the three steps that run eagerly anyway; the device then reads the rate."""

    def refuses(step, inputs):
        raise RuntimeError("no capture here\nand more")

    recipe = RECIPES["paper"].changed(size=64, batch=2, epochs=2)
    store = training.ImageStore(IMAGES[:4], MASKS[:4], CPU, torch.float64)
    captured = Replicas("aulunet_v3", (1,), recipe, CPU, torch.float64, capture=refuses)
    plain = Replicas("aulunet_v3", (1,), recipe, CPU, torch.float64)
    for replicas in (captured, plain):
        train(replicas, Data(store, store, store), lambda replicas: None, Event())
    assert captured.eager_because == "no capture here"
    assert plain.eager_because is None
    (rate,) = (group["lr"] for group in captured.optimizer.param_groups)
    assert (rate.item(), rate.dtype) == (recipe.lr_at(2), torch.float64)
    (rate,) = (group["lr"] for group in plain.optimizer.param_groups)
    assert rate == recipe.lr_at(2)
    for mine, other in zip(captured.progress[0].history, plain.progress[0].history, strict=True):
        assert mine == pytest.approx(other, rel=1e-9)


def row(epoch: int, loss: float, train_loss: float = 1.0) -> EpochRecord:
    return EpochRecord(epoch, 1e-3, train_loss, loss, 0.5, 0.6)


def test_the_first_of_equal_epochs_is_the_best():
    progress = Progress(1)
    assert [progress.add(row(k, loss)) for k, loss in enumerate((0.5, 0.25, 0.25, 0.375), 1)] == [
        True,
        True,
        False,
        False,
    ]
    assert (progress.best_epoch, progress.best_loss, progress.epoch) == (2, 0.25, 4)
    assert [each["validation_loss"] for each in progress.history] == [0.5, 0.25, 0.25, 0.375]


@pytest.mark.parametrize("bad", [(float("nan"), 1.0), (float("inf"), 1.0), (0.125, float("nan"))])
def test_the_first_loss_that_is_not_finite_is_noted_and_never_the_best(bad):
    progress = Progress(1)
    progress.add(row(1, 0.5))
    assert progress.failed_at is None
    assert progress.add(row(2, *bad)) == (bad[0] < 0.5)
    progress.add(row(3, *bad))
    assert progress.failed_at == 2


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("network", ["aulunet_v3", "ege_unet", "lb_unet"])
def test_a_replica_that_fails_changes_nothing_for_the_one_beside_it(network, value):
    """The losses that a network can have, with a replica whose weights are not numbers; the other's to the last bit."""
    store = training.ImageStore(IMAGES[:6], MASKS[:6], CPU)
    recipe, histories = RECIPES["paper"].changed(size=64, batch=3, epochs=2), []
    for broken in (False, True):
        replicas = Replicas(network, SEEDS, recipe, CPU)
        if broken:
            with torch.no_grad():
                next(iter(replicas.parameters.values()))[0] = value
        train(replicas, Data(store, store, store), lambda replicas: None, Event())
        histories.append(replicas.progress[1].history)
        assert [each.failed_at for each in replicas.progress] == [1 if broken else None, None]
    assert histories[0] == histories[1]
    assert all(np.isfinite(list(each.values())).all() for each in histories[1])


def test_one_pixel_that_is_not_a_number_is_a_loss_that_is_not():
    replicas = Replicas("aulunet_v3", (1,), RECIPES["paper"].changed(size=64), CPU)
    images, masks = (each[None] for each in training.ImageStore(IMAGES[:2], MASKS[:2], CPU).plain(0, 2))
    images[0, 0, 0, 5, 5] = torch.nan
    assert replicas.losses(images, masks, torch.zeros(1, DRAWS)).isnan().all()


def test_a_pixel_is_predicted_where_its_rounded_sigmoid_is_one_half():
    """The authors threshold the sigmoid: a logit just below zero counts where rounding takes it to 0.5."""
    logits = torch.tensor([-1.0, -1e-3, -1e-9, 0.0, 1e-9, 1.0])
    assert predicted(logits).tolist() == [False, False, True, True, True, True]
    assert predicted(logits.double()).tolist() == [False, False, False, True, True, True]


def test_evaluation_counts_the_images_it_is_limited_to():
    replicas = Replicas("aulunet_v3", SEEDS, RECIPES["paper"].changed(size=64), CPU)
    store = training.ImageStore(IMAGES, MASKS, CPU)
    replicas.best = shifted(replicas, 0.4, store.plain(0, len(store))[0])
    losses, counted = evaluate(replicas, store, replicas.best, batch=4)
    few_losses, few = evaluate(replicas, store, replicas.best, batch=3, limit=5)
    assert losses.shape == (2, 22)
    assert torch.equal(few, counted[:, :5])
    torch.testing.assert_close(few_losses, losses[:, :5])
    assert 0.2 < counted[..., :2].sum() / counted.sum() < 0.6


def test_a_run_has_no_tf32(prepared, tmp_path):
    precision = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    resources, control = Resources.of(prepared, RECIPE, CPU), Control(Reporter(Console(quiet=True)))
    job = local.Job(RECIPE, tmp_path, resources, control)  # nothing is trained
    try:
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        with machine.settings_of_a_run():
            assert (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32) == (False, False)
        assert (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32) == (True, True)
        local.execute([], job)
        assert (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32) == (False, False)
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = precision


@pytest.fixture
def checkout(tmp_path, monkeypatch) -> Path:
    """A git checkout of one commit that the package seems to lie in."""
    for name in (
        "models/a.py",
        "baselines/a.py",
        "benchmarks/runner/save_run.py",
        "results/a.py",
        "results/runs/a.csv",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("1\n")
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "lesion-benchmarks"\nversion = "9.8.7"\n')
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "a"]):
        subprocess.run([*git, *words], cwd=tmp_path, check=True)
    monkeypatch.setattr(installation, "FOLDER", tmp_path.resolve())
    save_run.code_version.cache_clear()
    yield tmp_path
    save_run.code_version.cache_clear()


@pytest.mark.parametrize(
    ("changed", "dirty"),
    [
        (None, False),
        ("results/runs/a.csv", False),  # a result is no code
        ("models/a.py", True),
        ("baselines/new.py", True),
        ("benchmarks/runner/save_run.py", True),
        ("results/a.py", True),
    ],
)
def test_the_version_says_whether_the_code_was_changed(checkout, changed, dirty):
    if changed:
        (checkout / changed).write_text("2\n")
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=checkout, capture_output=True, text=True, check=True)
    version = save_run.code_version()
    assert version["commit"] == head.stdout.strip()
    assert version["dirty"] is dirty
    assert version["version"] == "9.8.7"


@pytest.mark.parametrize("pyproject", [None, "[project\n", '[project]\nname = "mine"\nversion = "1"\n'])
def test_the_commit_of_a_repository_around_the_package_is_not_its_own(checkout, pyproject):
    """Installed packages lie in a user's repository, beside no pyproject.toml or beside that of the user."""
    (checkout / "pyproject.toml").unlink()
    if pyproject:
        (checkout / "pyproject.toml").write_text(pyproject)
    found = save_run.code_version()
    assert (found["commit"], found["dirty"]) == (None, None)
    assert found["version"] != "9.8.7"


def test_an_unpacked_source_archive_inside_a_repository_has_no_commit(checkout, monkeypatch):
    inside = checkout / "vendor"
    inside.mkdir()
    shutil.copy(checkout / "pyproject.toml", inside)
    monkeypatch.setattr(installation, "FOLDER", inside.resolve())
    assert save_run.code_version() == {"version": "9.8.7", "commit": None, "dirty": None}


def test_outside_of_git_there_is_a_version_and_no_commit(checkout, monkeypatch):
    shutil.rmtree(checkout / ".git")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(checkout.parent))
    assert save_run.code_version() == {"version": "9.8.7", "commit": None, "dirty": None}
