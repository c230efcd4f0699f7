"""What is damaged is named with its path and a cure, and the rest is rendered."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from reports.check.check import check
from reports.comparison.findings import Findings
from reports.evidence import load_everything
from reports.formats.csv import to_csv
from reports.formats.latex import to_latex
from reports.formats.markdown import to_markdown
from reports.tables.all import all_grids
from results.errors import Problem
from tests import fake_runs


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two seeds each of two networks, counts and a profile; seed 1 of unet is about to be damaged."""
    folder = tmp_path / "results"
    fake_runs.write_suite(folder, {"unet": 0.8, "aulunet_v3": 0.9}, seeds=2, images=12)
    fake_runs.write_complexity(folder)
    fake_runs.write_profile(folder)
    return folder


def run(root: Path) -> Path:
    return root / "runs" / "isic2018" / "paper" / "unet" / "seed-1"


def edit(path: Path, change: Callable[[dict], object]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def truncate(root: Path) -> None:
    path = run(root) / "per_image.csv"
    path.write_text("".join(path.read_text().splitlines(True)[:-7]))


def cut_mid_line(root: Path) -> None:
    path = run(root) / "per_image.csv"
    path.write_text(path.read_text()[:-2])


def from_another_version(root: Path) -> None:
    edit(run(root) / "report.json", lambda report: report.update(format=99))


def of_another_recipe(root: Path) -> None:
    edit(run(root) / "report.json", lambda report: report.update(recipe="paper+epochs=3"))


def nan_metric(root: Path) -> None:
    edit(run(root) / "report.json", lambda report: report["metrics"].update(iou=float("nan")))


def another_metric(root: Path) -> None:
    edit(run(root) / "report.json", lambda report: report["metrics"].update(acc=0.99))


def empty_report(root: Path) -> None:
    (run(root) / "report.json").write_text("")


def lost_config(root: Path) -> None:
    (run(root) / "config.json").unlink()


def lost_counts(root: Path) -> None:
    (run(root) / "per_image.csv").unlink()


def binary_counts(root: Path) -> None:
    (run(root) / "per_image.csv").write_bytes(bytes(range(256)))


def other_images(root: Path) -> None:
    path = run(root) / "per_image.csv"
    path.write_text(path.read_text().replace("ISIC_0000003", "ISIC_0099999"))


def misnamed_folder(root: Path) -> None:
    run(root).rename(run(root).with_name("seed-one"))


DAMAGES: dict[Callable[[Path], None], tuple[str, str]] = {
    truncate: ("seed-1/per_image.csv", "truncated"),
    cut_mid_line: ("seed-1/per_image.csv", "its last line was cut off"),
    from_another_version: ("seed-1/report.json", "format 99"),
    of_another_recipe: ("seed-1/report.json", "paper+epochs=3"),
    nan_metric: ("seed-1/report.json", "nan"),
    another_metric: ("seed-1/report.json", "acc"),
    empty_report: ("seed-1/report.json", "not JSON"),
    lost_config: ("seed-1/config.json", "missing"),
    lost_counts: ("seed-1/per_image.csv", "missing"),
    binary_counts: ("seed-1/per_image.csv", "not a table"),
    other_images: ("seed-1/per_image.csv", "other images"),
    misnamed_folder: ("seed-one", "seed-<number>"),
}


def only_problem(root: Path) -> Problem:
    problems = load_everything(root).problems
    assert len(problems) == 1, problems
    return problems[0]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_run_is_named_and_the_rest_renders(damage: Callable[[Path], None], root: Path) -> None:
    ending, word = DAMAGES[damage]
    damage(root)
    evidence = load_everything(root)
    (problem,) = evidence.problems
    assert problem.path.as_posix().endswith(ending)
    assert word in problem.message
    assert problem.cure
    assert str(problem.path) in str(problem)
    assert str(problem) in [item.message for item in check(root).failures]
    rows = {row.network: row for row in Findings.of(evidence).tables["table1"].blocks[1].rows}
    measured = [rows[name].comparisons["iou"].measured for name in ("unet", "aulunet_v3")]
    assert [found.n for found in measured if found] == [1, 2]
    for grids in filter(None, all_grids(Findings.of(evidence)).values()):
        for write in (to_markdown, to_csv, to_latex):
            assert any(name in write(grids) for name in ("AULUNet-v3", "aulunet_v3", "d=1,d=2 (Ours)", "MK-UNet"))


def test_a_run_of_another_recipe_stands_in_its_own_block(root: Path) -> None:
    fake_runs.write_run(root, network="unet", seed=3, recipe="paper+epochs=3", images=12)
    evidence = load_everything(root)
    assert evidence.problems == []
    blocks = [(block.dataset, block.recipe) for block in Findings.of(evidence).tables["table1"].blocks]
    assert blocks == [("isic2017", "paper"), ("isic2018", "paper"), ("isic2018", "paper+epochs=3")]


def test_an_unknown_network_in_a_published_file(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = fake_runs.copy_published(tmp_path / "published", monkeypatch) / "table2.csv"
    path.write_text(path.read_text().replace("aulunet_m4", "aulunet_m44"))
    problem = only_problem(root)
    assert problem.path == path
    assert "'aulunet_m44'" in problem.message
    rows = Findings.load(root).tables["table2"].blocks[0].rows
    assert rows[0].comparisons["iou"].measured is None
    assert rows[4].comparisons["iou"].measured is not None
    assert check(root).exit_status == 1


def test_a_word_where_a_number_belongs(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = fake_runs.copy_published(tmp_path / "published", monkeypatch) / "table1.csv"
    path.write_text(path.read_text().replace("74.64", "'74,64'".replace(",", ";")))
    problem = only_problem(root)
    assert problem.path == path
    assert "iou of unet on isic2018 is" in problem.message
    found = Findings.load(root).tables["table1"].blocks[1].rows[0].comparisons["iou"]
    assert found.unreadable


def test_a_row_typed_twice(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = fake_runs.copy_published(tmp_path / "published", monkeypatch) / "table1.csv"
    path.write_text(path.read_text() + path.read_text().splitlines()[-1] + "\n")
    assert "aulunet_v3 on isic2018 stands twice" in only_problem(root).message
    assert len(Findings.load(root).tables["table1"].blocks[1].rows) == 16


@pytest.mark.parametrize("name", ["table1.csv", "table3.csv", "contradictions.csv"])
@pytest.mark.parametrize("content", [None, "", "a,b\n1,2\n", "\x00\x01"])
def test_an_unusable_published_file(
    name: str, content: str | None, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = fake_runs.copy_published(tmp_path / "published", monkeypatch) / name
    if content is None:
        path.unlink()
    else:
        path.write_text(content)
    problem = only_problem(root)
    assert problem.path == path
    assert "restore it" in problem.cure
    text = "".join(map(to_markdown, all_grids(Findings.load(root)).values()))
    assert "d=1,d=3" in text or name == "table3.csv"
    assert "aulunet_v3" in text or "AULUNet-v3" in text


@pytest.mark.parametrize("content", ["", "network,parameters\nunet,1\n", "not a table\n\x00"])
def test_unusable_counts(content: str, root: Path) -> None:
    (root / "complexity.csv").write_text(content)
    problem = only_problem(root)
    assert problem.path == root / "complexity.csv"
    assert "python -m benchmarks count" in problem.cure


@pytest.mark.parametrize(
    "change",
    [
        lambda profile: profile.update(format=2),
        lambda profile: profile.pop("machine"),
        lambda profile: profile["rows"][0].pop("network"),
        lambda profile: profile["rows"][0]["latency_ms"].update(median=float("nan")),
        lambda profile: profile["rows"][1]["kernels_latency_ms"].update(median=float("nan")),
    ],
)
def test_an_unusable_profile(change: Callable[[dict], object], root: Path) -> None:
    path = root / "profiles" / "quiet-box.json"
    edit(path, change)
    problem = only_problem(root)
    assert problem.path == path
    assert "python -m benchmarks profile" in problem.cure
    assert all_grids(Findings.load(root))["efficiency"] == []
