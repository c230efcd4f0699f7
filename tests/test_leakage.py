"""Near-duplicates that were planted are found in every orientation, others are not; the committed tables are true."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter
from typer.testing import CliRunner

from benchmarks.cli.app import app
from benchmarks.datasets import archives, leakage, splits
from benchmarks.datasets.leakage import NEAR_DUPLICATE, NONE, ORIENTATIONS, SAME_LESION, Pair, Pictures
from results import files
from results import leakage as tables
from results.errors import RequestError
from tests import dataset_files as fake

SIDE = 96


def photograph(number: int) -> np.ndarray:
    """(96, 96, 3) uint8: a dark blot of its own shape on skin, with texture."""
    rng = np.random.default_rng(number)
    broad, fine = (gaussian_filter(rng.normal(size=(SIDE, SIDE)), sigma) for sigma in (9, 1.5))
    grey = 128 + 45 * broad / broad.std() + 12 * fine / fine.std()
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def jpeg(picture: np.ndarray) -> np.ndarray:

    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=60)
    return np.asarray(Image.open(file))


def recoloured(picture: np.ndarray) -> np.ndarray:
    """Darker, and each value moved by a curve."""
    return (255 * (picture / 300) ** 1.2).astype(np.uint8)


def moved(picture: np.ndarray) -> np.ndarray:
    """Shifted by 2 and 3 pixels, edges repeated: photographed again."""
    return np.pad(picture, ((2, 0), (3, 0), (0, 0)), mode="edge")[:SIDE, :SIDE]


def found(*pictures: np.ndarray) -> list[Pair]:
    """The pairs of the first picture with the others."""
    return Pictures(np.stack(pictures)).alike(np.array([0]), np.arange(1, len(pictures)))


@pytest.mark.parametrize("change", [np.copy, jpeg, recoloured], ids=lambda change: change.__name__)
def test_a_picture_stored_twice_is_a_near_duplicate(change: Callable[[np.ndarray], np.ndarray]) -> None:
    (pair,) = found(photograph(1), photograph(2), change(photograph(1)), photograph(3))
    assert (pair.test, pair.other, pair.kind) == (0, 2, NEAR_DUPLICATE)
    assert pair.distance <= 2
    assert pair.correlation > 0.99
    assert pair.detail > 0.9


TURNS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "as it is": np.copy,
    "flipped vertically": np.flipud,
    "flipped horizontally": np.fliplr,
    "turned by 180 degrees": lambda picture: np.rot90(picture, 2),
    "transposed": lambda picture: picture.transpose(1, 0, 2),
    "turned by 90 degrees": lambda picture: np.rot90(picture),
    "turned by 270 degrees": lambda picture: np.rot90(picture, 3),
    "transposed across the other diagonal": lambda picture: np.rot90(picture, 2).transpose(1, 0, 2),
}


@pytest.mark.parametrize("turn", TURNS)
def test_turned_and_flipped_pictures_are_found_with_how_they_are_turned(turn: str) -> None:
    """The orientation is that which, done to the other picture, gives the test picture."""
    other = photograph(5)
    (pair,) = found(TURNS[turn](other), photograph(6), other)
    assert (pair.other, pair.kind) == (2, NEAR_DUPLICATE)
    assert ORIENTATIONS[pair.orientation] == turn
    assert set(TURNS) == set(ORIENTATIONS)


def test_a_nearly_symmetric_picture_is_told_in_its_best_orientation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leakage, "DISTANCE", 64)  # two orientations pass the hash's threshold only by chance
    own = photograph(1).astype(float)
    picture = (0.4 * own + 0.6 * np.fliplr(own)).astype(np.uint8)
    pictures = Pictures(np.stack([picture, np.fliplr(picture)]))
    like = [pair for pair in pictures._candidates(np.array([0]), np.array([1])) if pair.kind != NONE]
    assert [ORIENTATIONS[pair.orientation] for pair in like] == ["as it is", "flipped horizontally"]
    (pair,) = pictures.alike(np.array([0]), np.array([1]))
    assert ORIENTATIONS[pair.orientation] == "flipped horizontally"


def test_the_same_lesion_moved_is_found_by_its_detail_alone() -> None:
    (pair,) = found(photograph(1), photograph(2), moved(photograph(1)))
    assert (pair.other, pair.kind) == (2, SAME_LESION)
    assert pair.correlation < leakage.CORRELATION


def test_other_pictures_are_not_alike() -> None:
    assert found(*(photograph(number) for number in range(30))) == []
    even = np.full((SIDE, SIDE, 3), 99, np.uint8)
    assert found(even, photograph(1)) == []


def test_kinds_follow_the_thresholds() -> None:
    def kind(correlation: float, detail: float) -> str:
        return Pair(0, 1, 4, correlation, detail, 0).kind

    assert kind(0.98, 0.0) == NEAR_DUPLICATE
    assert kind(0.9799, 0.5) == kind(0.85, 0.5) == SAME_LESION
    assert kind(0.9799, 0.4999) == kind(0.8499, 0.9) == NONE


def test_hashes_are_signs_about_the_median() -> None:
    signs = leakage.hashes(Pictures(np.stack([photograph(1), photograph(2)])).coarse)
    assert signs.shape == (2, 64)
    assert set(np.unique(signs)) == {-1, 1}
    assert (signs == 1).sum(axis=1).tolist() == [32, 32]


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Six photographs; under `sorted` the first test image is also a training, the second also a validation image."""
    fake.install(monkeypatch, tmp_path / "cache")
    contents = fake.files("images", "masks", "png", side=(SIDE, SIDE))
    split = splits.cut(fake.IDS, fake.COUNTS, "sorted")
    planted = {split.test[0]: split.train[0], split.test[1]: split.validation[0]}
    for number, name in enumerate(fake.IDS):
        picture = Image.fromarray(photograph(int(planted.get(number, number))))
        contents[f"images/{name}.png"] = fake.encoded(picture)
    return fake.as_folder(contents, tmp_path / "source")


def test_the_command_writes_pairs_and_shared_ids(source: Path, tmp_path: Path) -> None:
    arguments = ["data", "isic2018", "--size", str(SIDE), "--near-duplicates", "--results", str(tmp_path)]
    done = CliRunner().invoke(app, [*arguments, "--from", str(source)])
    assert done.exit_code == 0, done.output
    words = " ".join(done.output.split())
    assert "isic2018, split sorted: of 2 test images 2 near-duplicate (distance <= 10 and" in words
    table = tables.pairs(tmp_path)
    split = splits.cut(fake.IDS, fake.COUNTS, "sorted")
    rows = table[table["split"] == "sorted"].to_dict("records")
    found = [(row["test_id"], row["other_id"], row["other_part"]) for row in rows]
    train, validation = fake.IDS[split.train[0]], fake.IDS[split.validation[0]]
    assert found == [(fake.IDS[split.test[0]], train, "train"), (fake.IDS[split.test[1]], validation, "validation")]
    assert {(row["kind"], row["distance"], row["test_images"]) for row in rows} == {(NEAR_DUPLICATE, 0, 2)}
    before = (tmp_path / "near_duplicates.csv").read_bytes()
    again = CliRunner().invoke(app, arguments)  # from the prepared set
    assert again.exit_code == 0, again.output
    assert (tmp_path / "near_duplicates.csv").read_bytes() == before
    assert tables.shared(tmp_path)["shared"].sum() == 2 * len(fake.IDS)


def test_a_search_in_vain_is_told_from_none(tmp_path: Path, source: Path) -> None:
    from benchmarks import datasets

    plain = fake.as_folder(fake.files("images", "masks", side=(SIDE, SIDE)), tmp_path / "plain")
    rows = leakage.near_duplicates(datasets.prepare("isic2018", plain, size=SIDE, progress=False))
    assert [(row["split"], row["kind"]) for row in rows] == [("paper", NONE), ("sorted", NONE)]
    tables.write_pairs(tmp_path, "isic2018", rows)
    assert tables.pairs(tmp_path)["kind"].tolist() == [NONE, NONE]


def test_a_data_set_replaces_its_own_rows_only(tmp_path: Path) -> None:
    def row(dataset: str, test_id: str) -> dict:
        return {"dataset": dataset, "split": "paper", "test_images": 9, "test_id": test_id, "kind": SAME_LESION}

    tables.write_pairs(tmp_path, "b", [row("b", "1")])
    tables.write_pairs(tmp_path, "a", [row("a", "2"), row("a", "3")])
    tables.write_pairs(tmp_path, "b", [row("b", "4")])
    assert [tuple(each) for each in tables.pairs(tmp_path)[["dataset", "test_id"]].to_numpy().astype(str)] == [
        ("a", "2"),
        ("a", "3"),
        ("b", "4"),
    ]


@pytest.mark.parametrize("content", ["", "a,b\n1,2\n", '"'])
def test_a_damaged_table_is_one_sentence_with_its_cure(tmp_path: Path, content: str) -> None:
    (tmp_path / "near_duplicates.csv").write_text(content)
    with pytest.raises(RequestError, match=r"near_duplicates\.csv: .*--near-duplicates"):
        tables.pairs(tmp_path)


def test_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    tables.write_pairs(tmp_path, "a", [{"dataset": "a", "split": "paper", "test_images": 9, "kind": "twin"}])
    with pytest.raises(RequestError, match=r"kind is .*, not one of near-duplicate"):
        tables.pairs(tmp_path)


def test_a_results_folder_without_tables_shows_the_committed_ones(tmp_path: Path) -> None:
    pd.testing.assert_frame_equal(tables.pairs(tmp_path), tables.pairs(files.HOME))
    pd.testing.assert_frame_equal(tables.shared(tmp_path), tables.shared(files.HOME))


# The committed tables


def test_committed_shared_ids_are_those_of_the_manifests() -> None:
    rows = [tuple(row.values()) for row in leakage.shared_ids()]
    assert list(tables.shared(files.HOME).itertuples(index=False, name=None)) == rows
    ids = [set(archives.manifest(name)) for name in ("isic2017", "isic2018")]
    for rule in splits.RULES:
        cut = tables.shared(files.HOME).set_index("split").loc[rule]
        assert cut["shared"].sum() == len(ids[0] & ids[1]) == 1800
        assert cut.drop_duplicates("part")["images"].sum() == 2000


def test_shared_ids_are_counted_part_by_part() -> None:
    table = tables.shared(files.HOME).set_index(["split", "part", "other_part"])["shared"]
    first, second = (archives.manifest(name) for name in ("isic2017", "isic2018"))
    test = {first[row] for row in splits.cut(first, splits.COUNTS["isic2017"], "paper").test}
    train = {second[row] for row in splits.cut(second, splits.COUNTS["isic2018"], "paper").train}
    assert table["paper", "test", "train"] == len(test & train)


@pytest.mark.parametrize(
    ("dataset", "rule", "near", "same"),
    [
        ("isic2018", "paper", 3, 5),
        ("isic2018", "sorted", 11, 15),
        ("isic2017", "paper", 1, 4),
        ("isic2017", "sorted", 4, 8),
    ],
)
def test_committed_pairs_lie_where_they_say(dataset: str, rule: str, near: int, same: int) -> None:
    """Counted on the real images, which are not here; ids, parts and thresholds can be checked."""
    table = tables.pairs(files.HOME)
    mine = table[(table["dataset"] == dataset) & (table["split"] == rule)]
    ids = archives.manifest(dataset)
    split = splits.cut(ids, splits.COUNTS[dataset], rule)
    parts = {part: {ids[row] for row in getattr(split, part)} for part in ("train", "validation", "test")}
    assert set(mine["test_images"]) == {len(split.test)}
    for row in mine.itertuples():
        assert row.test_id in parts["test"]
        assert row.other_id in parts[row.other_part]
        assert row.threshold == leakage.THRESHOLDS[row.kind]
        assert Pair(0, 1, row.distance, row.correlation, row.detail, 0).kind == row.kind
        assert row.distance <= leakage.DISTANCE
    assert mine.groupby("kind")["test_id"].nunique().to_dict() == {NEAR_DUPLICATE: near, SAME_LESION: same}


def test_known_near_duplicates_are_among_them() -> None:
    table = tables.pairs(files.HOME).set_index(["dataset", "split", "kind"])[["test_id", "other_id"]].sort_index()
    pairs = {frozenset(pair) for pair in table.loc["isic2018", "paper", NEAR_DUPLICATE].to_numpy()}
    assert {"ISIC_0012290", "ISIC_0013594"} in pairs
    assert {"ISIC_0015986", "ISIC_0015987"} in pairs
