"""Reading and writing of stored runs."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from results import files
from results.cell import Cell
from results.errors import RequestError
from results.installation import results_root
from results.metrics import METRICS, per_image_mean, pooled
from results.published import published_table
from results.runs import is_finished, load_runs
from tests import fake_runs


@pytest.mark.parametrize(
    "cell",
    [
        Cell("isic2018", "paper", "unet", 1),
        Cell("isic2018", "paper+epochs=3,size=96", "smp:unet/resnet18", 12),
        Cell("my data", "quick", "../../etc", 0),
        Cell("a%2Fb", "paper", "smp:fpn/tu-é", 7),
    ],
)
def test_a_folder_names_its_cell(cell: Cell, tmp_path: Path) -> None:
    folder = cell.folder(tmp_path)
    assert folder.relative_to(tmp_path).parts[0] == "runs"
    assert len(folder.relative_to(tmp_path).parts) == 5
    assert ".." not in folder.parts
    assert Cell.of_folder(folder) == cell


def test_a_stored_run_comes_back(tmp_path: Path) -> None:
    folder = fake_runs.write_run(tmp_path, network="smp:unet/resnet18", seed=4, masks=2)
    stored = load_runs(tmp_path)
    assert (stored.failures, stored.problems) == ([], [])
    run = stored.runs[0]
    assert run.cell == Cell("isic2018", "paper", "smp:unet/resnet18", 4)
    assert run.folder == folder
    predicted = fake_runs.prediction(run.cell, 0.85)
    assert np.array_equal(run.counts, fake_runs.counts_of(predicted, fake_runs.truth()))
    assert run.counts.dtype == np.int64
    assert len(run.history()) == 4
    assert sorted(path.name for path in (folder / "masks").iterdir()) == ["ISIC_0000000.png", "ISIC_0000001.png"]


def test_metrics_are_recomputed_from_the_counts(tmp_path: Path) -> None:
    fake_runs.write_run(tmp_path)
    run = load_runs(tmp_path).runs[0]
    tp, fp, fn, tn = run.counts.sum(axis=0)
    assert run.metrics == pytest.approx(
        {
            "iou": tp / (tp + fp + fn),
            "dsc": 2 * tp / (2 * tp + fp + fn),
            "acc": (tp + tn) / (tp + fp + fn + tn),
            "spe": tn / (tn + fp),
            "sen": tp / (tp + fn),
        }
    )


def test_nothing_to_find_and_nothing_found_counts_as_1() -> None:
    empty, missed = np.array([[0, 0, 0, 9]]), np.array([[0, 0, 4, 5]])
    assert all(pooled(empty)[metric.name] == 1 for metric in METRICS)
    assert pooled(missed)["iou"] == 0
    assert per_image_mean(np.concatenate([empty, missed]))["iou"] == 0.5


def test_unfinished_folders_are_passed_over(tmp_path: Path) -> None:
    folder = fake_runs.write_run(tmp_path)
    (folder / "report.json").unlink()
    stored = load_runs(tmp_path)
    assert (stored.runs, stored.failures, stored.problems) == ([], [], [])
    assert not is_finished(Cell("isic2018", "paper", "unet", 1), tmp_path)


def test_failed_seeds_are_read(tmp_path: Path) -> None:
    fake_runs.write_failure(tmp_path, "unet", 2)
    found = load_runs(tmp_path).failures[0]
    assert (found.cell.seed, found.epoch, found.reason) == (2, 17, "the loss is not finite")


def test_an_empty_or_missing_folder_holds_nothing(tmp_path: Path) -> None:
    assert load_runs(tmp_path / "nowhere").runs == []


def test_writing_is_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "deep" / "report.json"
    files.write_json(path, {"old": 1})

    def broken(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", broken)
    with pytest.raises(RequestError, match=r"report\.json cannot be written \(disk full\)"):
        files.write_json(path, {"new": 2})
    monkeypatch.undo()
    assert json.loads(path.read_text()) == {"old": 1}
    assert [child.name for child in path.parent.iterdir()] == ["report.json"]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_nan_is_never_written(value: float, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(tmp_path / "report.json", {"iou": value})
    assert list(tmp_path.iterdir()) == []


def test_csv_keeps_full_precision(tmp_path: Path) -> None:
    values = [1 / 3, 0.1 + 0.2, 1e-17]
    files.write_csv(tmp_path / "x.csv", pd.DataFrame({"value": values}))
    assert [float(line) for line in (tmp_path / "x.csv").read_text().splitlines()[1:]] == values


@pytest.mark.parametrize("content", ["{", "[1]", "\xff"])
def test_json_that_is_none_names_the_file(content: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(RequestError, match=r"config.json: it is not .*; delete its folder"):
        files.read_json(path)


def test_results_may_live_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LESION_BENCHMARKS_RESULTS", raising=False)
    assert results_root() == files.HOME
    monkeypatch.setenv("LESION_BENCHMARKS_RESULTS", str(tmp_path))
    assert results_root() == tmp_path


def test_published_tables_have_the_papers_rows() -> None:
    first, second, third = (published_table(f"table{k}") for k in (1, 2, 3))
    assert first.groupby("dataset").size().to_dict() == {"isic2017": 14, "isic2018": 14}
    assert (len(second), len(third)) == (5, 10)
    assert third["iou"].isna().sum() == 3
    iou = first["iou"] / 100
    assert (200 * iou / (1 + iou) - first["dsc"]).abs().max() < 0.011  # DSC = 2 IoU / (1 + IoU) at the printed digits
