"""A user's own pictures: paired by convention or by a layout, read by their meaning, or refused by a sentence."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import datasets
from benchmarks.datasets import layout, matching, preparation
from results.errors import RequestError
from tests.dataset_files import as_folder, encoded, photograph

SIZE = 24
Files = dict[str, bytes]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("LESION_BENCHMARKS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache"


def drawn(number: int, width: int = 40, height: int = 30) -> tuple[np.ndarray, np.ndarray]:
    """A bright disc on a dark photograph, and its mask, 0 and 1."""
    y, x = np.mgrid[:height, :width]
    disc = (y - height / 2) ** 2 + (x - width / 2 - number % 5) ** 2 < (6 + number % 4) ** 2
    image = np.asarray(photograph(number, width, height)) // 4 + 40
    image[disc] += 120
    return image, disc.astype(np.uint8)


def files(image: str, mask: str, count: int = 6, *, kind: str = "PNG", white: int = 1) -> Files:
    """Pictures by path; the patterns take the number of a picture as {}."""
    found = {}
    for number in range(count):
        photo, truth = drawn(number)
        found[image.format(number)] = encoded(Image.fromarray(photo), kind)
        found[mask.format(number)] = encoded(Image.fromarray(truth * np.uint8(white)))
    return found


def prepared(contents: Files, tmp_path: Path, name: str = "clinic", **options) -> datasets.PreparedSet:
    source = as_folder(contents, tmp_path / "source")
    return datasets.prepare(name, source, size=SIZE, progress=False, **options)


CONVENTIONS = {
    "two folders": ("images/{}.png", "masks/{}.png"),
    "endings": ("images/a{}.png", "masks/a{}_segmentation.png"),
    "side by side": ("a{}.png", "a{}_mask.png"),
    "upper case": ("Images/A{}.png", "Masks/A{}_Segmentation.png"),
    "ground truth": ("Original/{}.png", "Ground Truth/{}.png"),
    "of a challenge": ("Task1_Input/I{}.png", "Task1_GroundTruth/I{}_segmentation.png"),
    "as PH2": ("D/IMD{0}/IMD{0}_Dermoscopic_Image/IMD{0}.png", "D/IMD{0}/IMD{0}_lesion/IMD{0}_lesion.png"),
    "a folder per case": ("case {}/image.png", "case {}/mask.png"),
    "a folder per case and hospital": ("h/p{}/photo 1.png", "h/p{}/photo 1 mask.png"),
    "lesions that are photographs": ("lesion_{}.png", "lesion_{}_mask.png"),
    "a telling name above": ("labels/images/{}.png", "labels/masks/{}.png"),
}


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_pairs_are_found_by_convention(convention, tmp_path):
    found = prepared(files(*CONVENTIONS[convention]), tmp_path)
    assert len(found.ids) == 6
    truth = Image.fromarray(drawn(3)[1] * np.uint8(255)).resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    assert np.array_equal(found.masks[3], np.asarray(truth)), "another mask, or 0 and 1 were not understood"
    assert set(found.data.content()) == {"soft_share", "originals"}, "runs of other sets would record other things"


def test_a_zip_and_zips_in_a_folder_give_the_same_set(tmp_path):
    contents = files("images/{}.png", "masks/{}.png")
    whole = prepared(contents, tmp_path)
    for role in ("images", "masks"):
        with zipfile.ZipFile(tmp_path / f"{role}.zip", "w") as archive:
            for path, data in contents.items():
                if path.startswith(role):
                    archive.writestr(path.removeprefix(f"{role}/"), data)
    (tmp_path / "zips").mkdir()
    for role in ("images", "masks"):
        (tmp_path / f"{role}.zip").rename(tmp_path / "zips" / f"{role}.zip")
    assert datasets.prepare("zipped", tmp_path / "zips", size=SIZE, progress=False).fingerprint == whole.fingerprint


def test_what_was_understood_is_kept_and_smaller_sizes_inherit_it(tmp_path):
    text = (
        'label = "Clinic A"\ncitation = "Us, 2026"\nlicence = "CC0"\nimages = "images/{id}.*"\nmasks = "masks/{id}.png"'
    )
    found = prepared(files("images/{}.png", "masks/{}.png") | {"clinic.toml": text.encode()}, tmp_path)
    assert found.about.convention == "images as images/{id}.*, masks as masks/{id}.png"
    assert found.about.layout.endswith("clinic.toml")
    smaller = datasets.load("clinic", 16)
    for each in (found, smaller):
        assert (each.data.label, each.data.citation, each.data.licence) == ("Clinic A", "Us, 2026", "CC0")
    assert "clinic" in datasets.names()


def test_formats_and_modes_are_read_by_their_meaning(tmp_path):
    for kind, suffix in (("BMP", "bmp"), ("TIFF", "tif"), ("JPEG", "jpg")):
        found = prepared(files("images/{}." + suffix, "masks/{}.png", kind=kind), tmp_path / kind, kind.lower())
        assert found.data.originals.formats == {kind: 6}


def groups(column: str = "patient") -> bytes:
    return f"image,{column}\n".encode() + b"".join(b"%d.png,p%d\n" % (number, number // 2) for number in range(6))


LAYOUTS: dict[str, tuple[str, str, Callable[[np.ndarray], np.ndarray]]] = {
    "classes": ("[mask]\nforeground = [1, 2]", "L", lambda disc: disc * np.uint8(2)),
    "threshold": ("[mask]\nthreshold = 50", "L", lambda disc: disc * np.uint8(40) + np.uint8(20)),
    "inverted": ("[mask]\ninverted = true", "L", lambda disc: (1 - disc) * np.uint8(255)),
}


@pytest.mark.parametrize("case", LAYOUTS)
def test_a_layout_says_what_masks_mean(case, tmp_path):
    text, mode, changed = LAYOUTS[case]
    contents = files("images/{}.png", "masks/{}.png")
    for number in range(6):
        contents[f"masks/{number}.png"] = encoded(Image.fromarray(changed(drawn(number)[1]), mode))
    right = prepared(files("images/{}.png", "masks/{}.png"), tmp_path / "right", "right")
    found = prepared(contents | {"clinic.toml": text.encode()}, tmp_path)
    assert np.array_equal(found.masks >= 128, right.masks >= 128)


def test_several_masks_are_united_and_empty_ones_allowed_where_the_layout_says_so(tmp_path):
    contents = files("{} (1).png", "{} (1)_mask.png")
    first = drawn(0)[1]
    more = np.zeros_like(first)
    more[2:6, 2:6] = 255
    contents["0 (1)_mask_1.png"] = encoded(Image.fromarray(more))
    contents["5 (1)_mask.png"] = encoded(Image.fromarray(first * np.uint8(0)))
    found = prepared(contents, tmp_path, "busi")
    assert found.ids[0] == "0_1"
    assert found.masks[0].sum() > prepared(files("{} (1).png", "{} (1)_mask.png"), tmp_path / "b", "b").masks[0].sum()
    assert (found.masks[5].max(), found.about.empty, found.vanished) == (0, 1, ())


def turned(pixels: np.ndarray, orientation: int) -> bytes:
    """A photograph stored turned by 90 degrees that its EXIF orientation turns back."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(pixels).transpose(Image.Transpose.ROTATE_90)
    from io import BytesIO

    file = BytesIO()
    image.save(file, "JPEG", quality=95, exif=exif)
    return file.getvalue()


@pytest.mark.parametrize("drawn_on", ["turned", "stored"])
@pytest.mark.parametrize("side", [(40, 30), (36, 36)])
def test_an_orientation_is_obeyed_where_the_mask_was_drawn_on_the_turned_photograph(drawn_on, side, tmp_path):
    contents, upright = {}, []
    for number in range(6):
        image, truth = drawn(number, *side)
        truth[: side[1] // 2] = 0  # so that a square shows in which way it is turned
        image[: side[1] // 2] = 50
        mask = Image.fromarray(truth * np.uint8(255))
        if drawn_on == "stored":
            mask = mask.transpose(Image.Transpose.ROTATE_90)
        contents[f"images/{number}.jpg"] = turned(image, 6)
        contents[f"masks/{number}.png"] = encoded(mask)
        upright.append(np.asarray(mask.resize((SIZE, SIZE), Image.Resampling.BILINEAR)))
    found = prepared(contents, tmp_path)
    for image, mask, expected in zip(found.images, found.masks, upright, strict=True):
        assert np.array_equal(mask, expected)
        assert image[mask >= 250].mean() > image[mask < 5].mean() + 40, "the photograph lies across its mask"


def test_groups_come_from_a_table(tmp_path):
    text = b'[groups]\nfile = "visits.csv"\nid = "image"\ngroup = "patient"'
    found = prepared(files("images/{}.png", "masks/{}.png") | {"visits.csv": groups(), "clinic.toml": text}, tmp_path)
    assert found.groups == ("p0", "p0", "p1", "p1", "p2", "p2")
    assert datasets.load("clinic", 16).groups == found.groups


REFUSED = {
    "an image without mask": ({"images/9.png": encoded(photograph(9))}, "1 images without a mask: .*9.png"),
    "a mask without image": ({"masks/9.png": encoded(photograph(9))}, "1 masks without an image: .*9.png"),
    "two masks": ({"masks/0_mask.png": encoded(photograph(9))}, "more than one mask: 0 has .*mask.several = true"),
    "an unknown key": (
        {"clinic.toml": b"maks = 1"},
        r"no key 'maks'; did you mean masks or mask or .*\? there are label",
    ),
    "an unknown key in a table": ({"clinic.toml": b"[mask]\ninvert = true"}, "no key 'invert'; did you mean inverted"),
    "no TOML": ({"clinic.toml": b"label ="}, "clinic.toml is no TOML"),
    "a pattern without id": ({"clinic.toml": b'images = "a"\nmasks = "b/{id}"'}, r"'a' needs \{id\} once"),
    "half a layout": ({"clinic.toml": b'images = "a/{id}"'}, "one of images and masks; give both"),
    "no such table": (
        {"clinic.toml": b'[groups]\nfile = "x.csv"\nid = "i"\ngroup = "g"'},
        "has 0 files x.csv, the table of its groups",
    ),
    "no such column": (
        {"clinic.toml": b'[groups]\nfile = "v.csv"\nid = "image"\ngroup = "patient"', "v.csv": groups("person")},
        "v.csv has no column 'patient'; its columns are image, person",
    ),
    "values that mark nothing": ({"clinic.toml": b"[mask]\nforeground = [7]"}, r"no lesion by the foreground \[7\]"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_told_is_refused_and_leaves_nothing(case, tmp_path, cache):
    more, sentence = REFUSED[case]
    with pytest.raises(RequestError, match=sentence):
        prepared(files("images/{}.png", "masks/{}.png") | more, tmp_path)
    assert not [path for path in cache.rglob("*") if path.is_file() and path.name != ".lock"]


def test_check_reads_and_stores_nothing(tmp_path, cache):
    source = as_folder(files("images/{}.png", "masks/{}.png"), tmp_path / "source")
    found = preparation.checked("clinic", source, size=SIZE, progress=False)
    assert (found.images, found.origin["convention"]) == (6, "images as images/0.png, masks as masks/0.png")
    assert not cache.exists()
    with pytest.raises(RequestError, match=r"no data set 'clinic'; .*prepare your own with `python"):
        datasets.load("clinic", SIZE)


def official(tmp_path: Path) -> Path:
    """The official layout of ISIC2018 with invented pictures."""
    contents: Files = {}
    for number, part in enumerate(("Training", "Validation", "Test")):
        ids = f"ISIC_{number}00000{{}}"
        where = (
            f"ISIC2018_Task1-2_{part}_Input/{ids}.jpg",
            f"ISIC2018_Task1_{part}_GroundTruth/{ids}_segmentation.png",
        )
        contents |= files(*where, 3 + number, kind="JPEG")
    return as_folder(contents, tmp_path / "official")


def test_official_parts_hold_the_published_ids_or_have_another_name(tmp_path, cache):
    source = official(tmp_path)
    with pytest.raises(
        RequestError, match=r"the 3 images of its part train are not those that were .*2,594 images, ids"
    ):
        datasets.prepare("isic2018_official", source, size=SIZE, progress=False)
    with pytest.raises(RequestError, match="give it another name"):
        datasets.prepare("isic2018_official", source, size=SIZE, other_ids=True, progress=False)
    how = {"layout": "isic2018_official", "other_ids": True}
    found = datasets.prepare("mine", source, size=SIZE, progress=False, **how)
    split = found.split("official")
    assert [len(each) for each in (split.train, split.validation, split.test)] == [3, 4, 5]
    assert {found.ids[at][:6] for at in split.test} == {"ISIC_2"}
    with pytest.raises(RequestError, match="give --split official"):
        found.split("paper")


def test_the_published_ids_are_known_by_their_checksum(monkeypatch):
    """Of the real training set, whose ids are in the package."""
    from benchmarks.datasets import archives

    for year in ("2018", "2017"):
        part = layout.of_known(f"isic{year}_official").part[0]
        ids = archives.manifest(f"isic{year}")
        assert (len(ids), matching.ids_checksum(ids)) == (part.count, part.sha256)


def test_a_known_set_has_one_label_in_its_layout_and_in_tables():
    from reports.comparison.names import DATASETS

    assert {name: layout.of_known(name).label for name in layout.known()}.items() <= DATASETS.items()


def test_a_set_arrives_whole_on_a_machine_that_does_not_know_it(tmp_path, monkeypatch):
    from benchmarks.datasets.transfer import Shipped, is_prepared

    text = b'label = "A"\n[groups]\nfile = "v.csv"\nid = "image"\ngroup = "patient"'
    here = prepared(files("images/{}.png", "masks/{}.png") | {"v.csv": groups(), "clinic.toml": text}, tmp_path)
    sent = Shipped.of(here)
    assert is_prepared("clinic", SIZE)
    monkeypatch.setenv("LESION_BENCHMARKS_CACHE", str(tmp_path / "of another machine"))
    assert not is_prepared("clinic", SIZE)
    sent.arrive()
    there = datasets.load("clinic", SIZE)
    assert (there.groups, there.data.label) == (here.groups, "A")
    assert there.split("seven_three").fingerprint == here.split("seven_three").fingerprint
