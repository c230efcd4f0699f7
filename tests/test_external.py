"""Weights on other data than they were trained on: the same code as a run's own test, without what they have seen."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from benchmarks import datasets
from benchmarks.cli.app import app
from benchmarks.cli.session import Session
from benchmarks.networks.official import files as official_files
from reports import evidence
from reports.comparison.findings import Findings
from reports.tables.external import external_grids
from results import external, seal
from results.errors import RequestError
from results.runs import load_runs
from tests import reference_vectors

NETWORK = "unext_s"
ARGUMENTS = ["--dataset", "synthetic", "--network", NETWORK, "--recipe", "quick", "--size", "32", "--epochs", "2"]


def command(*arguments: str) -> str:
    """What a command says. Raises what it raises."""
    done = CliRunner().invoke(app, list(arguments), obj=Session(), catch_exceptions=False)
    assert done.exit_code in (0, 1), done.output
    return " ".join(done.output.split())


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A results folder with two trained seeds, and a data set `elsewhere` that shares eight images with theirs."""
    home = tmp_path_factory.mktemp("external")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LESION_BENCHMARKS_CACHE", str(home / "cache"))
        command("run", *ARGUMENTS, "--seeds", "2", "--results", str(home / "results"))
        own = datasets.load("synthetic", 32)
        split = own.split("paper")
        for role in ("images", "masks"):
            (home / "pictures" / role).mkdir(parents=True)
        shared = {"train": split.train[:4], "validation": split.validation[:2], "test": split.test[:4]}
        for part, rows in shared.items():
            for k, at in enumerate(rows):
                name = own.ids[at] if part == "validation" else f"{part}{k}"  # the same id, or the same pixels
                image = own.images[at] if part != "validation" else np.flip(own.images[at], 1)
                mask = own.masks[at] if part != "validation" else np.flip(own.masks[at], 1)
                Image.fromarray(image).save(home / "pictures" / "images" / f"{name}.png")
                Image.fromarray(mask).save(home / "pictures" / "masks" / f"{name}.png")
        datasets.prepare("elsewhere", home / "pictures", size=32, progress=False)
        yield home


@pytest.fixture
def results(home, tmp_path) -> Path:
    """A copy of the results folder."""
    return Path(shutil.copytree(home / "results", tmp_path / "results"))


def scored(results: Path) -> list[external.Scored]:
    found, problems = external.load(results, load_runs(results).runs)
    assert not problems
    return found


def test_what_the_weights_have_seen_is_left_out(results):
    said = command("evaluate", "--on", "elsewhere", "--results", str(results))
    assert said.count("on elsewhere") == 2
    for each in scored(results):
        assert set(each.per_image.index) == {f"test{k}" for k in range(4)}
        reasons = sorted(each.about.left_out.values())
        assert [reason[:7] for reason in reasons] == ["same id"] * 2 + ["same pi"] * 4
        assert all(reason.endswith("in train") for reason in reasons[2:])


def test_images_of_the_own_test_part_get_the_very_counts_that_they_have_there(results):
    command("evaluate", "--on", "elsewhere", "--results", str(results))
    own = datasets.load("synthetic", 32)
    ids = [own.ids[at] for at in own.split("paper").test[:4]]
    for each in scored(results):
        assert each.run.counts.any()
        assert np.array_equal(each.run.per_image.loc[ids].to_numpy(), each.per_image.sort_index().to_numpy())


def test_what_is_scored_is_not_scored_again_and_other_weights_are(results, monkeypatch):
    from benchmarks.runner import external as runner

    request = ("evaluate", "--on", "elsewhere", "--results", str(results))
    command(*request)
    monkeypatch.setattr(runner, "evaluate", lambda *_, **__: pytest.fail("it was scored again"))
    command(*request)
    path = scored(results)[0].folder / external.EXTERNAL
    about = json.loads(path.read_text())
    about["weights"] = "0" * 64
    path.write_text(json.dumps(about))
    with pytest.raises(pytest.fail.Exception, match="it was scored again"):
        command(*request)


def test_missing_and_changed_weights_are_said_and_the_others_go_on(results):
    folders = sorted(results.rglob("seed-*"))
    (folders[0] / "weights.safetensors").unlink()
    said = command("evaluate", "--on", "elsewhere", "--results", str(results))
    assert "holds no weights.safetensors; copy it there" in said
    assert len(scored(results)) == 1
    tensors = load_file(folders[1] / "weights.safetensors")
    save_file({name: tensor + 1 for name, tensor in tensors.items()}, folders[1] / "weights.safetensors")
    said = command("evaluate", "--on", "elsewhere", "--results", str(results))
    assert "it is not the file of which report.json holds the SHA-256" in said


def test_a_file_of_weights_is_kept_as_what_it_is(results, home, tmp_path):
    run = load_runs(results).runs[0]
    path = tmp_path / "mine.safetensors"
    shutil.copy(run.folder / "weights.safetensors", path)
    where = ("--weights", str(path), "--network", NETWORK, "--size", "32", "--results", str(results))
    said = command("evaluate", "--on", "synthetic", "--part", "test", *where)
    assert "a file with this suite's names" in said
    (found,) = scored(results)
    assert found.run is None
    assert np.array_equal(found.counts, run.counts), "another score than the run itself had"


def test_an_authors_file_is_converted_and_a_released_one_recognised(results, tmp_path, monkeypatch):
    """With the 1,226 keys of MambaLiteUNet's released files."""
    (name,) = (each for each in reference_vectors.available() if each.startswith("mambalite"))
    reference = reference_vectors.load(name)
    state = {key: value.float() for key, value in reference_vectors.official_state(reference).items()}
    path = tmp_path / "best-epoch53-loss0.2218.pth"
    torch.save(state, path)
    monkeypatch.setitem(official_files.RELEASED, seal.of_file(path), "the released file")
    where = ("--weights", str(path), "--network", name, "--size", "32", "--results", str(results))
    assert "is the released file (SHA-256" in command("evaluate", "--on", "elsewhere", *where)
    (found,) = scored(results)
    assert (found.about.network, len(found.per_image), found.about.left_out) == (name, 10, {})


FAULTS = {
    ("--on", "nowhere"): "There is no data set 'nowhere'",
    ("--on", "synthetic"): "trained on synthetic and has its own test part there; choose another --on",
    ("--on", "elsewhere", "--part", "half"): "--part is 'half'; give all or test",
    ("--on", "elsewhere", "--split", "sorted"): "--split says which images are the test part",
    ("--on", "elsewhere", "--network", "aulunet_v3"): "holds no finished run that was asked for",
    ("--on", "elsewhere", "--weights", "x.pth"): "--weights goes with one --network",
    ("--on", "elsewhere", "--weights", "x.pth", "--network", NETWORK): "x.pth: there is no such file",
    ("--on", "elsewhere", "--weights", "README.md", "--network", NETWORK): "README.md: it is text",
}


@pytest.mark.parametrize("arguments", FAULTS, ids=FAULTS.values())
def test_a_mistake_is_one_sentence(arguments, results):
    with pytest.raises(RequestError, match=FAULTS[arguments].replace("(", r"\(")):
        command("evaluate", *arguments, "--results", str(results))


def test_damaged_scores_cost_their_row_and_not_the_report(results):
    command("evaluate", "--on", "elsewhere", "--results", str(results))
    first, second = scored(results)
    path = first.folder / "per_image.csv"
    path.write_text(path.read_text().replace("test0,", "test9,"))
    found = Findings.of(evidence.load_everything(results))
    assert [problem.path for problem in found.evidence.problems] == [path]
    (grid,) = external_grids(found)
    assert [cell.text for cell in grid.rows[0].cells[3:6]] == ["elsewhere, 32 px", "4", "6"]
    assert grid.rows[0].cells[6].data["iou"] == second.about.metrics["iou"]


def test_the_table_has_mean_interval_and_the_own_score(results):
    command("evaluate", "--on", "elsewhere", "--results", str(results))
    found = scored(results)
    (grid,) = external_grids(Findings.of(evidence.load_everything(results)))
    data = {key: value for cell in grid.rows[0].cells for key, value in (cell.data or {}).items()}
    values = [each.about.metrics["iou"] for each in found]
    assert data["iou"] == pytest.approx(sum(values) / 2)
    assert data["iou_low"] <= data["iou"] <= data["iou_high"]
    own = [each.run.metrics["iou"] for each in found]
    assert grid.rows[0].cells[8].sort == pytest.approx(sum(own) / 2)
