"""The join of published and measured numbers, the verdict rule, and the tally."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from reports.comparison.findings import Findings
from reports.comparison.join import Block, PaperTable, measure
from reports.comparison.tally import Tally
from reports.comparison.verdict import AT_PRINTED_DIGITS, TOLERANCE_REASON, TOLERANCES, Verdict, verdict
from reports.evidence import load_everything
from results import files
from results.published import PUBLISHED, TABLES, published_table
from tests import fake_runs

POINT = 0.01


def filled_table(name: str, root: Path) -> PaperTable:
    return Findings.load(root).tables[name]


def counted_tally(root: Path) -> Tally:
    return Findings.load(root).tally


def block(filled: PaperTable, dataset: str, recipe: str = "paper") -> Block:
    return next(block for block in filled.blocks if (block.dataset, block.recipe) == (dataset, recipe))


@pytest.mark.parametrize(
    ("published", "measured", "options", "expected"),
    [
        (None, 0.80, {}, Verdict.NO_CLAIM),
        (None, None, {}, Verdict.NO_CLAIM),
        (0.80, None, {"shortfall": "n = 2"}, Verdict.NOT_MEASURED),
        (0.80, 0.80, {"shortfall": "n = 2"}, Verdict.INCOMPLETE),
        (0.80, 0.80, {}, Verdict.REPRODUCED),
        (0.80, 0.82, {}, Verdict.REPRODUCED),
        (0.80, 0.82004, {}, Verdict.REPRODUCED),  # prints as +2.00 points
        (0.80, 0.82006, {}, Verdict.ABOVE),
        (0.80, 0.78, {}, Verdict.REPRODUCED),
        (0.80, 0.77994, {}, Verdict.BELOW),
        (0.80, 0.83, {"counted": True}, Verdict.CONTRADICTED),
    ],
)
def test_verdict_rule(published: float | None, measured: float | None, options: dict, expected: Verdict) -> None:
    assert verdict(published, measured, (-2 * POINT, 2 * POINT), **options) is expected


@pytest.mark.parametrize(
    ("printed", "counted", "expected"),
    [
        (0.029, 0.0285, Verdict.REPRODUCED),  # rounded up
        (0.029, 0.028499, Verdict.CONTRADICTED),
        (0.029, 0.029999, Verdict.REPRODUCED),  # truncated
        (0.029, 0.030000, Verdict.CONTRADICTED),
        (0.029, 0.02995, Verdict.REPRODUCED),  # a count is never rounded to the digits of a metric
    ],
)
def test_counts_may_be_rounded_or_truncated(printed: float, counted: float, expected: Verdict) -> None:
    assert verdict(printed, counted, AT_PRINTED_DIGITS, counted=True) is expected


def test_tolerances_are_twice_the_stated_standard_errors() -> None:
    errors = [float(word.strip("(,")) for word in TOLERANCE_REASON.split() if re.match(r"\(?\d\.\d\d,?$", word)]
    points = [round(100 * tolerance, 1) for tolerance in TOLERANCES.values()]
    assert points == [round(2 * error, 1) for error in errors]


def test_counts_are_compared_at_the_printed_digits(tmp_path: Path) -> None:
    fake_runs.write_complexity(tmp_path)
    rows = block(filled_table("table1", tmp_path), "isic2018").rows
    params = {row.network: row.counts["params_m"] for row in rows}
    assert params["vm_unet"].verdict is Verdict.REPRODUCED  # 27,427,561 printed as 27.427: truncated
    assert "truncated" in params["vm_unet"].reason
    assert params["ege_unet"].verdict is Verdict.REPRODUCED
    assert params["lb_unet"].verdict is Verdict.CONTRADICTED
    assert params["lb_unet"].convention == "thop's parameter count"
    assert params["unext_s"].convention == "none"
    contradicted = {
        (row.network, column)
        for row in rows
        for column, found in row.counts.items()
        if found.verdict is Verdict.CONTRADICTED
    }
    documented = pd.read_csv(PUBLISHED / "contradictions.csv")
    assert contradicted == set(zip(documented["network"], documented["column"], strict=True))


def test_a_new_count_is_contradicted_and_undocumented(tmp_path: Path) -> None:
    path = fake_runs.write_complexity(tmp_path)
    path.write_text(path.read_text().replace("\naulunet_v3,28636,", "\naulunet_v3,30636,"))
    found = block(filled_table("table1", tmp_path), "isic2018").rows[13].counts["params_m"]
    assert (found.verdict, found.documented) == (Verdict.CONTRADICTED, False)
    assert "30,636" in found.reason


def test_without_counts_nothing_is_invented(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "HOME", tmp_path)
    row = block(filled_table("table1", tmp_path), "isic2018").rows[0]
    assert row.counts["gflops"].counted is None
    assert row.counts["gflops"].verdict is Verdict.NOT_MEASURED


@pytest.mark.parametrize("name", TABLES)
def test_paper_blocks_hold_all_rows_in_the_papers_order(name: str, tmp_path: Path) -> None:
    typed = published_table(name)
    for filled in filled_table(name, tmp_path).blocks:
        expected = typed.loc[typed["dataset"] == filled.dataset, "model"].tolist()
        assert [row.network for row in filled.rows][: len(expected)] == expected
        found = [comparison for row in filled.rows for comparison in row.comparisons.values()]
        assert {comparison.verdict for comparison in found} <= {Verdict.NOT_MEASURED, Verdict.NO_CLAIM}


def test_measured_values_are_recomputed_from_the_counts(tmp_path: Path) -> None:
    fake_runs.write_suite(tmp_path, {"unet": 0.85})
    folders = sorted(tmp_path.glob("runs/isic2018/paper/unet/seed-*"))
    values = []
    for folder in folders:
        counts = pd.read_csv(folder / "per_image.csv")[["tp", "fp", "fn"]].sum()
        values.append(counts["tp"] / counts.sum())
    found = block(filled_table("table1", tmp_path), "isic2018").rows[0].comparisons["iou"]
    assert found.measured is not None
    assert found.measured.n == 5
    assert found.measured.mean == pytest.approx(np.mean(values), abs=1e-12)
    assert found.measured.sd == pytest.approx(np.std(values, ddof=1), abs=1e-12)
    assert found.difference == pytest.approx(np.mean(values) - 0.7464, abs=1e-12)


def test_five_seeds_of_the_papers_recipe_get_a_verdict_and_four_do_not(tmp_path: Path) -> None:
    fake_runs.write_suite(tmp_path, {"unet": 0.99}, seeds=4)
    found = block(filled_table("table1", tmp_path), "isic2018").rows[0].comparisons["iou"]
    assert found.verdict is Verdict.INCOMPLETE
    assert "n = 4 of 5" in found.reason
    fake_runs.write_run(tmp_path, network="unet", seed=5, skill=0.99)
    found = block(filled_table("table1", tmp_path), "isic2018").rows[0].comparisons["iou"]
    assert found.verdict is Verdict.ABOVE


def test_recipes_are_never_mixed(tmp_path: Path) -> None:
    fake_runs.write_suite(tmp_path, {"unet": 0.85})
    fake_runs.write_suite(tmp_path, {"unet": 0.95}, recipe="paper+epochs=3", seeds=6)
    filled = filled_table("table1", tmp_path)
    paper, other = (block(filled, "isic2018", recipe) for recipe in ("paper", "paper+epochs=3"))
    measured = [each.rows[0].comparisons["iou"].measured for each in (paper, other)]
    assert [found.n for found in measured if found] == [5, 6]
    assert [row.network for row in other.rows] == ["unet"]
    assert "15 further rows" in other.note
    assert f"{fake_runs.SIZE} px, 4 epochs" in other.note
    assert paper.note == ""
    assert other.rows[0].comparisons["iou"].verdict is Verdict.INCOMPLETE
    assert "another recipe" in other.rows[0].comparisons["iou"].reason


def test_synthetic_data_show_published_numbers_for_reference_only(tmp_path: Path) -> None:
    fake_runs.write_suite(tmp_path, {"unet": 0.85}, dataset="synthetic", recipe="quick")
    found = block(filled_table("table1", tmp_path), "synthetic", "quick")
    comparison = found.rows[0].comparisons["iou"]
    assert found.reference_only
    assert comparison.published == pytest.approx(0.7464)
    assert comparison.difference is None
    assert comparison.verdict is Verdict.INCOMPLETE


def test_other_networks_join_table_1_and_single_modules_table_2(tmp_path: Path) -> None:
    fake_runs.write_run(tmp_path, network="smp:unet/resnet18", label="smp U-Net")
    fake_runs.write_run(tmp_path, network="smp:unet/resnet18", label="quick U-Net", recipe="quick")
    fake_runs.write_run(tmp_path, network="aulunet_akf")
    fake_runs.write_failure(tmp_path, "mine", 3)
    first, second = (block(filled_table(name, tmp_path), "isic2018") for name in ("table1", "table2"))
    assert [row.label for row in first.rows[14:]] == [
        "AULUNet-v1 (second interpretation)",
        "AULUNet-v2 (second interpretation)",
        "mine",
        "smp U-Net",
    ]
    assert [failure.cell.seed for failure in first.rows[16].failures] == [3]
    assert [row.network for row in second.rows if row.runs] == ["aulunet_akf"]
    assert [row.network for row in first.rows if row.interpretation] == [
        "aulunet_v1",
        "aulunet_v2",
        "aulunet_v1_pooled",
        "aulunet_v2_pooled",
    ]


def test_unreadable_cells_make_no_claim(tmp_path: Path) -> None:
    rows = block(filled_table("table3", tmp_path), "isic2018").rows
    unreadable = [row.network for row in rows if row.comparisons["iou"].unreadable]
    assert unreadable == ["aulunet_d123", "aulunet_d135", "aulunet_d157"]
    assert [row.group for row in rows] == ["Two branches (sigmoid)"] * 6 + ["Three branches (softmax)"] * 4


def test_every_published_number_is_tallied_once(tmp_path: Path) -> None:
    fake_runs.write_complexity(tmp_path)
    numbers = set()
    for name in TABLES:
        for row in published_table(name).to_dict("records"):
            numbers |= {("", row["model"], column) for column in ("params_m", "gflops")}
            for metric in TOLERANCES:
                if metric in row and not np.isnan(row[metric]):
                    numbers.add((row["dataset"], row["model"], metric))
    counted = counted_tally(tmp_path)
    assert sum(counted.metrics.values()) + sum(counted.counts.values()) == len(numbers)
    assert sum(counted.counts.values()) == sum(column in ("params_m", "gflops") for _, _, column in numbers)
    assert counted.counts[Verdict.CONTRADICTED] == 8
    assert counted.metrics[Verdict.INCOMPLETE] == 0
    fake_runs.write_run(tmp_path, network="aulunet_v3", recipe="paper+epochs=3")
    assert counted_tally(tmp_path).metrics[Verdict.INCOMPLETE] == 2  # mIoU and DSC of Table 1
    fake_runs.write_suite(tmp_path, {"unet": 0.8}, dataset="synthetic", recipe="quick")
    again = counted_tally(tmp_path)
    assert sum(again.metrics.values()) + sum(again.counts.values()) == len(numbers)


def test_an_explained_difference_stays_above(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    published = fake_runs.copy_published(tmp_path / "published", monkeypatch)
    with (published / "contradictions.csv").open("a") as file:
        file.write("unet,iou,isic2018,It was published of an undertrained network.\n")
    for dataset in ("isic2017", "isic2018"):
        fake_runs.write_suite(tmp_path, {"unet": 0.99}, dataset=dataset)
    filled = filled_table("table1", tmp_path)
    there, here = (block(filled, dataset).rows[0].comparisons["iou"] for dataset in ("isic2017", "isic2018"))
    assert (here.verdict, here.documented) == (Verdict.ABOVE, True)
    assert (there.verdict, there.documented) == (Verdict.ABOVE, False)
    assert here.reason == "It was published of an undertrained network."


def test_one_seed_has_no_spread(tmp_path: Path) -> None:
    fake_runs.write_run(tmp_path)
    found = measure(load_everything(tmp_path).runs, "iou")
    assert found is not None
    assert (found.sd, found.n) == (None, 1)
