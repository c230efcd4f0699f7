"""The check for CI: what fails, what is only listed, and how it is written down."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from reports.check.accepted import accept, compare_with_baseline
from reports.check.check import check
from reports.check.item import Item, Status
from reports.check.result import CheckResult
from reports.comparison.tally import Tally
from reports.comparison.verdict import Verdict
from reports.evidence import load_everything
from results import files
from results.errors import RequestError
from tests import fake_runs

NOTHING = Tally({}, {})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Counts alone: nothing measured."""
    folder = tmp_path / "results"
    fake_runs.write_complexity(folder)
    return folder


def named(result: CheckResult, name: str) -> Status:
    return next(item.status for item in result.items if item.name == name)


def test_documented_contradictions_are_listed_and_pass(root: Path) -> None:
    result = check(root, fake_runs.live_counts())
    assert (result.exit_status, result.failures) == (0, [])
    documented = {item.name for item in result.items if item.status is Status.DOCUMENTED}
    assert documented == {
        "unet params_m",
        "unet gflops",
        "scr_net params_m",
        "aswin_unet params_m",
        "c2sdg params_m",
        "unext_s params_m",
        "malunet params_m",
        "lb_unet params_m",
    }
    lines = [line for line in result.counts if line.split()[0] in fake_runs.COUNTED]
    assert len(lines) == len(fake_runs.COUNTED)  # one per network
    assert "0.175 / 0.083" in lines[5]
    assert "0.178 / 0.083  parameters contradicted (documented), reproduced" in lines[5]
    assert result.verdicts.counts[Verdict.CONTRADICTED] == 8
    assert "Contradictions with a documented reason: 8" in result.text()


def test_an_undocumented_contradiction_fails(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    published = fake_runs.copy_published(tmp_path / "published", monkeypatch)
    path = published / "contradictions.csv"
    path.write_text("".join(line for line in path.read_text().splitlines(True) if not line.startswith("malunet")))
    result = check(root)
    assert result.exit_status == 1
    assert [item.name for item in result.failures] == ["malunet params_m"]
    assert "Published 0.175, counted 177,943, and thop sees 175,031." in result.text()


def test_an_explanation_of_nothing_fails(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    published = fake_runs.copy_published(tmp_path / "published", monkeypatch)
    with (published / "contradictions.csv").open("a") as file:
        file.write("ege_unet,params_m,,It was wrong once.\n")
    result = check(root)
    assert [item.name for item in result.failures] == ["ege_unet params_m"]
    assert "remove its line" in result.failures[0].message


def test_missing_counts_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "HOME", tmp_path)
    result = check(tmp_path)
    assert len(result.failures) == 2 * len(fake_runs.COUNTED) - 1  # SimpleUNet published no operations
    assert "python -m benchmarks count" in result.failures[0].message


def test_stale_counts_fail(root: Path) -> None:
    live = fake_runs.live_counts()
    live["aulunet_v3"]["thop_macs"] += 1
    del live["unet"]
    live["fresh"] = live["ege_unet"]
    result = check(root, live)
    assert {item.name for item in result.failures} == {"aulunet_v3", "unet", "fresh"}
    assert "thop_macs 69030000 -> 69030001" in result.text()


@pytest.mark.parametrize(("skill", "verdict"), [(0.99, "above"), (0.5, "below")])
def test_a_complete_row_outside_its_tolerance_fails(root: Path, skill: float, verdict: str) -> None:
    fake_runs.write_suite(root, {"unet": skill})
    result = check(root)
    assert {item.name for item in result.failures} == {"isic2018 unet iou", "isic2018 unet dsc"}
    assert f": {verdict}; " in result.failures[0].message


def test_what_is_incomplete_does_not_fail(root: Path) -> None:
    fake_runs.write_suite(root, {"unet": 0.99}, seeds=4)
    fake_runs.write_suite(root, {"unet": 0.99}, recipe="paper+epochs=3")
    fake_runs.write_suite(root, {"unet": 0.99}, dataset="synthetic")
    result = check(root)
    assert result.exit_status == 0
    assert named(result, "isic2018 unet iou") is Status.SKIPPED


def test_an_explained_difference_passes(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    published = fake_runs.copy_published(tmp_path / "published", monkeypatch)
    with (published / "contradictions.csv").open("a") as file:
        file.write("unet,iou,isic2018,Undertrained in print.\nunet,dsc,isic2018,As its mIoU.\n")
    fake_runs.write_suite(root, {"unet": 0.99})
    result = check(root)
    assert result.exit_status == 0
    assert named(result, "isic2018 unet iou") is Status.DOCUMENTED
    assert result.verdicts.metrics[Verdict.ABOVE] == 2


def test_a_failed_seed_is_loud(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_runs.write_failure(root, "vm_unet", 3)
    result = check(root)
    assert [item.name for item in result.failures] == ["isic2018 / paper / vm_unet / seed 3"]
    published = fake_runs.copy_published(tmp_path / "published", monkeypatch)
    with (published / "contradictions.csv").open("a") as file:
        file.write("vm_unet,seeds,isic2018,It diverges in fp16 only.\n")
    assert check(root).exit_status == 0


def test_a_moved_number_fails_against_the_baseline(root: Path, tmp_path: Path) -> None:
    baseline = tmp_path / "accepted.csv"
    fake_runs.write_suite(root, {"unet": 0.80, "aulunet_akf": 0.85}, recipe="quick", seeds=2)
    changes = accept(load_everything(root).runs, baseline)
    assert len(changes) == 10
    assert accept(load_everything(root).runs, baseline) == []
    assert check(root, baseline=baseline).exit_status == 0
    fake_runs.write_run(root, recipe="quick", network="aulunet_akf", seed=2, skill=0.851)
    result = check(root, baseline=baseline)
    assert {item.kind for item in result.failures} == {"baseline"}
    assert {item.name.split(" / ")[2] for item in result.failures} == {"aulunet_akf"}
    assert "use --accept" in result.failures[0].message
    assert accept(load_everything(root).runs, baseline)
    assert check(root, baseline=baseline).exit_status == 0


def test_a_lost_or_added_seed_fails_against_the_baseline(root: Path, tmp_path: Path) -> None:
    baseline = tmp_path / "accepted.csv"
    fake_runs.write_suite(root, {"unet": 1.0}, recipe="quick", seeds=2)  # without error: every seed the same
    accept(load_everything(root).runs, baseline)
    fake_runs.write_run(root, recipe="quick", network="unet", seed=3, skill=1.0)
    assert "(n = 2), now" in check(root, baseline=baseline).failures[0].message
    fake_runs.shutil.rmtree(root / "runs")
    assert "no run is stored" in check(root, baseline=baseline).failures[0].message


def test_a_person_may_widen_a_tolerance(root: Path, tmp_path: Path) -> None:
    baseline = tmp_path / "accepted.csv"
    fake_runs.write_suite(root, {"unet": 0.80}, recipe="quick", seeds=2)
    accept(load_everything(root).runs, baseline)
    baseline.write_text(baseline.read_text().replace(",0.0001\n", ",0.5\n"))
    fake_runs.write_run(root, recipe="quick", network="unet", seed=2, skill=0.84)
    assert check(root, baseline=baseline).exit_status == 0
    accept(load_everything(root).runs, baseline)
    assert ",0.5\n" in baseline.read_text()


@pytest.mark.parametrize("content", [None, "network,iou\nunet,0.8\n", ""])
def test_an_unusable_baseline_is_refused(root: Path, tmp_path: Path, content: str | None) -> None:
    baseline = tmp_path / "accepted.csv"
    if content is not None:
        baseline.write_text(content)
    with pytest.raises(RequestError, match=r"accepted.csv:? .* --accept"):
        check(root, baseline=baseline)


def test_nothing_accepted_is_a_baseline_only_of_what_it_holds(root: Path, tmp_path: Path) -> None:
    """Cut off at the end of a line or within a network, emptied, or with a value that nothing can be compared with."""
    baseline = tmp_path / "accepted.csv"
    fake_runs.write_suite(root, {"unet": 0.80, "aulunet_akf": 0.85}, recipe="quick", seeds=2)
    runs = load_everything(root).runs
    accept(runs, baseline)
    whole = baseline.read_text()
    header, first, *rest = whole.splitlines(True)
    cells = first.rstrip().split(",")
    for damaged, said in (
        (header, "it has no rows, so that nothing could fail"),
        (header + first, "isic2018 / quick / aulunet_akf has no dsc; it was cut off"),
        (whole[: len(header) + len(first) - 3], "its last line was cut off"),
        (whole[:-1], "its last line was cut off"),
        (header + first[9:] + "".join(rest), "line 2 has 6 values where the table has 7"),
        *(
            (header + ",".join([*cells[:k], text, *cells[k + 1 :]]) + "\n" + "".join(rest), f"{name} is '{text}")
            for k, name in ((4, "mean"), (6, "tolerance"))
            for text in ("", "nan", "NaN", "inf", "1e400", "-1", "0.8O", "0_8", "2")
        ),
    ):
        baseline.write_text(damaged)
        for use in (compare_with_baseline, accept):
            with pytest.raises(RequestError, match=re.escape(f"{baseline}: {said}") + ".*delete it and record it"):
                use(runs, baseline)


def test_junit_counts_what_it_holds(root: Path) -> None:
    fake_runs.write_suite(root, {"unet": 0.99})
    result = check(root, fake_runs.live_counts())
    suites = ElementTree.fromstring(result.junit())
    assert int(suites.attrib["tests"]) == sum(len(suite) for suite in suites) == len(result.items)
    for suite in suites:
        assert {case.attrib["classname"] for case in suite} == {suite.attrib["name"]}
        assert int(suite.attrib["tests"]) == len(suite)
        assert int(suite.attrib["failures"]) == len(suite.findall("testcase/failure"))
        assert int(suite.attrib["skipped"]) == len(suite.findall("testcase/skipped"))
    named = {suite.attrib["name"]: suite for suite in suites}
    assert int(named["counts"].attrib["failures"]) == 0
    assert int(named["metrics"].attrib["failures"]) == 2
    failed = next(case for case in named["metrics"] if case.find("failure") is not None)
    assert failed.attrib == {"classname": "metrics", "name": "isic2018 unet iou"}


def test_annotations_name_the_file_and_escape(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root.parent)
    fake_runs.write_suite(root, {"unet": 0.99})
    lines = check(root).annotations()
    errors = [line for line in lines if line.startswith("::error ")]
    assert len(errors) == 2
    assert errors[0].startswith(
        "::error file=results/runs/isic2018/paper/unet,title=isic2018 unet iou::published 74.64"
    )
    assert len(lines) == 2  # the documented contradictions are not among them
    odd = CheckResult(
        [Item("files", "a, b", Status.FAILED, "10 % off\nhere", Path("a.csv"))], [], NOTHING, []
    ).annotations()
    assert odd == ["::error file=a.csv,title=a%2C b::10 %25 off%0Ahere"]
