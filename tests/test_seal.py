"""Counts, metrics, history, weights and masks are tied to report.json: what changed since is said, and not shown."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.cli.app import app
from benchmarks.runner.plan import plan_of
from reports.check.check import check
from results import files
from results.cell import Cell
from results.errors import RequestError
from results.runs import load_runs
from results.schema import GivenUp
from tests import fake_runs

CELL = Cell("isic2018", "paper", "unet", 1)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two seeds; all that there is of the first is sealed."""
    for seed in (1, 2):
        folder = fake_runs.write_run(tmp_path, seed=seed, images=6, masks=2)
        (folder / "weights.safetensors").write_bytes(b"weights of this seed")
        fake_runs.seal_run(folder)
    assert load_runs(tmp_path).problems == []
    return tmp_path


def changed(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "seconds": (lambda folder: changed(folder / "report.json", '"seconds": 60.0', '"seconds": 30.0'), "report.json"),
    "no digest": (lambda folder: changed(folder / "report.json", '"digest"', '"digests"'), "report.json"),
    "no files": (lambda folder: changed(folder / "report.json", '"files"', '"file"'), "report.json"),
    "config": (lambda folder: changed(folder / "config.json", '"batch": 8', '"batch": 9'), "config.json"),
    "history": (lambda folder: changed(folder / "history.csv", "0.001", "0.002"), "history.csv"),
    "no history": (lambda folder: (folder / "history.csv").unlink(), "history.csv"),
    "counts": (lambda folder: changed(folder / "per_image.csv", "ISIC_0000000", "ISIC_0000009"), "per_image.csv"),
    "weights": (lambda folder: flipped(folder / "weights.safetensors"), "weights.safetensors"),
    "mask": (lambda folder: flipped(folder / "masks" / "ISIC_0000001.png"), "masks"),
    "a mask less": (lambda folder: (folder / "masks" / "ISIC_0000001.png").unlink(), "masks"),
}
LARGE = ("weights", "mask", "a mask less")


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_changed_after_it_was_written_is_said_and_costs_one_row(damage: str, root: Path) -> None:
    change, name = DAMAGES[damage]
    change(CELL.folder(root))
    stored = load_runs(root)
    (problem,) = stored.problems
    assert problem.path == CELL.folder(root) / name
    assert problem.cure.endswith("delete its folder and run this cell again")
    assert [run.cell.seed for run in stored.runs] == [2]
    assert str(problem) in [item.message for item in check(root).failures]
    plan = plan_of([CELL], root)  # which does not look at what is large
    assert (plan.done, plan.damaged) == (([CELL], []) if damage in LARGE else ([], [problem]))


def test_weights_and_masks_may_be_left_away_as_git_leaves_weights(root: Path) -> None:
    (CELL.folder(root) / "weights.safetensors").unlink()
    shutil.rmtree(CELL.folder(root) / "masks")
    assert load_runs(root).problems == []


def test_a_run_of_an_earlier_version_is_read_without_checksums(root: Path) -> None:
    fake_runs.as_before_identities(CELL.folder(root))
    changed(CELL.folder(root) / "report.json", '"seconds": 60.0', '"seconds": 30.0')
    assert load_runs(root).problems == []
    assert plan_of([CELL], root).done == [CELL]
    changed(CELL.folder(root) / "per_image.csv", "ISIC_0000000", "ISIC_0000001")
    assert "stands twice" in load_runs(root).problems[0].message
    assert plan_of([CELL], root).damaged == load_runs(root).problems


@pytest.mark.parametrize("key", ["metrics", "per_image_mean"])
def test_without_checksums_metrics_are_still_those_of_the_counts(key: str, root: Path) -> None:
    fake_runs.as_before_identities(CELL.folder(root))
    path = CELL.folder(root) / "report.json"
    report = json.loads(path.read_text())
    report[key]["sen"] -= 1e-8
    path.write_text(json.dumps(report))
    assert f"its {key}.sen is " in load_runs(root).problems[0].message


def test_a_seed_that_was_given_up_is_sealed_too(root: Path) -> None:
    folder = fake_runs.write_failure(root, "unet", 3)
    GivenUp(epoch=17, reason="of ours", files={}).sealed().write(folder / "failed.json")
    assert [failure.epoch for failure in load_runs(root).failures] == [17]
    changed(folder / "failed.json", '"epoch": 17', '"epoch": 18')
    assert "changed after it was written" in load_runs(root).problems[0].message
    (folder / "failed.json").write_text('{"epoch": null, "reason": "x"}')
    assert "its epoch is None" in load_runs(root).problems[0].message
    assert plan_of([Cell("isic2018", "paper", "unet", 3)], root).damaged == load_runs(root).problems


def test_a_profile_is_sealed_and_a_person_may_open_it(root: Path) -> None:
    path = fake_runs.write_profile(root)
    changed(path, '"median": 20.0', '"median": 10.0')
    assert "changed after it was written" in check(root).failures[-1].message
    content = files.read_json(path)
    del content["digest"]
    files.write_json(path, content)
    assert not [item for item in check(root).failures if item.kind == "files"]


def test_a_plan_looks_at_a_thousand_cells_in_a_moment(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It neither parses the counts of a sealed cell nor reads its weights."""
    monkeypatch.setattr("results.runs.PerImage.read", lambda path: pytest.fail("it read the counts"))
    opened = []
    digest = files.Path.open
    monkeypatch.setattr(
        files.Path, "open", lambda path, *rest, **more: (opened.append(path.name), digest(path, *rest, **more))[1]
    )
    assert plan_of([CELL], root).done == [CELL]
    assert "weights.safetensors" not in opened
    assert "per_image.csv" in opened


def test_a_run_says_what_is_damaged_and_does_not_end_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cell is neither counted as done nor trained over what a person may want to look at."""
    monkeypatch.setenv("LESION_BENCHMARKS_CACHE", str(tmp_path / "cache"))
    command = ["run", "--network", "aulunet_v3", "--seeds", "1", "--results", str(tmp_path)]
    folder = fake_runs.write_run(tmp_path, "synthetic", "quick", "aulunet_v3", 1, images=4)
    fake_runs.seal_run(folder)
    changed(folder / "per_image.csv", "ISIC_0000000", "ISIC_0000009")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 1, done.output
    said = "".join(done.output.split())  # a long path is broken wherever the line ends
    assert "0cellstodo,0done,0failedbefore,1damaged" in said
    assert "per_image.csv:itisnotthefileofwhichreport.json" in said
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("name", ["", ".", "..", "a\0b", "a\nb", "\ud800", "n" * 256, "é" * 50])
def test_a_name_that_leaves_the_layout_is_refused(name: str, tmp_path: Path) -> None:
    for parts in ((name, "paper", "unet"), ("isic2018", name, "unet"), ("isic2018", "paper", name)):
        with pytest.raises(
            RequestError, match=r"^The (data set|recipe|network) name .* cannot name a folder of results"
        ):
            Cell(*parts, 1).folder(tmp_path)


@pytest.mark.parametrize("name", ["../..", "/etc/passwd", "a/../b", "smp:unet/resnet18", "...", "~"])
def test_a_name_with_slashes_stays_within_the_layout(name: str, tmp_path: Path) -> None:
    folder = Cell("isic2018", "paper", name, 1).folder(tmp_path)
    assert folder.parent.parent == tmp_path / "runs" / "isic2018" / "paper"
    assert Cell.of_folder(folder).network == name


@pytest.mark.parametrize("place", ["my net/seed-1", "%2E%2E/seed-1", "unet/seed-01", "unet/seed--1_0", "unet/seed-"])
def test_a_folder_that_no_cell_has_is_said(place: str, root: Path) -> None:
    shutil.move(CELL.folder(root), root / "moved")
    moved = root / "runs" / "isic2018" / "paper" / place
    moved.parent.mkdir(exist_ok=True)
    shutil.move(root / "moved", moved)
    assert [(problem.path, problem.cure) for problem in load_runs(root).problems] == [(moved, "rename or remove it")]


def test_a_document_with_a_name_that_is_none_is_said(root: Path) -> None:
    fake_runs.as_before_identities(CELL.folder(root))
    changed(CELL.folder(root) / "report.json", '"network": "unet"', '"network": ".."')
    assert "it speaks of isic2018 / paper / .. / seed 1" in load_runs(root).problems[0].message


@pytest.mark.parametrize("count", [2**63 - 1, 2**64, 10**30])
def test_counts_beyond_64_bits_take_nothing_down(count: int, root: Path) -> None:
    """Neither one alone nor what a sum of several would overflow to."""
    fake_runs.as_before_identities(CELL.folder(root))
    path = CELL.folder(root) / "per_image.csv"
    lines = path.read_text().splitlines()
    lines[1] = f"ISIC_0000000,{count},{count},2,{fake_runs.SIZE**2}"
    path.write_text("\n".join([*lines, ""]))
    assert f"tp is '{str(count)[:5]}" in load_runs(root).problems[0].message
    assert [run.cell.seed for run in load_runs(root).runs] == [2]
    assert check(root).exit_status == 1
    listed = CliRunner().invoke(app, ["list", "runs", "--results", str(root)])
    assert (listed.exit_code, "Damaged:" in listed.output) == (0, True)


def test_counts_of_another_size_are_said(root: Path) -> None:
    fake_runs.as_before_identities(CELL.folder(root))
    changed(CELL.folder(root) / "config.json", f'"size": {fake_runs.SIZE},\n  "split"', '"size": 65,\n  "split"')
    assert "its counts are of 4096 pixels, not of the 65 x 65" in load_runs(root).problems[0].message


@pytest.mark.skipif(os.geteuid() == 0 or os.name == "nt", reason="nothing is closed to the superuser")
def test_a_folder_that_cannot_be_read_is_said(root: Path) -> None:
    (root / "runs").chmod(0)
    try:
        refused = CliRunner().invoke(app, ["list", "runs", "--results", str(root)]).exception
        assert "runs cannot be read; get the right to read it" in str(refused)
    finally:
        (root / "runs").chmod(0o755)
