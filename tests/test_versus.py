"""Networks against each other, two states of results, and results that are taken in."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from benchmarks.cli import report
from benchmarks.cli.app import app
from benchmarks.cli.session import Session
from reports.versus.pair import Pair, Side
from reports.versus.pictures import sheet
from results import files, merging
from results.errors import RequestError
from results.runs import load_runs
from tests import fake_runs


def command(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, list(map(str, arguments)), obj=Session(), catch_exceptions=False)
    return done.exit_code, " ".join(done.output.split())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two networks of three seeds each, of which one is better."""
    for seed in (1, 2, 3):
        fake_runs.write_run(tmp_path / "results", network="unet", seed=seed, skill=0.83, label="U-Net", masks=40)
        fake_runs.write_run(tmp_path / "results", network="malunet", seed=seed, skill=0.88, label="MALUNet", masks=40)
    return tmp_path / "results"


def pair_of(root: Path) -> Pair:
    runs = load_runs(root).runs
    sides = [Side(label, [run for run in runs if run.cell.network == name]) for name, label in
             (("malunet", "MALUNet"), ("unet", "U-Net"))]  # fmt: skip
    return Pair(*sides)


def test_a_pair_says_who_wins_where(root: Path) -> None:
    pair = pair_of(root)
    tables = {name: np.mean([iou_of(run) for run in load_runs(root).runs if run.cell.network == name], axis=0)
              for name in ("malunet", "unet")}  # fmt: skip
    gaps = tables["malunet"] - tables["unet"]
    assert np.allclose(pair.gaps, gaps)
    assert pair.wins == pytest.approx(((gaps > 0).mean(), (gaps < 0).mean(), (gaps == 0).mean()))
    assert 0 < pair.wins[1] < pair.wins[0]
    ids = np.array(fake_runs.ids())
    assert pair.apart == list(ids[np.argsort(-np.abs(gaps), kind="stable")[:20]])
    better = np.maximum(*tables.values())
    assert pair.both_fail == [name for name in ids[np.argsort(better)] if better[list(ids).index(name)] < 0.5]
    assert "MALUNet is better" in pair.verdict
    row = pair.table().set_index("metric").loc["IoU"]
    assert row["difference"] == pytest.approx(row["first"] - row["second"])
    assert row["low"] < row["difference"] < row["high"]


def iou_of(run) -> np.ndarray:
    table = run.per_image.sort_index()
    return (table["tp"] / (table["tp"] + table["fp"] + table["fn"])).to_numpy()


def test_the_command_writes_scores_a_plot_and_sheets(root: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(report, "photographs", lambda dataset, ids, size: fake_runs.pictures(dataset, ids))
    code, said = command("compare", "malunet", "unet", "--results", root, "--output", tmp_path / "out")
    assert code == 0
    assert "MALUNet is better" in said
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"scatter.svg", "scatter.png", "images.csv", "differ-most.jpg"} <= names
    table = pd.read_csv(tmp_path / "out" / "images.csv")
    assert list(table["id"]) == fake_runs.ids()
    with Image.open(tmp_path / "out" / "differ-most.jpg") as drawn:
        assert drawn.height > 4 * 150


def test_a_sheet_draws_both_predictions(root: Path) -> None:
    pair = pair_of(root)
    ids = pair.apart[:5]
    drawn = np.asarray(sheet(pair, ids, fake_runs.pictures("isic2018", ids))).astype(int)
    for colour in ((86, 180, 233), (230, 159, 0)):
        assert (np.abs(drawn[30:170] - colour).sum(axis=-1) == 0).sum() > 100


def test_runs_and_results_folders_are_compared_too(root: Path, tmp_path: Path) -> None:
    folders = [root / "runs" / "isic2018" / "paper" / name / "seed-1" for name in ("malunet", "unet")]
    assert "malunet seed 1 against unet seed 1" in command("compare", *folders)[1]
    shutil.copytree(root, tmp_path / "other")
    said = command("compare", root, tmp_path / "other")[1]
    assert said.count("not separated from chance") == 2
    assert "unet of results against unet of other" in said


@pytest.mark.parametrize(
    ("names", "said"),
    [(("malunet", "ege_unet"), "There are no runs of both malunet and ege_unet"), ((".", "."), "have no network")],
)
def test_what_cannot_be_compared(root: Path, tmp_path: Path, monkeypatch, names, said) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RequestError, match=said):
        command("compare", *names, "--results", root)


def test_other_images_cannot_be_compared(root: Path) -> None:
    fake_runs.write_run(root, network="lb_unet", images=30)
    with pytest.raises(RequestError, match="MALUNet and lb_unet scored other images or masks"):
        command("compare", "malunet", "lb_unet", "--results", root)


def test_diff_names_what_moved(root: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(root, other)
    assert command("diff", root, other) == (0, "No mean, number of seeds or verdict moved.")
    shutil.rmtree(other / "runs" / "isic2018" / "paper" / "unet" / "seed-3")
    for seed in (4, 5):
        fake_runs.write_run(other, network="malunet", seed=seed, skill=0.88, label="MALUNet")
    code, said = command("diff", root, other)
    assert code == 1
    assert "ISIC2018, recipe paper: U-Net, seeds: 3.00 -> 2.00" in said
    assert "ISIC2018, recipe paper: MALUNet, verdict of mIoU, Table 1: incomplete -> " in said
    before, after = (np.mean([run.metrics["iou"] for run in load_runs(each).runs if run.cell.network == "unet"])
                     for each in (root, other))  # fmt: skip
    assert f"U-Net, IoU: {100 * before:.2f} -> {100 * after:.2f}" in said


def test_merge_takes_in_what_is_new_and_nothing_else(root: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    fake_runs.write_run(theirs, network="ege_unet", seed=1)
    shutil.copytree(root / "runs" / "isic2018" / "paper" / "unet", theirs / "runs" / "isic2018" / "paper" / "unet")
    (theirs / "runs" / "isic2018" / "paper" / "ege_unet" / "seed-1" / "claim.json").write_text("{}")
    assert command("merge", theirs, "--results", root, "--dry-run")[1].startswith("1 new run, 3 that are there already")
    assert len(load_runs(root).runs) == 6
    code, said = command("merge", theirs, "--results", root)
    assert code == 0
    assert "Taken in: isic2018 / paper / ege_unet / seed 1" in said
    taken = root / "runs" / "isic2018" / "paper" / "ege_unet" / "seed-1"
    assert len(load_runs(root).runs) == 7
    assert not (taken / "claim.json").exists()
    assert not list(root.rglob("*.partial"))
    assert command("merge", theirs, "--results", root)[1].startswith("0 new runs, 4 that are there already")


def spoiled(theirs: Path, kind: str) -> None:
    """Their runs, with something against them."""
    if kind == "another run":
        fake_runs.write_run(theirs, network="unet", seed=2, skill=0.9)
    folder = fake_runs.write_run(theirs, network="malunet" if kind == "another network" else "ege_unet", seed=9)
    fake_runs.write_run(theirs, network="ege_unet", seed=8)
    if kind == "counts":
        path = folder / "per_image.csv"
        table = pd.read_csv(path)
        table.loc[3, "tp"] += 5
        table.loc[3, "fn"] -= 5
        table.to_csv(path, index=False)
    if kind == "another network":
        path = folder / "config.json"
        files.write_json(path, files.read_json(path) | {"identity": "0123456789abcdef"})


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("another run", "is another run of the same cell"),
        ("counts", "not the"),
        ("another network", "would not be any more"),
    ],
)
def test_merge_refuses_what_contradicts_and_takes_nothing(root: Path, tmp_path: Path, kind: str, said: str) -> None:
    theirs = tmp_path / "theirs"
    spoiled(theirs, kind)
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    code, told = command("merge", theirs, "--results", root)
    assert code == 1
    assert said in told
    assert "Nothing was copied" in told
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before
    with pytest.raises(RequestError, match="Nothing was taken in"):
        merging.take(merging.plan(theirs, root), root)


def test_merge_needs_another_folder_with_runs(root: Path, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="is the results folder itself"):
        command("merge", root, "--results", root)
    with pytest.raises(RequestError, match="holds no finished runs"):
        command("merge", tmp_path / "nothing", "--results", root)
