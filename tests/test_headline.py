"""The first thing that a reader sees: true, in plain words, and made from what is stored."""

import json
from pathlib import Path

import pytest

from reports.check.check import check
from reports.comparison.findings import Findings
from reports.headline import headline
from tests import fake_runs

CLAIMS = "Of the paper's 8 claims in words, "


def said(root: Path) -> list[str]:
    """Without the sentence on claims, which stands second."""
    first, claims, *others = headline(Findings.load(root))
    assert claims.startswith(CLAIMS)
    return [first, *others]


def test_claims_are_counted_under_each_recipe(root: Path) -> None:
    fake_runs.write_suite(root, {"unet": 0.7, "aulunet_v1": 0.8, "aulunet_v3": 0.95}, recipe="quick", seeds=3)
    found = headline(Findings.load(root))[1].removeprefix(CLAIMS)
    first, second = found.split("; ")
    assert first == "under its recipe 1 is supported, 7 are not measured"
    assert second == "under quick 1 is supported, 2 are partly supported, 5 are not measured."


@pytest.fixture
def root(tmp_path: Path) -> Path:
    fake_runs.write_complexity(tmp_path)
    return tmp_path


def test_counts_alone_do_not_sound_like_accuracies(root: Path) -> None:
    first, last = said(root)
    assert first == "No accuracy of the paper has been measured under its recipe yet: 0 of 87 published values."
    assert last.startswith("Counts of parameters and operations, which need no training: 42 of 50 published ones")


def test_accuracies_under_the_papers_recipe_come_first(root: Path) -> None:
    fake_runs.write_suite(root, {"unet": 0.99, "malunet": 0.5})  # one far above and one far below its published value
    first, block, _ = said(root)
    assert first.startswith("4 of 87 published accuracies have been measured under the paper's recipe over 5 seeds:")
    assert "2 above, 2 below" in first
    assert "reproduced" not in first
    assert block.startswith("Under the paper's recipe on ISIC2018 (64 px, 4 epochs, 5 seeds), U-Net has the highest")
    assert block.endswith("; the one difference between networks with three or more seeds is separated from chance.")


def test_what_is_not_separated_is_not_ranked(root: Path) -> None:
    fake_runs.write_suite(root, {"unet": 0.85, "malunet": 0.85, "aulunet_v3": 0.5}, recipe="quick", seeds=3)
    block = said(root)[1]
    assert "the reduced recipe quick" in block
    assert "not separated from" in block
    assert "AULUNet-v3" not in block
    assert "2 of 3 differences" in block


def test_a_single_tested_difference_is_said_in_the_singular(root: Path) -> None:
    fake_runs.write_suite(root, {"unet": 0.85, "malunet": 0.85}, recipe="quick", seeds=3)
    fake_runs.write_suite(root, {"aulunet_v3": 0.9}, recipe="quick", seeds=2)
    block = said(root)[1]
    assert "AULUNet-v3 has the highest" in block
    assert block.endswith(
        "; the one difference between networks with three or more seeds is not separated from chance."
    )


def test_too_few_seeds_are_said(root: Path) -> None:
    fake_runs.write_suite(root, {"unet": 0.9, "malunet": 0.5}, recipe="quick", seeds=2)
    assert "with so few seeds no difference is tested" in said(root)[1]


def test_runs_of_the_earlier_loss_say_so(root: Path) -> None:
    folder = fake_runs.write_run(root, recipe="quick")
    assert "version 0.2" not in said(root)[1]
    config = json.loads((folder / "config.json").read_text())
    del config["cross_entropy"]
    (folder / "config.json").write_text(json.dumps(config))
    assert "loss of version 0.2, cross-entropy from logits" in said(root)[1]


def test_the_check_opens_with_it(root: Path) -> None:
    text = check(root).text()
    lines = headline(Findings.load(root))
    assert text.splitlines()[: len(lines)] == lines
    assert "Accuracies (published metrics): 0 reproduced" in text
    assert "by the paper's counter): 42 reproduced, 8 contradicted" in text
