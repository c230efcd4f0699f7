"""Tables as grids, and the formats made of them."""

import csv
import io
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from reports.comparison.findings import Findings
from reports.evidence import load_everything
from reports.formats.csv import to_csv
from reports.formats.latex import escape_latex, to_latex
from reports.formats.markdown import to_markdown
from reports.tables.all import all_grids
from reports.tables.grid import Column, Grid, GridRow, TableCell
from results.metrics import DEFINITIONS, METRICS
from tests import fake_runs

SKILLS = {"unet": 0.82, "aulunet_v1": 0.86, "aulunet_v3": 0.88, "aulunet_m4": 0.90, "aulunet_d13": 0.85}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    fake_runs.write_suite(folder, SKILLS)
    fake_runs.write_suite(folder, {"smp:unet/resnet18": 0.8, "unet": 0.8}, seeds=2, recipe="paper+epochs=3,size=96")
    fake_runs.write_suite(folder, {"unet": 0.8}, seeds=1, dataset="synthetic", recipe="quick")
    fake_runs.write_failure(folder, "ege_unet", 2)
    fake_runs.write_complexity(folder)
    fake_runs.write_profile(folder, "first")
    fake_runs.write_profile(folder, "second")
    return folder


@pytest.fixture(scope="module")
def grids(root: Path) -> dict[str, list[Grid]]:
    return all_grids(Findings.load(root))


def cells(grid: Grid, network: str) -> dict[str, TableCell]:
    row = next(row for row in grid.rows if row.key == network)
    return {column.key: cell for column, cell in zip(grid.columns, row.cells, strict=True)}


def bold(grid: Grid, key: str) -> list[str]:
    at = [column.key for column in grid.columns].index(key)
    return [row.key for row in grid.rows if row.cells[at].bold]


def test_no_cell_is_blank(grids: dict[str, list[Grid]]) -> None:
    assert len({grid.name for found in grids.values() for grid in found}) == sum(map(len, grids.values()))
    for grid in (grid for found in grids.values() for grid in found):
        assert grid.rows, grid.name
        assert all(len(row.cells) == len(grid.columns) for row in grid.rows), grid.name
        assert all(cell.text.strip() for row in grid.rows for cell in row.cells), grid.name
        for record in csv.DictReader(io.StringIO(to_csv([grid]))):
            assert all(record.values()), (grid.name, record)


def test_cells_say_what_is_missing(grids: dict[str, list[Grid]]) -> None:
    table1, table3 = grids["table1"][1], grids["table3"][0]
    assert cells(table1, "scr_net")["iou_measured"].text == "not measured"
    assert cells(table1, "ege_unet")["iou_measured"].text == "not measured (seed 2 failed)"
    assert any("ege_unet / seed 2 failed at epoch 17" in note for note in table1.notes)
    assert cells(table1, "aulunet_v1_pooled")["iou_published"].text == "not published"
    assert cells(table3, "aulunet_d123")["iou_published"].text == "unreadable"
    assert cells(table3, "aulunet_d123")["iou_difference"].text == "n/a"
    assert cells(table1, "unet")["gflops_counted"].text == "13.746 (contradicted)"


def test_interpretations_are_marked_on_every_table_that_shows_them(grids: dict[str, list[Grid]]) -> None:
    marked = 0
    for grid in (grid for found in grids.values() for grid in found):
        texts = [cell.text for row in grid.rows for cell in row.cells]
        assert not any(text in ("AULUNet-v1", "AULUNet-v2", "d=3,d=5,d=7") for text in texts), grid.name
        if any("†" in text for text in texts):
            assert any(note.startswith("†") and "ur interpretation" in note for note in grid.notes), grid.name
            marked += 1
    assert marked >= 5


def test_best_values_are_bold_by_computation(grids: dict[str, list[Grid]]) -> None:
    table1, table2, table3 = grids["table1"][1], grids["table2"][0], grids["table3"][0]
    assert bold(table1, "iou_published") == ["aulunet_v3"]
    assert bold(table1, "iou_measured") == ["aulunet_v3"]
    assert bold(table1, "params_m_published") == ["aulunet_v1", "aulunet_v3"]
    assert bold(table2, "spe_published") == ["aulunet_v1"]
    assert bold(table2, "iou_measured") == ["aulunet_m4"]
    assert bold(table2, "params_m_counted") == ["aulunet_m4"]
    assert bold(table3, "iou_published") == ["aulunet_v3"]


def test_table_2_has_all_metrics_and_table_3_two_parts(grids: dict[str, list[Grid]]) -> None:
    keys = [column.key for column in grids["table2"][0].columns]
    assert [key for key in keys if key.endswith("_measured")] == [
        f"{m}_measured" for m in ["iou", "dsc", "acc", "spe", "sen"]
    ]
    assert [row.key for row in grids["table2"][0].rows][:5] == [
        "aulunet_m4",
        "aulunet_m5",
        "aulunet_v1",
        "aulunet_v2",
        "aulunet_v3",
    ]
    parts = [row.group for row in grids["table3"][0].rows]
    assert parts == sorted(parts, reverse=True)
    assert len(set(parts)) == 2


def test_csv_holds_fractions_recomputed_from_the_counts(root: Path, grids: dict[str, list[Grid]]) -> None:
    found = {
        (record["dataset"], record["recipe"], record["network"]): record
        for name in ("table1", "table2", "table3")
        for record in csv.DictReader(io.StringIO(to_csv(grids[name])))
    }
    for network in SKILLS:
        totals = []
        for path in sorted(root.glob(f"runs/isic2018/paper/{network}/seed-*/per_image.csv")):
            with path.open() as file:
                rows = [[int(row[key]) for key in ("tp", "fp", "fn", "tn")] for row in csv.DictReader(file)]
            totals.append(np.sum(rows, axis=0))
        tp, fp, fn, _ = np.array(totals).T
        record = found["isic2018", "paper", network]
        assert float(record["iou_measured"]) == pytest.approx(np.mean(tp / (tp + fp + fn)), abs=1e-12)
        assert float(record["dsc_measured_sd"]) == pytest.approx(np.std(2 * tp / (2 * tp + fp + fn), ddof=1), abs=1e-12)
        assert record["iou_measured_n"] == "5"
    assert found["isic2017", "paper", "unet"]["iou_measured"] == "not measured"
    assert float(found["isic2017", "paper", "unet"]["iou_published"]) == 0.7955


def test_markdown_shows_percent_with_spread_and_n(grids: dict[str, list[Grid]]) -> None:
    text = to_markdown(grids["table1"])
    line = next(line for line in text.splitlines() if line.startswith("| AULUNet-v3"))
    assert "| **85.32 ± 0.25** | not measured | n/a | not measured |" in line
    assert re.search(r"\*\*\d\d\.\d\d ± \d\.\d\d \(5\)\*\* \| [+-]\d\.\d\d \| (reproduced|above|below) \|", text)
    widths = {line.count("|") for line in to_markdown([grids["table1"][0]]).splitlines() if line.startswith("|")}
    assert len(widths) == 1


def test_networks_of_another_recipe_stay_in_its_block(grids: dict[str, list[Grid]]) -> None:
    holders = [grid.context["recipe"] for grid in grids["table1"] for row in grid.rows if row.key.startswith("smp:")]
    assert holders == ["paper+epochs=3,size=96"]


def of_block(grids: dict[str, list[Grid]], name: str, recipe: str = "paper", dataset: str = "isic2018") -> list[Grid]:
    context = {"dataset": dataset, "recipe": recipe}
    return [grid for grid in grids[name] if context.items() <= dict(grid.context).items()]


def records(found: list[Grid]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(to_csv(found))))


def test_statistics_cover_the_block(root: Path, grids: dict[str, list[Grid]]) -> None:
    (block,) = of_block(grids, "statistics")
    found = {record["network"]: record for record in records([block])}
    assert set(found) == set(SKILLS)
    counts = [run.counts for run in load_everything(root).runs if run.cell.network == "aulunet_v3"]
    for metric in METRICS:
        record = {key: found["aulunet_v3"][f"{metric.name}{key}"] for key in ("", "_low", "_high", "_per_image")}
        assert float(record["_low"]) < float(record[""]) < float(record["_high"])
        assert float(record[""]) == pytest.approx(np.mean([metric(each.sum(axis=0)) for each in counts]))
        assert float(record["_per_image"]) == pytest.approx(np.mean([metric(each).mean() for each in counts]))
        assert 0 < float(found["aulunet_v3"][f"{metric.name}_images"]) < 1


def test_every_pair_is_tested_under_every_metric(grids: dict[str, list[Grid]]) -> None:
    pairs = of_block(grids, "pairs")
    assert [grid.context["metric"] for grid in pairs] == [metric.name for metric in METRICS]
    assert [len(grid.rows) for grid in pairs] == [10] * len(METRICS)
    found = records(pairs)
    assert {record["finding"] for record in found} == {"differs", "not separated"}
    for record in found:
        assert (record["finding"] == "differs") == (float(record["p_holm"]) < 0.05)
        assert float(record["low"]) < float(record["difference"]) < float(record["high"])
    separated = sum(record["finding"] == "differs" for record in records(pairs[:1]))
    assert f"Separated: {separated} of 10 pairs" in pairs[0].caption
    assert bold(pairs[0], "finding") == [r["first"] for r in records(pairs[:1]) if r["finding"] == "differs"]


def test_too_few_seeds_are_said(grids: dict[str, list[Grid]]) -> None:
    """Two seeds are not tested; one seed has an interval over images alone, and says so."""
    pairs = of_block(grids, "pairs", "paper+epochs=3,size=96")[0]
    assert [cell.text for cell in pairs.rows[0].cells[5:7]] == ["not tested", "too few seeds"]
    (single,) = of_block(grids, "statistics", "quick", "synthetic")
    cell = cells(single, "unet")
    assert (cell["seeds"].text, cell["iou_images"].text) == ("1", "one seed")
    assert cell["iou_interval"].title == "images alone: one seed"
    assert any("images alone" in note for note in single.notes)
    assert not of_block(grids, "pairs", "quick", "synthetic")
    assert not of_block(grids, "ranks", "quick", "synthetic")


def test_numbers_end_where_processors_begin_to_disagree(grids: dict[str, list[Grid]]) -> None:
    found = [grid for name in ("statistics", "ranks", "definitions", "pairs") for grid in grids[name]]
    numbers = [value for record in records(found) for value in record.values() if re.fullmatch(r"-?\d\.\d+", value)]
    assert len(numbers) > 300
    assert max(len(number.lstrip("-0.").rstrip("0")) for number in numbers) == 9
    sorts = [cell.sort for grid in found for row in grid.rows for cell in row.cells if isinstance(cell.sort, float)]
    assert max(len(repr(sort)) for sort in sorts) < 16


def test_ranks_and_definitions_agree_with_each_other(grids: dict[str, list[Grid]]) -> None:
    (stable,), (defined,) = of_block(grids, "ranks"), of_block(grids, "definitions")
    assert [row.key for row in stable.rows] == [row.key for row in defined.rows]
    for rank, definition in zip(records([stable]), records([defined]), strict=True):
        assert rank["rank"] == definition["iou_pooled_rank"]
        assert rank["first"] == definition["iou_pooled_first"]
    for definition in DEFINITIONS:
        values = {record["network"]: float(record[definition.name]) for record in records([defined])}
        assert bold(defined, definition.name) == [max(values, key=values.__getitem__)]
        note = next(note for note in defined.notes if note.startswith(f"{definition.heading}: "))
        ranking = [cells(defined, network)["label"].text for network in sorted(values, key=values.__getitem__)[::-1]]
        assert f"Ranking: {', '.join(ranking)}. Separated pairs: " in note


def test_machines_are_never_mixed(grids: dict[str, list[Grid]]) -> None:
    assert [grid.title for grid in grids["efficiency"]] == ["Efficiency on first", "Efficiency on second"]
    assert cells(grids["efficiency"][0], "unet")["latency_ms"].text == "20.0 (19.0-22.0)"


def test_latency_with_kernels_is_a_column_of_its_own(grids: dict[str, list[Grid]]) -> None:
    """Which is not measured in profiles from before there were kernels."""
    texts = [cells(grids["efficiency"][0], name)["kernels_latency_ms"].text for name in ("unet", "aulunet_v3")]
    assert texts == ["not measured", "4.0 (3.5-5.0)"]


def test_markdown_and_latex_escape() -> None:
    columns = [Column("a", "A_b", "%"), Column("b", "B", kind="number")]
    grid = Grid(
        "x", "Title & more", "100 %", columns, [GridRow("k", [TableCell("a|b_c"), TableCell("1 ± 2", bold=True)])]
    )
    assert r"| a\|b_c | **1 ± 2** |" in to_markdown([grid])
    assert r"a|b\_c & \textbf{1 $\pm$ 2} \\" in to_latex([grid])
    assert escape_latex("a_b & 5 % #1 {x} ~^\\") == (
        r"a\_b \& 5 \% \#1 \{x\} \textasciitilde{}\textasciicircum{}\textbackslash{}"
    )


def test_latex_compiles(tmp_path: Path, grids: dict[str, list[Grid]]) -> None:
    if shutil.which("pdflatex") is None:
        pytest.skip("pdflatex is not installed (Debian: texlive-latex-base texlive-latex-recommended)")
    many = [GridRow(str(k), [TableCell(f"row_{k}"), TableCell("1 ± 2")]) for k in range(60)]
    long = Grid("long", "Long", "Breaks over pages.", [Column("a", "A"), Column("b", "B")], many, ["A note."])
    for name, found in {**grids, "long": [long]}.items():
        (tmp_path / f"{name}.tex").write_text(to_latex(found), encoding="utf-8")
    inputs = "".join(f"\\input{{{name}}}" for name in [*grids, "long"])
    packages = "\\usepackage{array,booktabs,longtable,siunitx}"
    document = f"\\documentclass{{article}}{packages}\\begin{{document}}{inputs}\\end{{document}}"
    (tmp_path / "all.tex").write_text(document, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=60)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "all.pdf").stat().st_size > 10_000
