"""Opening prepared sets: what to type when there is none, smaller sizes, damage, and where the cache is."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import datasets
from benchmarks.datasets import store
from results.errors import RequestError
from tests import dataset_files as fake


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Six pictures of 300 x 300 pixels."""
    fake.install(monkeypatch, tmp_path / "cache")
    return fake.as_folder(fake.files("images", "masks", "png", side=(300, 300)), tmp_path / "source")


def prepare(source: Path, size: int) -> datasets.PreparedSet:
    return datasets.prepare("isic2018", source, size=size, progress=False)


def test_unprepared_set_says_what_to_type(source: Path) -> None:
    with pytest.raises(datasets.NotPrepared) as caught:
        datasets.load("isic2018")
    assert "python -m benchmarks data isic2018 --from PATH" in str(caught.value)
    assert "python -m benchmarks data isic2018 --download" in str(caught.value)
    assert isinstance(caught.value, RequestError)


def test_larger_size_asks_for_the_originals(source: Path) -> None:
    prepare(source, 32)
    with pytest.raises(datasets.NotPrepared, match=r"prepared at 32 pixels.*data isic2018 --from PATH --size 33"):
        datasets.load("isic2018", 33)


def test_opened_set_is_what_was_prepared(source: Path) -> None:
    prepared = prepare(source, 32)
    opened = datasets.load("isic2018", 32)
    assert (opened.name, opened.size, opened.ids) == ("isic2018", 32, fake.IDS)
    assert opened.fingerprint == prepared.fingerprint
    assert opened.images.shape == (6, 32, 32, 3)
    assert opened.masks.shape == (6, 32, 32)
    assert opened.images.dtype == opened.masks.dtype == np.uint8
    assert isinstance(opened.images, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        opened.images[0, 0, 0, 0] = 1


def test_smaller_size_is_derived_once_from_256(source: Path) -> None:
    prepare(source, 280)
    base = prepare(source, 256)
    derived = datasets.load("isic2018", 64)
    for number in range(6):
        for large, small in ((base.images, derived.images), (base.masks, derived.masks)):
            expected = Image.fromarray(large[number]).resize((64, 64), Image.Resampling.BILINEAR)
            np.testing.assert_array_equal(small[number], np.asarray(expected))
    written = (derived.folder / "images.npy").stat().st_mtime_ns
    assert datasets.load("isic2018", 64).fingerprint == derived.fingerprint
    assert (derived.folder / "images.npy").stat().st_mtime_ns == written


def test_derived_set_follows_the_prepared_one(source: Path) -> None:
    prepare(source, 48)
    before = datasets.load("isic2018", 24)
    (source / "images" / f"{fake.IDS[0]}.png").write_bytes(fake.encoded(fake.photograph(99, 300, 300)))
    prepare(source, 48)
    assert datasets.load("isic2018", 24).fingerprint != before.fingerprint


def test_derived_set_is_no_parent(source: Path) -> None:
    prepared = prepare(source, 48)
    datasets.load("isic2018", 24)
    tiny = datasets.load("isic2018", 12)
    expected = Image.fromarray(prepared.images[3]).resize((12, 12), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(tiny.images[3], np.asarray(expected))


def test_fingerprint_sees_ids_size_and_every_pixel(tmp_path: Path) -> None:
    def fingerprint(ids: tuple[str, ...], size: int, image: np.ndarray, mask: np.ndarray) -> str:
        folder = tmp_path / "set"
        with store.locked(tmp_path):
            return store.write(folder, "isic2018", size, ids, [(image, mask)], {}).fingerprint

    image, mask = np.zeros((8, 8, 3), dtype=np.uint8), np.zeros((8, 8), dtype=np.uint8)
    other_image, other_mask = image.copy(), mask.copy()
    other_image[7, 7, 2] = other_mask[7, 7] = 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(store.splits.COUNTS, "isic2018", (1, 0, 0))
        prints = [
            fingerprint(("a",), 8, image, mask),
            fingerprint(("b",), 8, image, mask),
            fingerprint(("a",), 8, other_image, mask),
            fingerprint(("a",), 8, image, other_mask),
        ]
        assert fingerprint(("a",), 8, image, mask) == prints[0]
    assert len(set(prints)) == 4


def test_ids_file_shows_the_splits(source: Path) -> None:
    prepared = prepare(source, 32)
    with open(prepared.folder / "ids.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for rule in ("paper", "sorted"):
        split = prepared.split(rule)
        for part in ("train", "validation", "test"):
            listed = {row["id"] for row in rows if row[rule] == part}
            assert listed == {prepared.ids[position] for position in getattr(split, part)}


@pytest.mark.parametrize("damage", ["truncated", "lost", "garbled"])
def test_damaged_set_is_named(source: Path, damage: str) -> None:
    folder = prepare(source, 32).folder
    if damage == "truncated":
        with open(folder / "images.npy", "r+b") as file:
            file.truncate(1000)
    elif damage == "lost":
        (folder / "masks.npy").unlink()
    else:
        (folder / "ids.csv").write_text("id\nISIC_0000000\n")
    with pytest.raises(RequestError, match=rf"{folder} is damaged .*delete it and prepare it again"):
        datasets.load("isic2018", 32)


def test_cache_folder_that_cannot_be_written(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LESION_BENCHMARKS_CACHE", str(tmp_path / "file"))
    with pytest.raises(RequestError, match=r"Cannot write the prepared set to .*set LESION_BENCHMARKS_CACHE"):
        prepare(source, 32)


def test_cache_folder_by_default_is_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LESION_BENCHMARKS_CACHE", raising=False)
    assert datasets.cache_folder().is_absolute()
    assert "lesion-benchmarks" in datasets.cache_folder().parts


def test_unknown_names() -> None:
    with pytest.raises(datasets.NotPrepared, match="ham10000 is not prepared; type: python -m benchmarks data ham"):
        datasets.load("ham10000")
    with pytest.raises(
        RequestError, match=r"no data set 'clinic'; .*prepare your own with `python -m benchmarks data cl"
    ):
        datasets.load("clinic")
