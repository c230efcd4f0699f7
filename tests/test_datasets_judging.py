"""What is refused and what is doubted of masks, on drawn pictures whose faults are known."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from benchmarks import datasets
from benchmarks.cli.app import app
from benchmarks.datasets import agreement, judging
from results.errors import RequestError
from tests import dataset_files as fake

COUNT, SIDE = 40, 64


@pytest.fixture(scope="module")
def drawn() -> tuple[np.ndarray, np.ndarray]:
    """Images (COUNT, SIDE, SIDE, 3) and masks of discs: dark on bright skin, each of its own place and size."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:SIDE, :SIDE]
    places, radii = rng.uniform(20, 44, (COUNT, 2)), rng.uniform(6, 14, COUNT)
    masks = np.stack([np.hypot(x - a, y - b) < r for (a, b), r in zip(places, radii, strict=True)])
    images = rng.normal(190, 12, (COUNT, SIDE, SIDE, 3)) - 90 * masks[..., None]
    return images.clip(0, 255).astype(np.uint8), (255 * masks).astype(np.uint8)


def signs(images: np.ndarray, masks: np.ndarray) -> list[judging.Signs]:
    return [judging.Signs.of(f"p{k}", image, mask) for k, (image, mask) in enumerate(zip(images, masks, strict=True))]


def test_a_good_set_is_not_doubted(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    assert judging.judged(signs(*drawn)) == judging.Judgement()


def test_an_inverted_set_is_refused(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    found = judging.judged(signs(drawn[0], 255 - drawn[1]))
    assert found.impossible == [
        "the masks are inverted: 40 of 40 have lesion along all four borders; make lesion 255 and skin 0"
    ]


def test_masks_of_other_images_are_refused_from_enough_on(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    turned = np.roll(drawn[1], 1, axis=0)
    (sentence,) = judging.judged(signs(drawn[0], turned)).impossible
    assert "the masks do not belong to their images" in sentence
    assert not judging.judged(signs(drawn[0][:29], turned[:29])).impossible


def test_two_swapped_masks_are_named(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    masks = drawn[1].copy()
    masks[[3, 17]] = masks[[17, 3]]
    found = judging.judged(signs(drawn[0], masks))
    assert not found.impossible
    assert found.unlikely == [
        "1 pair of masks looks swapped, each mask lying on the edges of the other's image: p3 with p17"
    ]


def changed(drawn: tuple[np.ndarray, np.ndarray], **signs_of_two: float) -> list[str]:
    """Doubts where two pairs have other signs."""
    seen = signs(*drawn)
    for at in (4, 5):
        seen[at] = judging.Signs(**(vars(seen[at]) | signs_of_two))
    return judging.judged(seen).unlikely


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        ({"border": 0.75}, "2 masks have lesion along all four borders"),
        ({"share": 0.98}, "2 masks have a lesion that fills more than 97 % of the image: p4 (98.0 %), p5 (98.0 %)"),
        ({"share": 0.001}, "2 masks have a lesion that fills less than 0.2 % of the image: p4 (0.1 %), p5 (0.1 %)"),
        ({"levels": 3, "between": 0.02}, "2 masks have a few grey levels as of classes"),
        ({"levels": 99, "between": 0.11}, "2 masks have more than 10 % of their pixels neither dark nor bright"),
    ],
)
def test_doubts_name_masks_and_numbers(drawn, other: dict, sentence: str) -> None:
    (doubt,) = changed(drawn, **other)
    assert doubt.startswith(sentence)


@pytest.mark.parametrize(
    "other", [{"border": 0.74}, {"share": 0.97}, {"share": 0.002}, {"levels": 3, "between": 0.01}, {"between": 0.1}]
)
def test_what_real_sets_have_is_not_doubted(drawn, other: dict) -> None:
    levels = {} if "levels" in other or "between" not in other else {"levels": 99}
    assert not changed(drawn, **other, **levels)


def test_names_are_cut_short() -> None:
    assert judging.listed([f"a{k}" for k in range(7)]) == "a0, a1, a2, a3, a4 and 2 more"


def test_a_median_that_is_unusual(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    small = [judging.Signs(**(vars(each) | {"share": 0.005})) for each in signs(*drawn)]
    assert judging.judged(small).unlikely[-1].startswith("The median mask has 0.5 % lesion")


def test_agreement_is_high_on_edges_and_low_elsewhere(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    seen = signs(*drawn)
    images, masks = np.stack([each.image for each in seen]), np.stack([each.mask for each in seen])
    own = agreement.own(images, masks)
    np.testing.assert_allclose(own, np.diagonal(agreement.crossed(images, masks)), rtol=1e-4)
    assert np.median(own) > 4 * np.median(agreement.with_another(images, masks))
    np.testing.assert_allclose(agreement.own(images, 255 - masks), own, rtol=0.2)
    assert np.isnan(agreement.own(images[:1], np.zeros_like(masks[:1]))).all()


# Through preparation and the command


@pytest.fixture
def contents(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, bytes]:
    fake.install(monkeypatch, tmp_path / "cache")
    return fake.files("images", "masks", side=(64, 64))


def command(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["data", "isic2018", "--size", "16", *map(str, arguments)])
    error = done.exception if isinstance(done.exception, RequestError) else ""
    return done.exit_code, " ".join(f"{done.output} {error}".split())


def test_an_inverted_set_leaves_nothing(contents: dict[str, bytes], tmp_path: Path) -> None:
    for number, identifier in enumerate(fake.IDS):
        inverted = Image.fromarray(255 - np.asarray(fake.truth(number, 64, 64)))
        contents[f"masks/{identifier}_segmentation.png"] = fake.encoded(inverted)
    source = fake.as_folder(contents, tmp_path / "source")
    with pytest.raises(RequestError, match=r"source is refused: the masks are inverted: 6 of 6"):
        datasets.prepare("isic2018", source, size=16, progress=False)
    assert not list((tmp_path / "cache").rglob("*.npy"))


def test_a_lesion_that_vanishes_is_counted_said_and_refused_when_strict(
    contents: dict[str, bytes], tmp_path: Path
) -> None:
    tiny = np.zeros((64, 64), np.uint8)
    tiny[30:32, 30:32] = 255
    contents[f"masks/{fake.IDS[2]}_segmentation.png"] = fake.encoded(Image.fromarray(tiny))
    source = fake.as_folder(contents, tmp_path / "source")
    words = f"1 lesion vanishes at 16 px, where no pixel of the mask reaches 128: {fake.IDS[2]}"
    code, said = command("--from", source, "--strict")
    assert code
    assert "source is refused with --strict: " in said
    assert words in said
    assert not list((tmp_path / "cache").rglob("*.npy"))
    code, said = command("--from", source)
    assert code == 0
    assert f"Unlikely: {words}." in said
    assert datasets.load("isic2018", 16).vanished == (fake.IDS[2],)
    code, said = command("--strict")
    assert code
    assert words in said


def test_a_lesion_that_vanishes_in_a_derived_set_is_counted(contents: dict[str, bytes], tmp_path: Path) -> None:
    small = np.zeros((64, 64), np.uint8)
    small[30:35, 30:35] = 255
    contents[f"masks/{fake.IDS[2]}_segmentation.png"] = fake.encoded(Image.fromarray(small))
    source = fake.as_folder(contents, tmp_path / "source")
    assert datasets.prepare("isic2018", source, size=32, progress=False).vanished == ()
    assert datasets.load("isic2018", 8).vanished == (fake.IDS[2],)


def test_doubts_are_kept_with_the_set(contents: dict[str, bytes], tmp_path: Path) -> None:
    full = np.full((64, 64), 255, np.uint8)
    full[0, :8] = 0
    contents[f"masks/{fake.IDS[1]}_segmentation.png"] = fake.encoded(Image.fromarray(full))
    datasets.prepare("isic2018", fake.as_folder(contents, tmp_path / "source"), size=16, progress=False)
    assert any(fake.IDS[1] in doubt and "all four borders" in doubt for doubt in datasets.load("isic2018", 16).doubts)
