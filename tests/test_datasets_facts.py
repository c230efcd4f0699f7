"""What a prepared set says of its originals, through preparation, derivation and earlier versions, into every run."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from benchmarks import datasets
from benchmarks.cli import execution
from benchmarks.cli.app import app
from benchmarks.datasets import loading
from benchmarks.protocol.recipe import Recipe
from benchmarks.runner import save_run
from results import data_sets
from results.cell import Cell
from results.schema import DataRecord
from tests import dataset_files as fake


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Five JPEG images of 40 x 30 and one PNG of 60 x 50 whose mask has 12 soft pixels."""
    fake.install(monkeypatch, tmp_path / "cache")
    contents = fake.files("images", "masks")
    del contents[f"images/{fake.IDS[3]}.jpg"]
    contents[f"images/{fake.IDS[3]}.png"] = fake.encoded(fake.photograph(3, 60, 50))
    mask = np.array(fake.truth(3, 60, 50))
    mask[0, :5], mask[1, :7] = 1, 254
    contents[f"masks/{fake.IDS[3]}_segmentation.png"] = fake.encoded(Image.fromarray(mask))
    return fake.as_folder(contents, tmp_path / "source")


ORIGINALS = {
    "images": 6,
    "formats": {"JPEG": 5, "PNG": 1},
    "width": {"min": 40, "median": 40, "max": 60},
    "height": {"min": 30, "median": 30, "max": 50},
    "soft_share": 12 / (5 * 40 * 30 + 60 * 50),
}


def prepare(source: Path, size: int = 16) -> datasets.PreparedSet:
    return datasets.prepare("isic2018", source, size=size, progress=False)


def soft_share(masks: np.ndarray) -> float:
    return float(np.mean((masks != 0) & (masks != 255)))


def as_an_earlier_version_wrote_it(prepared: datasets.PreparedSet) -> None:
    path = prepared.folder / "prepared.json"
    about = json.loads(path.read_text())
    for key in ("soft_share", "originals"):
        del about[key]
    path.write_text(json.dumps(about))


def test_originals_and_soft_pixels_are_recorded(source: Path) -> None:
    prepared = prepare(source)
    assert 0 < soft_share(prepared.masks) < 1
    assert prepared.data.content() == {"soft_share": pytest.approx(soft_share(prepared.masks)), "originals": ORIGINALS}
    assert datasets.load("isic2018", 16).data == prepared.data


def test_one_original_that_is_large_enough_suffices(source: Path) -> None:
    assert prepare(source, 60).size == 60
    with pytest.raises(loading.RequestError, match=r"Every image in .* is smaller than 61 pixels"):
        prepare(source, 61)


def test_masks_that_are_not_scaled_have_no_soft_pixels(source: Path, tmp_path: Path) -> None:
    plain = fake.as_folder(fake.files("images", "masks", side=(32, 32)), tmp_path / "plain")
    data = prepare(plain, 32).data
    assert data.soft_share == data.originals.soft_share == 0


def test_a_derived_set_keeps_its_originals_and_counts_its_own_masks(source: Path) -> None:
    prepared, derived = prepare(source), datasets.load("isic2018", 8)
    assert derived.data.content()["originals"] == ORIGINALS
    assert derived.data.soft_share == pytest.approx(soft_share(derived.masks))
    assert derived.data.soft_share > prepared.data.soft_share


def test_a_set_of_an_earlier_version_stays_usable_until_it_is_prepared_again(source: Path) -> None:
    prepared = prepare(source)
    as_an_earlier_version_wrote_it(prepared)
    old, derived = datasets.load("isic2018", 16), datasets.load("isic2018", 8)
    assert old.data.content() == {"soft_share": None, "originals": None}
    assert derived.data.originals is None
    assert prepare(source).fingerprint == prepared.fingerprint
    again = datasets.load("isic2018", 8)
    assert again.data.content()["originals"] == ORIGINALS
    assert again.fingerprint == derived.fingerprint


def test_a_derived_set_of_an_earlier_version_follows(source: Path) -> None:
    prepare(source)
    as_an_earlier_version_wrote_it(datasets.load("isic2018", 8))
    assert datasets.load("isic2018", 8).data.content()["originals"] == ORIGINALS


def test_drawn_pictures_say_so_and_earlier_ones_are_drawn_again(source: Path) -> None:
    drawn = datasets.load("synthetic", 16)
    assert drawn.data.content() == {"soft_share": pytest.approx(soft_share(drawn.masks)), "originals": "drawn"}
    as_an_earlier_version_wrote_it(drawn)
    again = datasets.load("synthetic", 16)
    assert again.data == drawn.data
    assert again.fingerprint == drawn.fingerprint


def test_the_fingerprint_is_of_size_ids_and_pixels_alone(source: Path) -> None:
    """Committed runs name it: what else a set records must not change it."""
    prepared = prepare(source)
    digest = hashlib.sha256("\n".join(["16", *fake.IDS]).encode())
    for image, mask in zip(prepared.images, prepared.masks, strict=True):
        digest.update(image.tobytes() + mask.tobytes())
    assert prepared.fingerprint == digest.hexdigest()


def test_every_run_records_the_data(source: Path, tmp_path: Path) -> None:
    prepared, cell = prepare(source), Cell("isic2018", "paper+size=16", "unet", 1)
    save_run.begin(cell, prepared, Recipe(size=16), tmp_path)
    config = json.loads((cell.folder(tmp_path) / "config.json").read_text())
    assert config["data"] == prepared.data.content()
    del config["data"]
    (cell.folder(tmp_path) / "config.json").write_text(json.dumps(config))
    save_run.begin(cell, prepared, Recipe(size=16), tmp_path)  # a folder begun by an earlier version goes on


def test_data_command_tells_what_it_read(source: Path) -> None:
    done = CliRunner().invoke(app, ["data", "isic2018", "--from", str(source), "--size", "16"])
    assert done.exit_code == 0, done.output
    words = " ".join(done.output.split())
    assert "Originals: 5 JPEG and 1 PNG, 40 to 60 (median 40) x 30 to 50 (median 30) px" in words
    assert "masks: 0.133 % soft in the originals" in words


def test_run_says_when_an_earlier_version_prepared_the_data(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "show_costs", lambda *_: None)
    arguments = ["run", "--suite", "isic2018", "--network", "unext_s", "--size", "32", "--dry-run"]
    prepared = prepare(source, 32)
    told = "python -m benchmarks data isic2018 --from PATH"
    assert told not in " ".join(CliRunner().invoke(app, arguments).output.split())
    as_an_earlier_version_wrote_it(prepared)
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert told in " ".join(done.output.split())


@pytest.mark.parametrize("size", [7, 2049, 10**6])
def test_a_size_that_would_eat_the_memory_is_refused(size: int) -> None:
    with pytest.raises(loading.RequestError, match=f"--size {size} is too (small|large); give the side in pixels"):
        loading.check_request("synthetic", size)


def test_words_for_what_was_recorded() -> None:
    side = dict.fromkeys(("min", "median", "max"), 256)
    same = {"images": 6, "formats": {"JPEG": 6}, "width": side, "height": side, "soft_share": 0.0}
    data = DataRecord.model_validate({"soft_share": 0.0123, "originals": same})
    assert data_sets.originals_in_words(data) == "JPEG, 256 x 256 px"
    assert data_sets.masks_in_words(data) == "0 and 255 only"
    assert data_sets.trained_masks_in_words(data) == "1.23 % soft"
    assert data_sets.came_scaled(data)
    taller = same | {"height": {"min": 1, "median": 256, "max": 257}}
    assert not data_sets.came_scaled(DataRecord.model_validate({"originals": taller}))
    drawn = DataRecord(soft_share=0.5, originals="drawn")
    assert data_sets.originals_in_words(drawn) == "drawn"
    for nothing in (None, DataRecord(soft_share=None, originals=None)):
        assert data_sets.originals_in_words(nothing) == "not recorded"
        assert data_sets.masks_in_words(nothing) == data_sets.trained_masks_in_words(nothing) == "not recorded"
        assert not data_sets.came_scaled(nothing)
