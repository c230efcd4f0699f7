"""What a cell leaves behind, whole: every file of it, on a network of 34 numbers, against what a reader expects."""

import hashlib
import json
import os
import platform
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from benchmarks import machine
from benchmarks.datasets import PreparedSet, splits
from benchmarks.networks.identity import identity
from benchmarks.objectives import losses
from benchmarks.runner import save_run
from benchmarks.runner.evaluate import score
from benchmarks.training import checkpoint
from benchmarks.training.batches import ImageStore
from benchmarks.training.data import Data
from benchmarks.training.engine import TORCH, Engine
from benchmarks.training.pixel_counts import predicted
from benchmarks.training.progress import Progress
from benchmarks.training.replicas import Replicas
from results import files
from results.cell import Cell
from results.errors import RequestError
from results.installation import code_version
from results.metrics import COUNT_COLUMNS, per_image_mean, pooled
from results.probabilities import Probabilities, counts_at
from results.schema import Config, DataRecord
from tests import tiny_network
from tests.tiny_network import RECIPE, SIZE

CPU = torch.device("cpu")
SEEDS = (7, 8, 9)  # the second one fails
KEPT = ("per_image.csv", "predictions.tif", "probabilities.csv", "weights.safetensors")
CELLS = [Cell("synthetic", RECIPE.name, "tiny", seed) for seed in SEEDS]
OTHER_SPLIT = {
    "rule": "sorted",
    "selected_on": "validation",
    "scored_on": "test",
    "sizes": {"train": 64, "validation": 16, "test": 32},
}
KERNELS = Engine("kernels", "0.1", "0.2")
ABOUT = {
    "label": "Tiny",
    "venue": "A venue 2026",
    "paper": "https://example.org/paper",
    "upstream": "someone/tiny 0123456",
    "deviations": ("Not of the paper.", "Small."),
}


@pytest.fixture(scope="module", autouse=True)
def tiny():
    with tiny_network.own_registry():
        yield tiny_network.registered(**{name: value for name, value in ABOUT.items() if name != "label"})


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> PreparedSet:
    images, masks = tiny_network.pictures(sum(splits.COUNTS["synthetic"]))
    ids = tuple(f"image_{k:03d}" for k in range(len(images)))
    folder = tmp_path_factory.mktemp("prepared")
    return PreparedSet("synthetic", SIZE, ids, images, masks, "f" * 64, folder, DataRecord(soft_share=0.25))


def of_three(prepared: PreparedSet) -> Replicas:
    """Three replicas after an epoch that was the last and not the best."""
    replicas = Replicas("tiny", SEEDS, RECIPE, CPU)
    with torch.no_grad():
        for name, tensor in replicas.tensors().items():
            if tensor.is_floating_point():
                tensor.copy_(torch.rand(tensor.shape, generator=torch.Generator().manual_seed(len(name))))
        for name in ("1.weight", "1.bias"):  # some pixels are found and some are not
            replicas.best[name] *= torch.tensor([5.0, 6.0, 7.0]).view(3, *[1] * (replicas.best[name].dim() - 1))
        for k in range(3):
            replicas.best["0.running_mean"][k], replicas.best["0.running_var"][k] = 90 + 10 * k, 3000
    for k, progress in enumerate(replicas.progress):
        progress.epoch, progress.images, progress.seconds = 4, 1000 + k, 8.1239 + k
        progress.best_epoch, progress.best_loss = 2 + k, 0.625 + k
        progress.history = [{"epoch": epoch, "train_loss": epoch / 3 + k} for epoch in (1, 2, 3, 4)]
    replicas.progress[1].failed_at = 3
    replicas.eager_because = "no reason"
    return replicas


@pytest.fixture
def done(prepared, tmp_path) -> tuple[list[Path], Replicas, ImageStore]:
    """Folders of the three cells, the replicas, and the test split; anew for each test, so that mutmut knows which."""
    root, replicas = tmp_path, of_three(prepared)
    data = Data.of(prepared, "paper", CPU)
    for cell in CELLS:
        save_run.begin(cell, prepared, RECIPE, root)
    save_run.finish(replicas, CELLS, score(replicas, data.test), root)
    return [cell.folder(root) for cell in CELLS], replicas, data.test


def found_by(weights: dict, images: torch.Tensor) -> np.ndarray:
    """Pixels that the network predicts with these weights, (B, H, W)."""
    network = tiny_network.build()
    network.load_state_dict(weights)
    with torch.no_grad():
        return predicted(network.eval()(images))[:, 0].numpy()


def digests(folder: Path, *names: str) -> dict[str, str]:
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}


def own_digest(path: Path) -> str:
    """Of a document without it, as docs/results-format.md says."""
    content = json.loads(path.read_text())
    del content["digest"]
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def test_the_folders_hold_these_files(done):
    finished = {"config.json", "history.csv", "report.json", *KEPT}
    names = [{path.name for path in folder.iterdir()} for folder in done[0]]
    assert names == [finished, {"config.json", "history.csv", "failed.json"}, finished]
    path = done[0][1] / "failed.json"
    failed = files.read_json(path)
    assert failed == {
        "epoch": 3,
        "reason": "the loss of epoch 3 is not finite",
        "files": digests(path.parent, "config.json", "history.csv"),
        "digest": own_digest(path),
    }
    for k, folder in enumerate(done[0]):
        assert pd.read_csv(folder / "history.csv").to_dict("records") == done[1].progress[k].history


@pytest.mark.parametrize("k", [0, 2])
def test_the_best_weights_are_stored_scored_and_drawn(done, prepared, k):
    folder, replicas, test = done[0][k], done[1], done[2]
    weights = load_file(folder / "weights.safetensors")
    assert weights.keys() == tiny_network.build().state_dict().keys()
    assert all(torch.equal(tensor, replicas.best[name][k]) for name, tensor in weights.items())
    ids = [prepared.ids[row] for row in prepared.split("paper").test]
    found, truth = found_by(weights, test.plain(0, len(ids))[0]), test.truth(0, len(ids))[:, 0].numpy()
    assert 0.05 < found.mean() < 0.95
    cases = {"tp": found & truth, "fp": found & ~truth, "fn": ~found & truth, "tn": ~found & ~truth}
    expected = pd.DataFrame({"id": ids} | {name: case.sum(axis=(1, 2)) for name, case in cases.items()})
    pd.testing.assert_frame_equal(pd.read_csv(folder / "per_image.csv"), expected)
    with Image.open(folder / "predictions.tif") as picture:
        assert (picture.mode, picture.size) == ("1", (SIZE, SIZE * len(ids)))
        assert np.array_equal(np.asarray(picture).reshape(found.shape), found)
    spread = Probabilities.read(folder / "probabilities.csv")
    assert list(spread.rows["id"]) == ids
    assert np.array_equal(counts_at(spread.pixels, 0.5), expected[list(COUNT_COLUMNS)].to_numpy())
    assert (spread.pixels.sum(axis=(0, 1)) > 0).sum() > 8, "probabilities of too few kinds to compare"


@pytest.mark.parametrize("k", [0, 2])
def test_a_report_is_this_and_nothing_else(done, k):
    folder = done[0][k]
    report, config = (files.read_json(folder / name) for name in ("report.json", "config.json"))
    finished, memory = report.pop("finished_at"), report.pop("peak_memory_mb")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", finished)
    assert timedelta(0) <= datetime.now(UTC) - datetime.fromisoformat(finished) < timedelta(hours=1)
    assert 50 < memory < 50_000
    assert memory == round(memory, 1)
    counts = pd.read_csv(folder / "per_image.csv")[["tp", "fp", "fn", "tn"]].to_numpy()
    assert report == {
        "format": Config.FORMAT,
        "dataset": "synthetic",
        "recipe": RECIPE.name,
        "network": "tiny",
        "seed": SEEDS[k],
        "split": config["split"],
        "identity": identity("tiny"),
        "metrics": pooled(counts),
        "per_image_mean": per_image_mean(counts),
        "best_epoch": 2 + k,
        "epochs": 4,
        "validation_loss": 0.625 + k,
        "parameters": 34,
        "seconds": 8.124 + k,
        "seeds_side_by_side": 3,
        "images_per_second": {0: 123.094, 2: 98.974}[k],
        "code": code_version(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "device": "cpu",
        "engine": {"name": "torch"},
        "precision": "fp32, TF32 off",
        "eager_because": "no reason",
        "host": {
            "machine": platform.machine(),
            "system": platform.system(),
            "cpus": os.cpu_count(),
            "cores": machine.cores(),
            "threads": torch.get_num_threads(),
            "processor": machine.host()["processor"],
        },
        "files": {
            **digests(folder, "config.json", "history.csv", *sorted(KEPT)),
        },
        "digest": own_digest(folder / "report.json"),
    }


def test_a_config_is_this_and_nothing_else(done, prepared):
    recipe_settings = {name: getattr(RECIPE, name) for name in type(RECIPE).__dataclass_fields__}
    for folder, seed in zip(done[0], SEEDS, strict=True):
        assert files.read_json(folder / "config.json") == {
            "format": Config.FORMAT,
            "dataset": "synthetic",
            "recipe": RECIPE.name,
            "network": "tiny",
            "seed": seed,
            **ABOUT,
            "deviations": ["Not of the paper.", "Small."],
            "identity": identity("tiny"),
            "base_recipe": "paper",
            "recipe_settings": recipe_settings,
            "cross_entropy": losses.CROSS_ENTROPY,
            "fingerprint": "f" * 64,
            "size": SIZE,
            "data": {"soft_share": 0.25},
            "split": {
                "rule": "paper",
                "fingerprint": prepared.split("paper").fingerprint,
                "selected_on": "validation",
                "scored_on": "test",
                "sizes": {"train": 64, "validation": 16, "test": 32},
            },
            "engine": {"name": "torch"},
            "code": code_version(),
        }


def test_the_split_of_another_rule_is_scored_under_its_ids(prepared, tmp_path):
    recipe = RECIPE.changed(split="sorted")
    cell = Cell("synthetic", recipe.name, "tiny", 1)
    replicas = Replicas("tiny", (1,), recipe, CPU)
    replicas.progress[0] = Progress(1, 1, 1, 0.5, 1.0, 64, [{"epoch": 1}])
    save_run.begin(cell, prepared, recipe, tmp_path)
    config = files.read_json(cell.folder(tmp_path) / "config.json")
    assert (config["split"]["rule"], config["recipe_settings"]["split"]) == ("sorted", "sorted")
    save_run.finish(replicas, [cell], score(replicas, Data.of(prepared, recipe.split, CPU).test), tmp_path)
    table = pd.read_csv(cell.folder(tmp_path) / "per_image.csv")
    assert list(table["id"]) == [prepared.ids[row] for row in prepared.split("sorted").test]


def test_a_report_names_the_cuda_device_and_what_was_allocated_there(monkeypatch, prepared, tmp_path):
    replicas = of_three(prepared)
    replicas.device, replicas.recipe, replicas.engine = torch.device("cuda"), RECIPE.changed(precision="bf16"), KERNELS
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda *device: "A card")
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda *device: 80_000_120_000)
    save_run.begin(CELLS[2], prepared, RECIPE, tmp_path)
    counts = np.array([[4, 3, 2, 1], [8, 7, 6, 5]])
    report = save_run._report(Config.read(CELLS[2].folder(tmp_path) / "config.json"), replicas, 2, counts, 99)
    assert (report.device, report.peak_memory_mb, report.parameters) == ("A card", 80_000.1, 99)
    assert report.precision == "bf16 autocast; weights, loss and AdamW fp32, TF32 off"
    assert report.engine.content() == {"name": "kernels", "numba": "0.1", "llvmlite": "0.2"}
    assert report.metrics == pooled(counts)


def test_every_replica_has_a_cell(prepared, tmp_path):
    replicas, data = of_three(prepared), Data.of(prepared, "paper", CPU)
    for cell in CELLS:
        save_run.begin(cell, prepared, RECIPE, tmp_path)
    with pytest.raises(ValueError, match="is longer"):
        save_run.finish(replicas, CELLS[:2], score(replicas, data.test), tmp_path)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("recipe_settings", {"lr": 0.5}, "recipe settings"),
        ("cross_entropy", None, "cross entropy"),
        ("fingerprint", "other", "fingerprint"),
        ("split", OTHER_SPLIT, "split"),
    ],
)
def test_a_folder_begun_otherwise_is_refused_in_one_sentence(prepared, tmp_path, key, value, said):
    save_run.begin(CELLS[0], prepared, RECIPE, tmp_path)
    path = CELLS[0].folder(tmp_path) / "config.json"
    config = files.read_json(path)
    for changed in (config | {key: value}, {name: each for name, each in config.items() if name != key}):
        files.write_json(path, changed)
        with pytest.raises(RequestError) as caught:
            save_run.begin(CELLS[0], prepared, RECIPE, tmp_path)
        assert files.read_json(path) == changed
        if key == "split" and changed.get(key) is None:
            assert str(caught.value).startswith(f"{path}: it has no split; ")
            continue
        assert str(caught.value) == (
            f"{path} was begun with another {said}; move its folder away, or name another results folder with "
            "--results."
        )


def test_the_engine_of_a_folder_may_change_until_something_is_trained(prepared, tmp_path):
    """Only the engine: the rest stays as it was begun."""
    save_run.begin(CELLS[0], prepared, RECIPE, tmp_path, KERNELS)
    path = CELLS[0].folder(tmp_path) / "config.json"
    kernels = {"name": "kernels", "numba": "0.1", "llvmlite": "0.2"}
    assert files.read_json(path)["engine"] == kernels
    files.write_json(path, files.read_json(path) | {"label": "Begun before"})
    save_run.begin(CELLS[0], prepared, RECIPE, tmp_path)
    config = files.read_json(path)
    assert (config["engine"], config["label"]) == ({"name": "torch"}, "Begun before")
    assert save_run.engine_of(CELLS[0], tmp_path, KERNELS) == KERNELS
    (path.parent / checkpoint.CHECKPOINT).touch()
    assert save_run.engine_of(CELLS[0], tmp_path, KERNELS) == TORCH
    save_run.begin(CELLS[0], prepared, RECIPE, tmp_path, KERNELS)
    assert files.read_json(path) == config
    files.write_json(path, config | {"engine": kernels})
    assert save_run.engine_of(CELLS[0], tmp_path, TORCH) == KERNELS
    files.write_json(path, {name: each for name, each in config.items() if name != "engine"})
    assert save_run.engine_of(CELLS[0], tmp_path, KERNELS) == TORCH


def test_a_folder_is_not_written_again_where_nothing_changed(prepared, tmp_path):
    save_run.begin(CELLS[0], prepared, RECIPE, tmp_path)
    path = CELLS[0].folder(tmp_path) / "config.json"
    os.utime(path, (0, 0))
    save_run.begin(CELLS[0], prepared, RECIPE, tmp_path)
    assert path.stat().st_mtime == 0


def test_an_engine_that_nobody_knows_is_refused_in_one_sentence(prepared, tmp_path):
    save_run.begin(CELLS[0], prepared, RECIPE, tmp_path)
    path = CELLS[0].folder(tmp_path) / "config.json"
    files.write_json(path, files.read_json(path) | {"engine": {"name": "abacus"}})
    (path.parent / checkpoint.CHECKPOINT).touch()
    with pytest.raises(RequestError) as caught:
        save_run.engine_of(CELLS[0], tmp_path, TORCH)
    assert str(caught.value) == (
        f"{path} cannot be continued (there is no engine {{'name': 'abacus'}}); move its folder away."
    )
    assert caught.value.__suppress_context__


def began(prepared: PreparedSet, root: Path, **identities: str | None) -> Path:
    """config.json of the last seed; seed_1="abc" is a seed begun with that identity, None one begun before there was
    one."""
    for seed, known in identities.items():
        cell = Cell("synthetic", RECIPE.name, "tiny", int(seed.removeprefix("seed_")))
        path = cell.folder(root) / "config.json"
        save_run._config(cell, prepared, RECIPE, TORCH).changed(identity=known).write(path)
    return path


def test_seeds_of_one_network_stand_beside_each_other(prepared, tmp_path):
    now = identity("tiny")
    save_run.one_identity(CELLS[0], tmp_path)
    began(prepared, tmp_path, seed_1=now, seed_2=now)
    save_run.one_identity(CELLS[0], tmp_path)
    save_run.one_identity(CELLS[0], tmp_path, finished=True)
    began(prepared, tmp_path, seed_2=None)
    save_run.one_identity(CELLS[0], tmp_path, finished=True)


@pytest.mark.parametrize("finished", [False, True])
def test_a_seed_of_another_network_is_refused_in_one_sentence(prepared, tmp_path, finished):
    """Also behind seeds that are fine."""
    now = identity("tiny")
    path = began(prepared, tmp_path, seed_1=now, **({"seed_2": None} if finished else {}), seed_3="0123456789abcdef")
    with pytest.raises(RequestError) as caught:
        save_run.one_identity(CELLS[0], tmp_path, finished=finished)
    assert str(caught.value) == (
        f"{path} was begun as another network named 'tiny' (identity 0123456789abcdef, now {now}: its source, modules "
        f"or its weights changed); give the new one another name, move {path.parents[1]} away, or name another results "
        "folder with --results."
    )


def test_a_seed_from_before_identities_is_refused_in_one_sentence(prepared, tmp_path):
    path = began(prepared, tmp_path, seed_1=identity("tiny"), seed_2=None)
    with pytest.raises(RequestError) as caught:
        save_run.begin(CELLS[0], prepared, RECIPE, tmp_path)
    assert str(caught.value) == (
        f"{path} was begun before the identity of a network was recorded, so that nothing can stand beside it as "
        f"another seed; move {path.parents[1]} away, or name another results folder with --results."
    )
    assert not CELLS[0].folder(tmp_path).exists()
