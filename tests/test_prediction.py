"""Trained networks on photographs: weights with their card, `load`, `predict` and `export`."""

import json
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from scipy import ndimage
from typer.testing import CliRunner

import benchmarks
from benchmarks import datasets
from benchmarks.cli.app import app
from benchmarks.cli.session import Session
from benchmarks.networks.identity import identity
from benchmarks.prediction import onnx_file
from benchmarks.prediction.ensemble import Opinions
from benchmarks.prediction.photographs import find
from benchmarks.prediction.predict import overlay
from benchmarks.prediction.regions import regions
from benchmarks.prediction.trained import Trained
from reports.card import card_text
from results import predictions, weights
from results.citations import bibtex
from results.errors import Damaged, RequestError
from results.files import read_json
from results.runs import load_runs

SIZE, NETWORK = 32, "aulunet_v3"
RUN = ["--dataset", "synthetic", "--network", NETWORK, "--recipe", "quick", "--size", str(SIZE), "--epochs", "4"]


def command(*arguments: object) -> tuple[int, str]:
    """Exit code of a command, and what it says. Raises what it raises."""
    done = CliRunner().invoke(app, list(map(str, arguments)), obj=Session(), catch_exceptions=False)
    return done.exit_code, " ".join(done.output.split())


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A results folder with two trained seeds, and the weights that ship of the better one."""
    home = tmp_path_factory.mktemp("prediction")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LESION_BENCHMARKS_CACHE", str(home / "cache"))
        assert command("run", *RUN, "--set", "lr=1e-2", "--seeds", 2, "--results", home / "results")[0] == 0
        assert command("weights", "--results", home / "results")[0] == 0
        yield home


@pytest.fixture(scope="module")
def trained(home: Path) -> Trained:
    return benchmarks.load(NETWORK, "synthetic", results=home / "results")


@pytest.fixture(scope="module")
def photographs(home: Path) -> Path:
    """Nine photographs of mixed sizes and kinds, one of them turned by EXIF, and three broken files."""
    own, folder = datasets.load("synthetic", SIZE), home / "photographs"
    (folder / "visit").mkdir(parents=True)
    test = own.split("paper").test
    sizes = [(64, 48), (40, 90), (32, 32), (20, 25), (300, 200), (33, 31), (128, 128), (47, 47), (90, 60)]
    for number, (at, size) in enumerate(zip(test, sizes, strict=False)):
        image = Image.fromarray(own.images[at]).resize(size, Image.Resampling.BICUBIC)
        image.save(folder / f"photo{number}.png")
    turned = Image.open(folder / "photo4.png").convert("RGB").transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(folder / "visit" / "photo4.png", exif=exif)
    (folder / "empty.jpg").touch()
    (folder / "text.png").write_text("not a picture")
    whole = (folder / "photo0.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    return folder


def test_the_card_says_what_the_weights_are(home: Path) -> None:
    """The best-validated seed, with facts that its run has too."""
    runs = load_runs(home / "results").runs
    best = min(runs, key=lambda run: run.report.validation_loss or 1e9)
    assert len({run.report.validation_loss for run in runs}) == 2
    shipped = weights.find(home / "results", "synthetic", NETWORK)
    card = shipped.card
    assert (card.seed, card.best_epoch, card.recipe) == (best.cell.seed, best.report.best_epoch, best.cell.recipe)
    assert card.metrics == best.metrics
    assert card.over_seeds["iou"].mean == pytest.approx(np.mean([run.metrics["iou"] for run in runs]))
    assert card.over_seeds["iou"].seeds == 2
    assert shipped.model.read_bytes() == (best.folder / "weights.safetensors").read_bytes()
    text = (shipped.folder / "README.md").read_text()
    for said in (card.weights, f"seed {card.seed}", f"{100 * card.metrics['iou']:.2f}", "no\nmedical device", "@"):
        assert said in text
    assert text.startswith("---\n"), "model hubs read a head between two lines"


def test_weights_of_another_seed_are_never_taken_in_its_place(home: Path, tmp_path: Path) -> None:
    root = tmp_path / "results"
    root.symlink_to(home / "results", target_is_directory=True)
    best = min(load_runs(root).runs, key=lambda run: run.report.validation_loss or 1e9).folder / "weights.safetensors"
    content = best.read_bytes()
    best.unlink()
    try:
        code, said = command("weights", "--results", root, "--output", tmp_path / "kept")
        assert code == 1
        assert "has the lowest validation loss" in said
        assert not (tmp_path / "kept").exists()
    finally:
        best.write_bytes(content)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_changed_file_of_weights_is_refused(home: Path, tmp_path: Path, name: str) -> None:
    place = weights.folder(tmp_path, "synthetic", NETWORK)
    place.mkdir(parents=True)
    for each in weights.folder(home / "results", "synthetic", NETWORK).iterdir():
        (place / each.name).write_bytes(each.read_bytes())
    content = (place / name).read_bytes()
    changed = content.replace(b'"seed": ', b'"seed": 1') if name == "config.json" else content[:-1] + b"\0"
    assert changed != content
    (place / name).write_bytes(changed)
    with pytest.raises(Damaged, match=name):
        benchmarks.load(NETWORK, "synthetic", results=tmp_path)


def test_weights_that_there_are_not(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="There are no weights of unet trained on nowhere; there are:"):
        benchmarks.load("unet", "nowhere", results=tmp_path)


def test_a_loaded_network_predicts_what_its_run_stored(home: Path, trained: Trained) -> None:
    """By torch without kernels, so that a pixel on the threshold may differ."""
    own = datasets.load("synthetic", SIZE)
    run = next(run for run in load_runs(home / "results").runs if run.cell.seed == trained.card.seed)
    stored = predictions.Masks(run).all()
    assert 0.02 < stored.mean() < 0.6
    test = own.split("paper").test
    found = np.stack([trained.mask(own.images[at]) for at in test])
    assert (found != stored).sum() <= 3
    by_tensor = trained(torch.from_numpy(own.images[test].transpose(0, 3, 1, 2).copy()))
    assert ((by_tensor[:, 0].numpy() >= 0.5) != stored).sum() <= 3


def test_pictures_of_any_size_come_back_at_that_size(trained: Trained) -> None:
    picture = np.asarray(Image.fromarray(datasets.load("synthetic", SIZE).images[0]).resize((70, 50)))
    found = trained.of(picture)
    assert (found.shape, found.dtype) == ((50, 70), np.float32)
    assert 0 <= found.min() < 0.5 < found.max() <= 1
    batch = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None]
    assert np.array_equal(trained(batch)[0, 0].numpy(), found)
    darker = (picture // 3 + 20).astype(np.uint8)  # scaled to its own range, as in training
    assert np.mean(trained.mask(darker) != (found >= 0.5)) < 0.02


@pytest.mark.parametrize("images", [torch.rand(1, 3, 32, 32), torch.zeros(3, 32, 32, dtype=torch.uint8)])
def test_what_is_no_picture_is_refused(trained: Trained, images: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="pictures are uint8"):
        trained(images)


@pytest.fixture(scope="module")
def predicted(home: Path, photographs: Path) -> tuple[Path, str]:
    """The folder that `predict` wrote of all photographs by both seeds, and what it said."""
    output = home / "output"
    code, said = command("predict", photographs, "--network", NETWORK, "--dataset", "synthetic", "--seeds", "all",
                         "--results", home / "results", "--output", output)  # fmt: skip
    assert code == 1, "three files are broken"
    return output, said


def test_every_photograph_gets_a_mask_of_its_size(predicted: tuple[Path, str], photographs: Path) -> None:
    output, said = predicted
    for broken in ("empty.jpg", "text.png", "cut.png"):
        assert f"{broken} cannot be read" in said
    table = pd.read_csv(output / "predictions.csv")
    assert list(table["name"]) == [*(f"photo{number}" for number in range(9)), "visit/photo4"]
    for row in table.itertuples():
        with Image.open(row.file) as file, Image.open(output / "masks" / f"{row.name}.png") as stored:
            turned = "visit" in row.name
            assert stored.mode == "1"
            assert stored.size == (row.width, row.height) == (file.size[::-1] if turned else file.size)
            mask = np.asarray(stored)
        assert row.area_share == pytest.approx(mask.mean())
        assert row.regions == ndimage.label(mask, np.ones((3, 3)))[1]
        assert 0 <= row.disagreement <= 1
        assert (output / "overlays" / f"{row.name}.jpg").exists()
    assert 3 < (table["regions"] > 0).sum() < 10
    assert table["disagreement"].max() > 0
    assert not list(output.rglob("*.partial"))


def test_an_orientation_is_obeyed(predicted: tuple[Path, str]) -> None:
    stored = [np.asarray(Image.open(predicted[0] / "masks" / f"{name}.png")) for name in ("photo4", "visit/photo4")]
    assert 0 < stored[0].mean() < 1
    assert np.array_equal(*stored)


def test_seeds_are_averaged_and_their_disagreement_drawn(
    predicted: tuple[Path, str], home: Path, photographs: Path
) -> None:
    runs = [run.folder / "weights.safetensors" for run in load_runs(home / "results").runs]
    from benchmarks.prediction.trained import load_file

    picture = Image.open(photographs / "photo2.png").convert("RGB")
    maps = np.stack([load_file(path, NETWORK, SIZE).of(picture) for path in runs])
    stored = np.asarray(Image.open(predicted[0] / "masks" / "photo2.png"))
    assert np.array_equal(stored, maps.mean(axis=0) >= 0.5)
    drawn = np.asarray(Image.open(predicted[0] / "disagreement" / "photo2.png"))
    assert np.abs(drawn / 510 - maps.std(axis=0)).max() < 1 / 255
    assert drawn.max() > 5


def test_mirror_images_give_mirrored_masks(home: Path, photographs: Path, predicted, tmp_path: Path) -> None:
    table = pd.read_csv(predicted[0] / "predictions.csv").set_index("name")
    chosen = table["area_share"].where(table["width"] > 60).idxmax()
    with Image.open(photographs / f"{chosen}.png") as image:
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / "mirrored.png")
    arguments = ("--network", NETWORK, "--dataset", "synthetic", "--results", home / "results")
    for name, flips in (("plain", ()), ("flips", ("--flips",))):
        pictures = (photographs / f"{chosen}.png", tmp_path / "mirrored.png")
        command("predict", *pictures, *arguments, *flips, "--no-overlays", "--output", tmp_path / name)
    kept = {
        name: [np.asarray(Image.open(tmp_path / name / "masks" / f"{each}.png")) for each in (chosen, "mirrored")]
        for name in ("plain", "flips")
    }
    assert kept["flips"][0].mean() > 0.02
    assert (kept["flips"][0] != np.fliplr(kept["flips"][1])).sum() <= 1
    assert (kept["plain"][0] != np.fliplr(kept["plain"][1])).sum() > 1, "the network is symmetric anyway"
    assert not (tmp_path / "plain" / "overlays").exists()
    assert "disagreement" in pd.read_csv(tmp_path / "plain" / "predictions.csv")


def test_names_that_meet_are_told_apart(tmp_path: Path) -> None:
    for path in ("a/x.png", "a/x.jpg", "b/x.png", "b/deep/x.PNG", "b/notes.txt"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    found = find([str(tmp_path / "a"), str(tmp_path / "b"), str(tmp_path / "a" / "*.png")])
    assert [each.name for each in found] == ["x", "x-png", "deep/x", "x-2"]
    assert len({each.path for each in found}) == 4


@pytest.mark.parametrize(("asked", "said"), [("none/*.jpg", "There is no file"), (".", "holds no picture")])
def test_nothing_to_predict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str, said: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RequestError, match=said):
        find([asked])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--weights", "x.safetensors"], "--weights goes with one --network"),
        (["--recipe", "paper"], "--recipe goes with --seeds"),
        (["--seeds", "7", "--network", NETWORK, "--dataset", "synthetic"], "--seeds 7: "),
        (["--network", "aulunet_v9"], "list networks"),
    ],
)
def test_requests_that_contradict_themselves(home: Path, photographs: Path, tmp_path: Path, options, said) -> None:
    with pytest.raises(RequestError, match=said):
        command("predict", photographs, "--output", tmp_path, "--results", home / "results", *options)


def blobs(seed: int) -> np.ndarray:
    return ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(40, 50)), 2) > 0.1


@pytest.mark.parametrize("mask", [blobs(0), blobs(1), np.ones((5, 7), bool), np.eye(9, dtype=bool), np.eye(1) > 0])
def test_the_largest_diameter_is_that_of_all_pairs_of_corners(mask: np.ndarray) -> None:
    labels, number = ndimage.label(mask, np.ones((3, 3)))
    largest = 1 + int(np.bincount(labels.ravel())[1:].argmax())
    corners = np.unique(
        [(y + a, x + b) for y, x in np.argwhere(labels == largest) for a in (0, 1) for b in (0, 1)], axis=0
    )
    expected = max(np.hypot(*(p - q)) for p, q in combinations(corners, 2))
    found = regions(mask)
    assert (found.number, found.largest_area) == (number, (labels == largest).sum())
    assert found.diameter == pytest.approx(expected)


def test_no_lesion_has_no_diameter() -> None:
    assert regions(np.zeros((4, 4), bool)).diameter == 0


def test_disagreement_is_of_pairs() -> None:
    maps = [np.float32([[1, 1], [0, 0]]), np.float32([[1, 0], [0, 0]]), np.float32([[0, 0], [0, 0]])]
    assert Opinions(maps).disagreement == pytest.approx(1 - np.mean([2 / 3, 0, 0]))
    assert Opinions(maps[2:] * 2).disagreement == 0
    assert np.allclose(Opinions(maps).spread(), np.std(maps, axis=0))


def test_members_of_several_sizes_are_averaged_at_the_photograph() -> None:
    ones, zeros = np.ones((4, 4), np.float32), np.zeros((8, 8), np.float32)
    assert np.allclose(Opinions([ones, zeros, zeros]).mean((5, 3)), 1 / 3)


def test_an_overlay_draws_the_edge_and_nothing_else() -> None:
    mask = np.zeros((60, 80), bool)
    mask[20:40, 20:50] = True
    drawn = np.asarray(overlay(np.full((30, 40, 3), 7, np.uint8), mask))
    changed = (drawn != 7).any(axis=-1)
    assert changed[10, 10:25].all()
    assert not changed[12:18, 12:23].any()
    assert not changed[:9].any()


@pytest.fixture(scope="module")
def exported(home: Path) -> Path:
    """The network as an ONNX file."""
    pytest.importorskip("onnxruntime")
    code, said = command("export", "--network", NETWORK, "--dataset", "synthetic", "--results", home / "results",
                         "--output", home / "exported")  # fmt: skip
    assert code == 0
    assert "batch and size may vary" in said
    assert " 0 of " in said, "pixels flipped"
    return home / "exported" / f"{NETWORK}-synthetic.onnx"


def test_an_exported_file_draws_the_same_masks(exported: Path, photographs: Path, home: Path, tmp_path: Path) -> None:
    by_torch = ("--network", NETWORK, "--dataset", "synthetic", "--results", home / "results")
    for name, options in (("torch", by_torch), ("onnx", ("--weights", exported))):
        assert command("predict", photographs, *options, "--output", tmp_path / name)[0] == 1
    names = [path.relative_to(tmp_path / "torch") for path in sorted((tmp_path / "torch").rglob("*.png"))]
    assert len(names) == 10
    for name in names:
        first, second = (np.asarray(Image.open(tmp_path / each / name)) for each in ("torch", "onnx"))
        assert np.array_equal(first, second), name


def test_an_exported_file_says_what_it_is(exported: Path, trained: Trained) -> None:
    member = onnx_file.OnnxMember(exported, 1)
    about = member.about
    assert (about.network, about.size, about.weights) == (NETWORK, SIZE, trained.sha256)
    assert about.dynamic == ("batch", "size")
    pictures = datasets.load("synthetic", 64).images[:3]
    wanted = trained.scored(torch.from_numpy(pictures.transpose(0, 3, 1, 2).copy()))[:, 0].numpy()
    assert 0.01 < (wanted >= 0.5).mean() < 0.99
    assert np.abs(member.probabilities(pictures) - wanted).max() < 1e-4


def test_a_file_that_does_not_do_the_same_is_not_kept(home, trained, tmp_path, monkeypatch) -> None:
    """No file is left where the two differ by more than is allowed."""
    pytest.importorskip("onnxruntime")
    from benchmarks.prediction import export

    monkeypatch.setattr(export, "EXACT", export.Tolerance(-1, 0))
    with pytest.raises(export.NotKept, match="was not kept: it does not do what aulunet_v3 does, on 3 pictures"):
        export.to_torch(trained, tmp_path / "x.pt2", datasets.load("synthetic", SIZE).images[:3] // 2)
    assert list(tmp_path.iterdir()) == []


def test_other_onnx_files_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    path = tmp_path / "other.onnx"
    path.write_bytes(b"not a graph")
    with pytest.raises(Damaged, match="it is no ONNX file that onnxruntime can run"):
        onnx_file.OnnxMember(path)


def test_the_card_of_an_earlier_format_is_refused(home: Path, tmp_path: Path) -> None:
    path = weights.folder(home / "results", "synthetic", NETWORK) / "config.json"
    content = read_json(path) | {"format": 2}
    (tmp_path / "config.json").write_text(json.dumps(content))
    with pytest.raises(Damaged, match="newer than this version reads"):
        weights.Card.read(tmp_path / "config.json")


def test_the_example_for_other_programs_draws_the_same_mask(exported: Path, photographs: Path, tmp_path: Path) -> None:
    script = Path(__file__).parents[1] / "examples" / "use_onnx.py"
    for name in ("photo0.png", "visit/photo4.png"):
        done = subprocess.run(
            [sys.executable, script, exported, photographs / name, tmp_path / "mask.png"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert "is lesion" in done.stdout
        command("predict", photographs / name, "--weights", exported, "--output", tmp_path)
        ours = np.asarray(Image.open(tmp_path / "masks" / Path(name).with_suffix(".png").name))
        assert np.array_equal(np.asarray(Image.open(tmp_path / "mask.png")), ours)


SHIPPED = [weights.read(place) for place in weights.places(Path(weights.__file__).parent)]


@pytest.mark.parametrize("shipped", SHIPPED, ids=lambda each: f"{each.card.network} on {each.card.dataset}")
def test_what_ships_is_whole_and_of_the_networks_of_today(shipped: weights.Shipped) -> None:
    card = shipped.card
    assert card.identity == identity(card.network)
    assert card.licence
    assert card.citation
    network = benchmarks.load(card.network, card.dataset)
    picture = datasets.load("synthetic", 128).images[3]
    assert network.of(picture).shape == (128, 128)
    assert min(card.validation_losses.values()) == card.validation_losses[str(card.seed)]
    text = (shipped.folder / "README.md").read_text()
    assert card_text(card, bibtex([card.network])) == text, "make the card again: python -m benchmarks weights"


def test_what_ships_is_small() -> None:
    assert len(SHIPPED) >= 6
    size = sum(path.stat().st_size for each in SHIPPED for path in each.folder.iterdir())
    assert size < 12e6
