"""What follows from the evidence is computed once, and everything that is shown takes it from there."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest
from matplotlib.figure import Figure

from reports import evidence, render
from reports.check.check import check
from reports.comparison import findings as findings_module
from reports.comparison import join
from reports.comparison.findings import Findings
from reports.formats import EXPORTS
from reports.formats import contents as contents_module
from reports.statistics import block as block_module
from reports.statistics.block import RunBlock
from results.cell import Cell
from results.metrics import DEFINITIONS, METRICS, Metric, metric_named
from results.published import TABLES
from results.runs import Run
from tests import fake_runs

MIOU = metric_named("iou")
SKILLS = {"unet": 0.8, "malunet": 0.84, "aulunet_d13": 0.85}
NUMBERS = {(metric.function, metric.pooled) for metric in (*METRICS, *DEFINITIONS)} | {
    (metric.function, False) for metric in METRICS
}  # what is computed of each block, whatever its name: five metrics pooled and over images, and two more definitions
ONCE = (
    "load_everything",
    "load_runs",
    "_complexity",
    "_profiles",
    "_leakage",
    "tally",
    "published_pairs",
    "lesion_shares",
    "all_grids",
    "all_figures",
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "results"
    fake_runs.write_suite(folder, SKILLS, seeds=3)
    fake_runs.write_suite(folder, {"unet": 0.8}, seeds=2, recipe="quick")
    fake_runs.write_complexity(folder)
    fake_runs.write_profile(folder)
    return folder


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter:
    """How often each step of reading and computing is called, by name."""
    counted: Counter = Counter()

    def count(module: object, name: str) -> None:
        original: Callable = getattr(module, name)

        def counting(*arguments: object, **options: object) -> object:
            counted[name] += 1
            return original(*arguments, **options)

        monkeypatch.setattr(module, name, counting)

    for name in ("load_runs", "_published", "_complexity", "_profiles", "_leakage"):
        count(evidence, name)
    for name in ("load_everything", "fill", "tally", "published_pairs", "lesion_shares"):
        count(findings_module, name)
    for name in ("compare_metric", "compare_count"):
        count(join, name)
    for name in ("all_grids", "all_figures"):
        count(contents_module, name)
    for name in ("stack", "sample", "intervals", "contrasts", "ranks"):
        count(block_module, name)
    return counted


def _save_nothing(figure: Figure, file: IO, format: str, **options: object) -> None:
    """Writing the pictures takes longer than all else, and is not what is tested here."""
    file.write("<svg></svg>" if format == "svg" else b"png")


def test_a_render_of_all_formats_reads_and_computes_everything_once(
    root: Path, tmp_path: Path, calls: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Figure, "savefig", _save_nothing)
    render.render(root, tmp_path / "rendered", set(render.FORMATS))
    assert {name: calls[name] for name in ONCE} == dict.fromkeys(ONCE, 1)
    assert calls["fill"] == calls["_published"] == len(TABLES)
    assert calls["stack"] == len(SKILLS) + 1  # networks of both blocks
    assert calls["sample"] == len(NUMBERS) * calls["stack"]
    assert calls["intervals"] == len(NUMBERS) * 2
    rendering = calls["compare_metric"]
    Findings.load(root)
    assert calls["compare_metric"] == 2 * rendering > 0


def test_a_check_reads_and_compares_once(root: Path, calls: Counter) -> None:
    check(root)
    assert (calls["load_everything"], calls["fill"], calls["tally"], calls["published_pairs"]) == (1, len(TABLES), 1, 1)
    assert calls["sample"] == calls["stack"] == len(SKILLS) + 1  # mIoU alone, for the headline
    assert calls["ranks"] == 0


def test_tables_alone_draw_no_figure(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reports.formats.contents.all_figures", lambda *_: pytest.fail("a figure was drawn"))
    assert render.render(root, tmp_path / "rendered", {"md", "latex", "csv"})


def test_every_format_is_a_line_of_one_list(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new format needs a function of the contents and its name; nothing else knows of it."""
    monkeypatch.setitem(EXPORTS, "names", lambda contents: {"names.txt": " ".join(contents.grids).encode()})
    monkeypatch.setattr(render, "FORMATS", tuple(EXPORTS))
    (written,) = render.render(root, tmp_path / "rendered", {"names"})
    assert written.name == "names.txt"
    assert written.read_text().startswith("claims table1 table2 table3 folds external beyond counts")


def test_labels_and_order_are_the_papers(root: Path) -> None:
    findings = Findings.load(root)
    assert findings.label("aulunet_d13") == "d=1,d=3"
    assert findings.label("unet") == "U-Net"
    assert findings.label("not_in_a_table") == "not_in_a_table"
    assert [(block.dataset, block.recipe) for block in findings.run_blocks] == [
        ("isic2018", "paper"),
        ("isic2018", "quick"),
    ]
    assert list(findings.run_blocks[0].networks) == ["unet", "malunet", "aulunet_d13"]
    assert findings.run_block("isic2018", "quick") is findings.run_blocks[1]
    assert findings.run_block("isic2017", "paper") is None


def test_merged_blocks_hold_every_network_once(root: Path) -> None:
    findings = Findings.load(root)
    for block in findings.merged_blocks:
        names = [row.network for row in block.rows]
        assert len(names) == len(set(names))
        here = [row for each in findings.blocks if _place(each) == _place(block) for row in each.rows]
        first = {row.network: row for row in reversed(here)}
        assert set(names) == set(first)
        assert all(row is first[row.network] for row in block.rows)
    places = [_place(block) for block in findings.merged_blocks]
    assert len(places) == len(set(places)) == len({_place(block) for block in findings.blocks})


def _place(block: join.Block) -> tuple[str, str]:
    return block.dataset, block.recipe


def test_rows_and_statistics_speak_of_the_same_runs(root: Path) -> None:
    """The mean beside a published number is the centre of its interval."""
    findings = Findings.load(root)
    compared = 0
    for row in findings.rows:
        for name, found in row.comparisons.items():
            if found.measured is None:
                continue
            block = next(each for each in findings.blocks if any(row is other for other in each.rows))
            statistics = findings.run_block(block.dataset, block.recipe)
            assert statistics is not None
            interval = {each.network: each for each in statistics.intervals(metric_named(name))}[row.network]
            assert interval.mean == pytest.approx(found.measured.mean, abs=1e-12)
            assert (interval.low, interval.seeds) < (interval.high, found.measured.n + 1)
            compared += 1
    assert compared >= 2 * len(SKILLS)


def test_metrics_of_another_name_and_the_same_numbers_share_them(root: Path, calls: Counter) -> None:
    (block, _) = Findings.load(root).run_blocks
    assert block.contrasts(MIOU) is block.contrasts(metric_named("iou_pooled"))
    assert block.ranks(MIOU) is block.ranks(metric_named("iou_pooled"))
    assert (calls["contrasts"], calls["ranks"], calls["sample"]) == (1, 1, len(SKILLS))
    lower = Metric("lower", "Lower", MIOU.function, better="lower")
    places = [[each.rank for each in block.ranks(metric)] for metric in (MIOU, lower)]
    assert places[0] == [4 - place for place in places[1]]
    per_image = metric_named("iou_per_image")
    assert block.intervals(per_image)[0].mean != block.intervals(MIOU)[0].mean


def test_blocks_of_the_same_name_share_nothing(root: Path) -> None:
    """What one block computed is no other block's."""
    (run,) = Findings.load(root).run_blocks[1].networks["unet"][:1]
    other = Run(Cell("isic2018", "quick", "unet", 1), run.folder, {}, {}, run.per_image // 2)
    first, second = (RunBlock("isic2018", "quick", {"unet": [each]}) for each in (run, other))
    assert first.counts["unet"].sum() > second.counts["unet"].sum()
    assert first.intervals(MIOU) is not second.intervals(MIOU)
