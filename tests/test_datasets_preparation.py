"""Preparation from every layout people have, and a sentence for everything that can be wrong with the files."""

import errno
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import datasets
from benchmarks.datasets import pixels, preparation
from results.errors import RequestError
from tests import dataset_files as fake

IMAGES_2018, MASKS_2018 = "ISIC2018_Task1-2_Training_Input", "ISIC2018_Task1_Training_GroundTruth"
IMAGES_2017, MASKS_2017 = "ISIC-2017_Training_Data", "ISIC-2017_Training_Part1_GroundTruth"
NOTES = {f"{IMAGES_2018}/LICENSE.txt": b"CC", f"{IMAGES_2018}/.DS_Store": b"x", f"__MACOSX/{IMAGES_2018}/._a.jpg": b"x"}


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    fake.install(monkeypatch, tmp_path / "cache")
    return tmp_path / "cache"


def prepare(source: Path, name: str = "isic2018", size: int = 16) -> datasets.PreparedSet:
    return datasets.prepare(name, source, size=size, progress=False)


def left_in(cache: Path) -> list[str]:
    """Everything in the cache folder but the lock."""
    return sorted(str(path.relative_to(cache)) for path in cache.rglob("*") if path.is_file() and path.name != ".lock")


def official_2018(suffix: str = "jpg") -> dict[str, bytes]:
    return fake.files(IMAGES_2018, MASKS_2018, suffix) | NOTES


LAYOUTS: dict[str, Callable[[Path], Path]] = {
    "two official zips": lambda root: fake.as_zip_per_folder(official_2018(), root),
    "one of the official zips": lambda root: fake.as_zip_per_folder(official_2018(), root) / f"{MASKS_2018}.zip",
    "unpacked official folders": lambda root: fake.as_folder(official_2018(), root),
    "one of the unpacked folders": lambda root: fake.as_folder(official_2018(), root) / IMAGES_2018,
    "folder and its zip": lambda root: fake.as_zip_per_folder(official_2018(), fake.as_folder(official_2018(), root)),
    "unpacked into a folder of its own": lambda root: fake.as_folder(
        fake.files(f"{IMAGES_2018}/{IMAGES_2018}", f"{MASKS_2018}/{MASKS_2018}"), root
    ),
    "plain folder": lambda root: fake.as_folder(fake.files("images", "masks"), root),
    "plain zip": lambda root: fake.as_zip(fake.files("images", "masks"), root / "mine.zip"),
    "plain zip of a folder": lambda root: fake.as_zip(fake.files("mine/images", "mine/masks"), root / "mine.zip"),
    "upper case": lambda root: fake.as_folder(fake.files("images", "masks", "JPG"), root),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_set(cache: Path, tmp_path: Path, layout: str) -> None:
    prepared = prepare(LAYOUTS[layout](tmp_path / "source"))
    expected = prepare(fake.as_folder(fake.files("images", "masks"), tmp_path / "expected"))
    assert prepared.ids == fake.IDS
    assert prepared.fingerprint == expected.fingerprint
    np.testing.assert_array_equal(prepared.images, expected.images)
    np.testing.assert_array_equal(prepared.masks, expected.masks)


def test_2017_has_superpixels_that_are_no_images(cache: Path, tmp_path: Path) -> None:
    contents = fake.files(IMAGES_2017, MASKS_2017)
    contents |= {f"{IMAGES_2017}/{each}_superpixels.png": fake.encoded(fake.photograph(50)) for each in fake.IDS}
    contents[f"{IMAGES_2017}/ISIC-2017_Training_Data_metadata.csv"] = b"image_id,age"
    source = fake.as_zip_per_folder(contents | official_2018(), tmp_path / "both years")
    assert prepare(source, "isic2017").ids == fake.IDS


def test_pixels_are_pillows_bilinear(cache: Path, tmp_path: Path) -> None:
    prepared = prepare(fake.as_folder(fake.files("images", "masks", "png"), tmp_path / "source"))
    for number in range(len(fake.IDS)):
        image = fake.photograph(number).resize((16, 16), Image.Resampling.BILINEAR)
        mask = fake.truth(number).resize((16, 16), Image.Resampling.BILINEAR)
        np.testing.assert_array_equal(prepared.images[number], np.asarray(image))
        np.testing.assert_array_equal(prepared.masks[number], np.asarray(mask))
    assert len(np.unique(prepared.masks)) > 2


def test_pictures_of_the_right_size_are_not_resampled(cache: Path, tmp_path: Path) -> None:
    contents = fake.files("images", "masks", "png", side=(32, 32))
    one_bit = fake.truth(0, 32, 32).convert("1")
    contents[f"masks/{fake.IDS[0]}_segmentation.png"] = fake.encoded(one_bit)
    prepared = prepare(fake.as_folder(contents, tmp_path / "source"), size=32)
    np.testing.assert_array_equal(prepared.images[2], np.asarray(fake.photograph(2, 32, 32)))
    np.testing.assert_array_equal(prepared.masks[0], np.asarray(fake.truth(0, 32, 32)))


@pytest.mark.parametrize("mode", ["L", "RGBA", "P"])
def test_images_of_other_modes_become_rgb(cache: Path, tmp_path: Path, mode: str) -> None:
    contents = fake.files("images", "masks", "png", side=(32, 32))
    odd = fake.photograph(0, 32, 32).convert(mode)
    contents[f"images/{fake.IDS[0]}.png"] = fake.encoded(odd)
    prepared = prepare(fake.as_folder(contents, tmp_path / "source"), size=32)
    np.testing.assert_array_equal(prepared.images[0], np.asarray(odd.convert("RGB")))


FIRST_IMAGE, FIRST_MASK = f"images/{fake.IDS[0]}.jpg", f"masks/{fake.IDS[0]}_segmentation.png"
WHOLE = fake.files("images", "masks")
DAMAGES: dict[str, tuple[dict[str, bytes | None], list[str]]] = {
    "missing image": ({FIRST_IMAGE: None}, ["lacks 1 of the 6 images", fake.IDS[0], f"{IMAGES_2018}.zip"]),
    "missing mask": ({FIRST_MASK: None}, ["lacks 1 of the 6 masks", fake.IDS[0], f"{MASKS_2018}.zip"]),
    "extra image": ({"images/ISIC_9999999.jpg": b""}, ["not in the data set", "ISIC_9999999.jpg", "remove"]),
    "extra mask": ({"masks/mine_segmentation.png": b""}, ["not in the data set", "mine_segmentation.png", "remove"]),
    "duplicate": ({f"images/{fake.IDS[0]}.png": b""}, ["two image files", FIRST_IMAGE, f"{fake.IDS[0]}.png", "keep"]),
    "duplicate in both trees": (
        {f"{IMAGES_2018}/{fake.IDS[0]}.jpg": b""},
        ["two image files", FIRST_IMAGE, IMAGES_2018, "keep"],
    ),
    "other size": (
        {FIRST_MASK: fake.encoded(fake.truth(0, 39, 30))},
        [FIRST_MASK, FIRST_IMAGE, "39 x 30", "40 x 30", "again"],
    ),
    "empty mask": ({FIRST_MASK: fake.encoded(Image.new("L", (40, 30)))}, [FIRST_MASK, "marks no lesion", "again"]),
    "mask of ones": ({FIRST_MASK: fake.encoded(Image.new("L", (40, 30), 1))}, [FIRST_MASK, "255 for lesion"]),
    "truncated image": ({FIRST_IMAGE: WHOLE[FIRST_IMAGE][:-200]}, [FIRST_IMAGE, "cannot be read", "again"]),
    "truncated mask": ({FIRST_MASK: WHOLE[FIRST_MASK][:-30]}, [FIRST_MASK, "cannot be read", "again"]),
    "no picture": ({FIRST_IMAGE: b"<html>not found</html>"}, [FIRST_IMAGE, "cannot be read", "again"]),
    "empty file": ({FIRST_IMAGE: b""}, [FIRST_IMAGE, "cannot be read", "again"]),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_gets_a_sentence_and_leaves_nothing(cache: Path, tmp_path: Path, damage: str) -> None:
    changes, fragments = DAMAGES[damage]
    contents = {path: data for path, data in {**WHOLE, **changes}.items() if data is not None}
    source = fake.as_folder(contents, tmp_path / "source")
    with pytest.raises(RequestError) as caught:
        prepare(source)
    for fragment in fragments:
        assert fragment in str(caught.value)
    assert left_in(cache) == []


def test_many_missing_ids_are_cut_short(cache: Path, tmp_path: Path) -> None:
    contents = {path: data for path, data in WHOLE.items() if "mask" in path}
    with pytest.raises(RequestError, match=r"lacks 6 of the 6 images: .*ISIC_0000007 and 1 more;"):
        prepare(fake.as_folder(contents, tmp_path / "source"))


@pytest.mark.parametrize("entry", ["../evil.jpg", "images/../../evil.jpg", "/evil.jpg", "..\\evil.jpg", "C:/evil.jpg"])
def test_climbing_zip_is_refused(cache: Path, tmp_path: Path, entry: str) -> None:
    source = fake.as_zip({**WHOLE, entry: b""}, tmp_path / "mine.zip")
    with pytest.raises(RequestError, match=r"mine\.zip is refused.*evil"):
        prepare(source)
    assert left_in(cache) == []


def test_zip_with_a_link_is_refused(cache: Path, tmp_path: Path) -> None:
    source = fake.as_zip(WHOLE, tmp_path / "mine.zip")
    link = zipfile.ZipInfo("images/link.jpg")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(source, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(RequestError, match=r"mine\.zip is refused.*link"):
        prepare(source)


def test_same_entry_twice_in_a_zip(cache: Path, tmp_path: Path) -> None:
    source = fake.as_zip(WHOLE, tmp_path / "mine.zip")
    with zipfile.ZipFile(source, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr(FIRST_IMAGE, b"another")
    with pytest.raises(RequestError, match="two image files"):
        prepare(source)


def test_damage_inside_a_zip_names_the_entry(cache: Path, tmp_path: Path) -> None:
    source = fake.as_zip(WHOLE, tmp_path / "mine.zip")
    data = source.read_bytes()
    at = data.index(WHOLE[FIRST_IMAGE]) + 300
    source.write_bytes(data[:at] + bytes([data[at] ^ 255]) + data[at + 1 :])
    with pytest.raises(RequestError, match=rf"mine\.zip/{FIRST_IMAGE} cannot be read"):
        prepare(source)


def test_half_a_zip_is_no_zip(cache: Path, tmp_path: Path) -> None:
    source = fake.as_zip(WHOLE, tmp_path / "mine.zip")
    source.write_bytes(source.read_bytes()[:5000])
    with pytest.raises(RequestError, match=r"mine\.zip is not a complete zip file.*download it again"):
        prepare(source)


def test_wrong_paths(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="does not exist; give --from"):
        prepare(tmp_path / "nowhere")
    with pytest.raises(RequestError, match=rf"holds no pictures of isic2018; --from takes {IMAGES_2018}"):
        prepare(tmp_path)
    with pytest.raises(RequestError, match="--from PATH, or fetch them with --download"):
        datasets.prepare("isic2018", None)
    with pytest.raises(RequestError, match=r"holds no pictures of isic2019; --from takes a folder or zip with images/"):
        prepare(tmp_path, "isic2019")
    with pytest.raises(RequestError, match=r"The data set name 'Clinic A' will not do; take up to 60 lower-case"):
        prepare(tmp_path, "Clinic A")
    with pytest.raises(RequestError, match="--size 0 is too small"):
        prepare(tmp_path, size=0)
    assert left_in(cache) == []


def test_enlarging_everything_is_refused(cache: Path, tmp_path: Path) -> None:
    source = fake.as_folder(WHOLE, tmp_path / "source")
    assert prepare(source, size=40).size == 40
    with pytest.raises(RequestError, match=r"smaller than 41 pixels.*full-size originals"):
        prepare(source, size=41)


def test_failure_keeps_the_earlier_set(cache: Path, tmp_path: Path) -> None:
    source = fake.as_folder(WHOLE, tmp_path / "source")
    before = prepare(source)
    files = left_in(cache)
    (source / FIRST_MASK).write_bytes(b"")
    with pytest.raises(RequestError):
        prepare(source)
    assert left_in(cache) == files
    assert datasets.load("isic2018", 16).fingerprint == before.fingerprint


def test_preparing_again_replaces(cache: Path, tmp_path: Path) -> None:
    source = fake.as_folder(WHOLE, tmp_path / "source")
    before = prepare(source)
    (source / FIRST_IMAGE).write_bytes(fake.encoded(fake.photograph(99)))
    after = prepare(source)
    assert after.fingerprint != before.fingerprint
    assert datasets.load("isic2018", 16).fingerprint == after.fingerprint
    assert {Path(path).parts[:2] for path in left_in(cache)} == {("isic2018", "16")}


def test_full_disk(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RequestError, match=r"No space left on device.*LESION_BENCHMARKS_CACHE"):
        prepare(fake.as_folder(WHOLE, tmp_path / "source"))
    assert left_in(cache) == []


def test_ctrl_c(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(pair, size, rule):
        if pair.id == fake.IDS[3]:
            raise KeyboardInterrupt
        return decoded(pair, size, rule)

    decoded = pixels.decoded
    monkeypatch.setattr(pixels, "decoded", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare(fake.as_folder(WHOLE, tmp_path / "source"))
    assert list(cache.glob("isic2018/.unfinished*")) == []
    assert left_in(cache) == []


KILLED = """
import sys, time
from pathlib import Path
from benchmarks.datasets import archives, pixels, preparation
from tests import dataset_files
archives.manifest = lambda name: dataset_files.IDS
decoded = pixels.decoded
def slow(pair, size, rule):
    if pair.id == dataset_files.IDS[3]:
        time.sleep(60)
    return decoded(pair, size, rule)
pixels.decoded = slow
preparation.prepare("isic2018", Path(sys.argv[1]), size=16, progress=False)
"""


def test_kill_leaves_nothing_that_the_next_one_does_not_clear(cache: Path, tmp_path: Path) -> None:
    source = fake.as_folder(WHOLE, tmp_path / "source")
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(source)], cwd=Path(__file__).parents[1])
    try:
        deadline = time.monotonic() + 30
        while not list(cache.glob("isic2018/.unfinished*/images.npy")) and time.monotonic() < deadline:
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert list(cache.glob("isic2018/.unfinished*/images.npy"))
    with pytest.raises(datasets.NotPrepared):
        datasets.load("isic2018", 16)
    prepare(source)
    assert list(cache.glob("isic2018/.unfinished*")) == []
    assert datasets.load("isic2018", 16).ids == fake.IDS


def test_progress_is_shown_only_when_asked_for(cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    source = fake.as_folder(WHOLE, tmp_path / "source")
    prepare(source)
    assert capsys.readouterr().err == ""
    datasets.prepare("isic2018", source, size=16)
    shown = capsys.readouterr()
    assert "Preparing isic2018" in shown.err
    assert "6/6" in shown.err
    assert shown.out == ""


def test_size_of_the_paper_is_the_default() -> None:
    assert preparation.SIZE == 256
