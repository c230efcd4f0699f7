"""The examples of data, splits, recipes and tests elsewhere, each run as it stands, its commands in this process."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest
from typer.testing import CliRunner

from benchmarks.cli.app import app
from benchmarks.cli.session import Session
from benchmarks.networks import registry
from tests import dataset_files, fake_runs

EXAMPLES = Path(__file__).parents[1] / "examples"


def command(*arguments: str) -> None:
    done = CliRunner().invoke(app, list(arguments), obj=Session(), catch_exceptions=False)
    assert done.exit_code == 0, done.output


@pytest.fixture
def example(tmp_path, monkeypatch):
    """Loads one by name; what it changes of the environment ends with the test."""
    monkeypatch.setenv("LESION_BENCHMARKS_CACHE", str(tmp_path / "cache"))

    def load(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        monkeypatch.setattr(module, "benchmarks", command)
        return module

    return load


def rows(capsys, title: str) -> list[list[str]]:
    """The table that was printed under a title: the cells of each row."""
    table = capsys.readouterr().out.partition(f"## {title}")[2]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line[:3] == "| U"]


def test_own_data(example, capsys):
    example("own_data").main(24)
    (row,) = rows(capsys, "Measured: clinic, recipe quick+epochs=3,size=32")
    assert row[0] == "UNeXt-S"
    assert row[-1].strip("*").endswith("(2)"), "a mean of two seeds"


def test_five_folds(example, capsys):
    example("five_folds").main("synthetic", "unext_s", "--size", "32", "--epochs", "1")
    (row,) = rows(capsys, "5 folds: Synthetic lesions, recipe quick+epochs=1,size=32")
    assert row[:3] == ["UNeXt-S", "5", "1"]


def test_evaluation_elsewhere(example, capsys):
    example("evaluate_elsewhere").main("--epochs", "2")
    (row,) = rows(capsys, "Trained on, tested on")
    assert row[3:6] == ["elsewhere, 32 px", "20", "0"]


def test_own_suite_and_recipe(tmp_path, monkeypatch):
    """On two data sets, with a network and a recipe of one's own; of ISIC2018 six pictures."""
    dataset_files.install(monkeypatch, tmp_path / "cache")
    contents = dataset_files.files("images", "masks")
    monkeypatch.setitem(registry.ENTRIES, "tiny", None)
    registry.ENTRIES.pop("tiny")
    command("data", "isic2018", "--from", str(dataset_files.as_folder(contents, tmp_path / "pictures")), "--size", "32")
    suite = ["--suite", str(EXAMPLES / "own_suite.toml"), "--seeds", "1,", "--results", str(tmp_path / "results")]
    command("run", *suite)
    done = {path.parent.relative_to(tmp_path / "results" / "runs").as_posix() for path in tmp_path.rglob("report.json")}
    name = "quick+epochs=3,lr=0.002,size=32,split=seven_three,weight_decay=0.05"
    assert done == {f"{data}/{name}/{net}/seed-1" for data in ("synthetic", "isic2018") for net in ("unext_s", "tiny")}


def test_the_notebook_runs(tmp_path, monkeypatch):
    """Its cells one after the other, on stored runs."""
    import matplotlib

    matplotlib.use("Agg")
    for seed in (1, 2):
        fake_runs.write_run(tmp_path, network="unet", seed=seed)
        fake_runs.write_run(tmp_path, network="malunet", seed=seed, skill=0.9)
    monkeypatch.setenv("LESION_BENCHMARKS_RESULTS", str(tmp_path))
    notebook = json.loads((EXAMPLES / "work_with_results.ipynb").read_text())
    names: dict[str, object] = {}
    for cell in notebook["cells"]:
        assert not cell.get("outputs"), "outputs are made where it is opened"
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
    assert len(names["table"]) == 2
    assert len(names["hardest"]) == 5
