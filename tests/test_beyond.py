"""Networks that are not in the paper: their counts are judged, their accuracies shown, and all of it is kept apart."""

import csv
import io
from pathlib import Path

import pytest

from reports.check.check import check
from reports.check.item import Status
from reports.comparison.findings import Findings
from reports.comparison.verdict import Verdict
from reports.figures.figure2 import by_parameters, figure2
from reports.formats.csv import to_csv
from reports.tables.all import all_grids
from reports.tables.grid import Grid
from results.catalogue import BEYOND, NETWORKS
from results.errors import Damaged
from results.metrics import metric_named
from results.published import BeyondTable
from tests import fake_runs


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    fake_runs.write_suite(folder, {"unet": 0.82, "tiny_unet": 0.85, "mk_unet": 0.86}, seeds=2)
    fake_runs.write_suite(folder, {"mk_unet_t": 0.84}, seeds=1, dataset="isic2017")
    fake_runs.write_complexity(folder)
    return folder


@pytest.fixture(scope="module")
def findings(root: Path) -> Findings:
    return Findings.load(root)


@pytest.fixture(scope="module")
def grids(findings: Findings) -> dict[str, list[Grid]]:
    return all_grids(findings)


def records(grids: list[Grid]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(to_csv(grids))))


COUNTS = {  # published, by which counter, and what that says here
    ("mk_unet", "params_m"): ("0.316", 0.315566),
    ("mk_unet", "gflops"): ("0.314", 0.31376),
    ("simple_unet", "params_m"): ("0.016", 0.016308),
    ("tiny_unet", "params_m"): ("0.48", 0.48117),
    ("tiny_unet", "gflops"): ("3.33", 3.32674),
    ("ultralbm_unet", "params_m"): ("0.034", 0.034166),
    ("ultralbm_unet", "gflops"): ("0.060", 0.06045),
    ("mambalite_unet", "params_m"): ("0.494", 0.494173),
    ("mambalite_unet", "gflops"): ("0.33", 0.32621),
}


def test_every_published_count_is_reproduced_by_its_own_counter(findings: Findings) -> None:
    judged = {
        (network, column): found
        for network in BEYOND
        for column, found in findings.counts[network].items()
        if found.published is not None
    }
    assert {key: f"{found.published:.{found.digits}f}" for key, found in judged.items()} == {
        key: printed for key, (printed, _) in COUNTS.items()
    }
    assert {key: found.counted for key, found in judged.items()} == pytest.approx(
        {key: counted for key, (_, counted) in COUNTS.items()}
    )
    assert {found.verdict for found in judged.values()} == {Verdict.REPRODUCED}


@pytest.mark.parametrize(("old", "new"), [("0.314,ptflops_macs", "0.314,thop_macs"), ("3.33,twice", "3.34,twice")])
def test_another_counter_or_digit_is_contradicted_and_fails_the_check(
    old: str, new: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = fake_runs.copy_published(tmp_path / "published", monkeypatch) / "beyond.csv"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    items = {item.name: item for item in check(root).items if item.kind == "counts" and item.path == path}
    assert len(items) == 10  # nine counts, and the operations of SimpleUNet, which were not published
    assert [item.status for item in items.values()].count(Status.FAILED) == 1
    assert [item.status for item in items.values()].count(Status.SKIPPED) == 1


def test_the_check_passes_what_is_committed(root: Path) -> None:
    items = [item for item in check(root).items if item.kind == "counts" and item.path == BeyondTable.path()]
    assert {item.status for item in items} == {Status.PASSED, Status.SKIPPED}


def test_the_counts_table_names_the_counter_of_each(grids: dict[str, list[Grid]]) -> None:
    (grid,) = grids["counts"]
    groups = [row.group for row in grid.rows]
    assert groups == sorted(groups)
    assert [row.key for row in grid.rows if row.group == "Not in the paper"] == list(BEYOND)
    found = {record["network"]: record for record in records([grid])}
    assert "ptflops" in found["mk_unet"]["gflops_convention"]
    assert "twice thop's" in found["tiny_unet"]["gflops_convention"]
    assert "16 KB" in found["simple_unet"]["params_m_convention"]
    assert "unfused" in found["ultralbm_unet"]["gflops_convention"]
    assert "invisible Mamba" in found["mambalite_unet"]["params_m_convention"]
    assert "MambaLiteUNet‡" in {row.cells[0].text for row in grid.rows}


def test_published_and_measured_stand_side_by_side_without_a_verdict(
    findings: Findings, grids: dict[str, list[Grid]]
) -> None:
    (grid,) = grids["beyond"]
    assert all(cell.verdict is None for row in grid.rows for cell in row.cells)
    found = {(r["network"], r["dataset"], r["metric"]): r for r in records([grid])}
    tiny = found["tiny_unet", "isic2018", "iou_both_classes"]
    runs = findings.evidence.runs_of("isic2018", "paper", "tiny_unet")
    both = [float(metric_named("iou_both_classes").over_images(run.counts)) for run in runs]
    assert (float(tiny["published"]), tiny["recipe"], tiny["measured_n"]) == (0.8549, "paper", "2")
    assert float(tiny["measured"]) == pytest.approx(sum(both) / 2)
    assert found["mk_unet", "ph2", "dsc"]["measured"] == "not measured"
    assert found["mk_unet", "isic2018", "dsc"]["source"].startswith("second-hand: ")
    unpublished = found["mk_unet_t", "isic2017", "iou"]
    assert (unpublished["published"], unpublished["measured_n"]) == ("not published", "1")


def test_a_published_number_is_typed_with_its_source_and_definition() -> None:
    printed = BeyondTable.read(BeyondTable.path()).printed
    assert all(number.source and number.definition for number in printed)
    assert all(bool(number.protocol) == bool(number.dataset) != bool(number.counter) for number in printed)
    assert {number.network for number in printed} | {"mk_unet_t", "mk_unet_s", "simple_unet_one_class"} == set(BEYOND)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("tiny_unet,isic2018,iou,80.04", "tiny_unet,isic2018,iou,80.04 %", "not a number"),
        ("tiny_unet,isic2018,iou,80.04", "no_net,isic2018,iou,80.04", "network is 'no_net'"),
        ("gflops,3.33,twice_thop_macs", "gflops,3.33,", "counts have one"),
        ("gflops,3.33,twice_thop_macs", "gflops,3.33,my_counter", "counter is 'my_counter'"),
        ("tiny_unet,isic2018,iou,", "tiny_unet,isic2018,dsc,", "stands twice"),
    ],
)
def test_a_damaged_line_is_a_sentence_and_the_report_goes_on(
    old: str, new: str, said: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = fake_runs.copy_published(tmp_path / "published", monkeypatch) / "beyond.csv"
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(Damaged, match=said):
        BeyondTable.read(path)
    findings = Findings.load(root)
    assert [problem.path for problem in findings.evidence.problems] == [path]
    assert findings.counts["mk_unet"]["gflops"].verdict is Verdict.NO_CLAIM
    assert all_grids(findings)["beyond"]  # what is measured is still shown


def test_in_table_1_they_are_a_group_of_their_own_without_claims(
    findings: Findings, grids: dict[str, list[Grid]]
) -> None:
    grid = next(grid for grid in grids["table1"] if grid.context["dataset"] == "isic2018")
    groups = [row.group for row in grid.rows]
    assert groups == sorted(groups)
    assert [row.key for row in grid.rows if row.group] == ["mk_unet", "tiny_unet"]
    assert "‡ Not in the paper." in grid.notes
    for row in findings.rows:
        if row.network in BEYOND:
            assert row.marked_label == f"{NETWORKS[row.network].label}‡"
            assert {claim.verdict for claim in row.comparisons.values()} == {Verdict.NO_CLAIM}
    others = next(grid for grid in grids["statistics"] if grid.context["dataset"] == "isic2018")
    assert "‡ Not in the paper." in others.notes


def test_figures_mark_what_is_not_in_the_paper(findings: Findings) -> None:
    block = next(block for block in findings.tables["table1"].blocks if block.dataset == "isic2018")
    pairs = {row.network: by_parameters(row, block.reference_only) for row in block.rows}
    assert [name for name, pair in pairs.items() if pair.beyond] == ["mk_unet", "tiny_unet"]
    assert (pairs["mk_unet"].published, pairs["mk_unet"].measured.x) == (None, 0.315566)
    drawn = figure2(block, "figure2b", "Figure 2 (b)")
    assert drawn is not None
    assert "‡ marks networks that are not in the paper." in drawn.caption


def test_a_report_without_them_has_no_mark(tmp_path: Path) -> None:
    fake_runs.write_suite(tmp_path, {"unet": 0.8, "malunet": 0.84}, seeds=1)
    findings = Findings.load(tmp_path)
    block = next(block for block in findings.tables["table1"].blocks if block.dataset == "isic2018")
    drawn = figure2(block, "figure2b", "Figure 2 (b)")
    assert drawn is not None
    assert "‡" not in drawn.caption
    assert not any("‡" in note for grid in all_grids(findings)["statistics"] for note in grid.notes)
