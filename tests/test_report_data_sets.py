"""What the page says of the data: recorded facts, shared ids, and scores without near-duplicates."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from reports.comparison.findings import Findings
from reports.evidence import load_everything
from reports.render import render
from reports.tables.data_sets import DataFacts, data_facts
from results import leakage
from results.metrics import pooled
from results.runs import load_runs
from tests import fake_runs

SPREAD = {"min": 256, "median": 256, "max": 256}
SCALED = {"images": 9, "formats": {"JPEG": 9}, "width": SPREAD, "height": SPREAD, "soft_share": 0.0}
DATA = {"soft_share": 0.02, "originals": SCALED}


def pair(test_id: str, kind: str, rule: str = "paper", dataset: str = "isic2018") -> dict:
    return {
        "dataset": dataset,
        "split": rule,
        "test_images": fake_runs.IMAGES,
        "test_id": test_id,
        "other_id": "ISIC_9999999",
        "other_part": "train",
        "kind": kind,
        "threshold": f"rule of {kind}",
    }


def configure(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def facts(root: Path) -> DataFacts:
    return data_facts(Findings.load(root))


def test_runs_without_the_record_say_so(tmp_path: Path) -> None:
    fake_runs.write_run(tmp_path)
    found = facts(tmp_path)
    assert found.facts == [["ISIC2018", "64 px", "not recorded", "not recorded", "not recorded", "0" * 12]]
    assert found.unrecorded
    assert not found.came_scaled


def test_recorded_facts_are_shown_once_per_prepared_set(tmp_path: Path) -> None:
    for seed in (1, 2):
        configure(fake_runs.write_run(tmp_path, seed=seed), data=DATA, fingerprint="a" * 64)
    larger = fake_runs.write_run(tmp_path, recipe="paper+size=128")
    configure(larger, data=DATA, fingerprint="b" * 64, size=128)
    counted = pd.read_csv(larger / "per_image.csv", index_col="id")
    (counted * 4).to_csv(larger / "per_image.csv")  # as many pixels as such images have
    found = facts(tmp_path)
    words = ["JPEG, 256 x 256 px", "0 and 255 only", "2 % soft"]
    assert found.facts == [["ISIC2018", "64 px", *words, "a" * 12], ["ISIC2018", "128 px", *words, "b" * 12]]
    assert not found.unrecorded
    assert found.came_scaled == ["ISIC2018"]


def test_what_one_run_recorded_holds_for_all_of_its_fingerprint(tmp_path: Path) -> None:
    fake_runs.write_run(tmp_path, seed=1)
    configure(fake_runs.write_run(tmp_path, seed=2), data={"soft_share": None, "originals": None})
    configure(fake_runs.write_run(tmp_path, seed=3), data=DATA)
    found = facts(tmp_path)
    assert [row[2] for row in found.facts] == ["JPEG, 256 x 256 px"]
    assert not found.unrecorded


def test_the_committed_overlap_is_told(tmp_path: Path) -> None:
    first, *rules = facts(tmp_path).shared
    assert first.startswith("1,800 of the 2,000 images of ISIC2017 are also in ISIC2018, by id")
    assert "halves of Table 1" in first
    assert [rule.split(",")[0] for rule in rules] == ["Under the split paper", "Under the split sorted"]
    assert "none are training images, 171 are validation images and 364 are test images of ISIC2018" in rules[0]
    assert "199 are training images, 181 are validation images and 131 are test images of ISIC2018" in rules[1]


def test_the_committed_near_duplicates_are_told(tmp_path: Path) -> None:
    told = facts(tmp_path).alike
    assert (
        "ISIC2018, split paper: of 520 test images 3 have near-duplicates and another 5 show the same lesion as an "
        "image among the training and validation images." in told
    )
    assert any(
        words.startswith("ISIC2017, split paper: of 600 test images 1 has a near-duplicate and") for words in told
    )


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ([(0, leakage.NONE)], "none is like a training or validation image (rule of none)."),
        ([(0, leakage.SAME_LESION)], "1 shows the same lesion as an image among the training and validation images."),
        (
            [(0, leakage.NEAR_DUPLICATE), (1, leakage.NEAR_DUPLICATE), (1, leakage.SAME_LESION)],
            "2 have near-duplicates among the training and validation images.",
        ),
    ],
)
def test_every_outcome_of_a_search_has_its_sentence(tmp_path: Path, found: list[tuple[int, str]], said: str) -> None:
    leakage.write_pairs(tmp_path, "isic2018", [pair(f"ISIC_{k:07d}", kind) for k, kind in found])
    assert facts(tmp_path).alike == [f"ISIC2018, split paper: of {fake_runs.IMAGES} test images {said}"]


def test_scores_are_given_without_what_is_shared(tmp_path: Path) -> None:
    ids = fake_runs.ids()
    rows = [pair(ids[3], leakage.NEAR_DUPLICATE), pair(ids[3], leakage.SAME_LESION), pair(ids[7], leakage.SAME_LESION)]
    rows += [pair(ids[8], leakage.NEAR_DUPLICATE, rule="sorted")]
    leakage.write_pairs(tmp_path, "isic2018", rows)
    leakage.write_pairs(tmp_path, "isic2017", [pair(ids[9], leakage.NEAR_DUPLICATE, dataset="isic2017")])
    for seed in (1, 2):
        fake_runs.write_run(tmp_path, seed=seed, skill=0.7)
    fake_runs.write_run(tmp_path, dataset="synthetic")
    (row,) = facts(tmp_path).scores
    runs = [run for run in load_runs(tmp_path).runs if run.cell.dataset == "isic2018"]

    def mean(*left_out: int) -> float:
        kept = np.setdiff1d(np.arange(len(ids)), left_out)
        return 100 * float(np.mean([pooled(run.counts[kept])["iou"] for run in runs]))

    whole = mean()
    assert abs(mean(3) - whole) > 0.01
    assert row[:5] == ["ISIC2018", "paper", "U-Net", "2", f"{whole:.2f}"]
    assert row[5] == f"{mean(3):.2f} ({mean(3) - whole:+.2f}; 39 images)"
    assert row[6] == f"{mean(3, 7):.2f} ({mean(3, 7) - whole:+.2f}; 38 images)"


def test_a_damaged_table_is_a_problem_and_not_the_end(tmp_path: Path) -> None:
    fake_runs.write_run(tmp_path)
    (tmp_path / "near_duplicates.csv").write_text("a,b\n1,2\n")
    (problem,) = load_everything(tmp_path).problems
    assert problem.path == tmp_path / "near_duplicates.csv"
    assert problem.message.startswith("it is not a table of")
    render(tmp_path, tmp_path / "rendered", {"html"})
    page = (tmp_path / "rendered" / "index.html").read_text(encoding="utf-8")
    assert "near_duplicates.csv" in page[page.index('<section id="problems"') :]
    assert "No search for near-duplicates is stored" in page


def test_the_page_says_it(tmp_path: Path) -> None:
    configure(fake_runs.write_run(tmp_path), data=DATA)
    leakage.write_pairs(tmp_path, "isic2018", [pair(fake_runs.ids()[3], leakage.NEAR_DUPLICATE)])
    render(tmp_path, tmp_path / "rendered", {"html"})
    page = (tmp_path / "rendered" / "index.html").read_text(encoding="utf-8")
    section = page[page.index('<dt id="data">') : page.index("<dt>Selection</dt>")]
    for words in ("ISIC2018 came here already scaled", "JPEG, 256 x 256 px", "1,800 of the 2,000", "39 images"):
        assert words in section
    assert "earlier version" not in section
    assert "Near-duplicate: rule of near-duplicate." in section
