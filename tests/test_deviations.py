"""What differs from the authors' training stands in the registry, in each run's config.json and in the report."""

import json
from html import unescape
from pathlib import Path

import pytest

from benchmarks import datasets
from benchmarks.networks import paper, registry
from benchmarks.protocol.recipe import RECIPES
from benchmarks.runner import save_run
from reports.render import render
from results import files
from results.cell import Cell
from tests import fake_runs

SELECTIONS = {  # what the authors select by, where it is not what the suite selects by on a split of its own
    "unext_s": "by mIoU, and score the same split",
    "malunet": "by that loss too, but score the same split",
    "ege_unet": "by the deep-supervised loss, and score the same split",
    "vm_unet": "by that loss too, but score the same split",
    "lb_unet": "by the sum of mIoU and DSC, and score the same split",
    "aswin_unet": "by F1 on the test split itself",
    "c2sdg": "nothing: the last epoch",
    "lightm_unet": "nothing: the last epoch",
    "lightm_unet_revised": "nothing: the last epoch",
}


@pytest.mark.parametrize("network", SELECTIONS)
def test_an_entry_says_what_its_authors_select_and_score_on(network: str) -> None:
    (sentence,) = (words for words in registry.entry(network).deviations if words.startswith(paper.SELECTION))
    assert f"the authors select {SELECTIONS[network]}" in sentence
    assert sentence.endswith(".")


def test_entries_without_such_a_sentence_select_as_the_suite_does() -> None:
    """ULVM-UNet's and AULUNet's authors do; of U-Net and SCR-Net no training was released."""
    silent = {name for name in registry.names() if name not in SELECTIONS and not name.startswith("aulunet")}
    assert {"unet", "scr_net", "ulvm_unet"} <= silent
    for name in silent & {"unet", "scr_net", "ulvm_unet"}:
        assert not any(words.startswith(paper.SELECTION) for words in registry.entry(name).deviations)


def test_a_run_records_the_deviations_of_its_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LESION_BENCHMARKS_CACHE", str(tmp_path / "cache"))
    recipe = RECIPES["quick"].changed(size=32)
    cell = Cell("synthetic", recipe.name, "lb_unet", 1)
    save_run.begin(cell, datasets.load("synthetic", 32), recipe, tmp_path)
    config = json.loads((cell.folder(tmp_path) / "config.json").read_text())
    assert config["deviations"] == list(registry.entry("lb_unet").deviations)


def test_the_report_shows_what_each_run_recorded(tmp_path: Path) -> None:
    """In the words of the version that trained it: two versions of a sentence both stand there."""
    sentences = {"malunet": ["Selected so & so."], "lb_unet": ["Selected so & so.", "Trained otherwise."]}
    for network, words in sentences.items():
        path = fake_runs.write_run(tmp_path, network=network) / "config.json"
        files.write_json(path, files.read_json(path) | {"deviations": words})
    render(tmp_path, tmp_path / "out", {"html"})
    page = unescape((tmp_path / "out" / "index.html").read_text())
    assert "<strong>LB-UNet; MALUNet</strong>: Selected so & so." in page
    assert "<strong>LB-UNet</strong>: Trained otherwise." in page
    assert page.count("Trained otherwise.") == 2  # among the differences, and with the runs of the network
