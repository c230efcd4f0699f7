"""Figures: names keep clear of each other, files are the same every time, damaged histories and masks are named."""

import hashlib
import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from reports.comparison.findings import Findings
from reports.comparison.join import Block
from reports.evidence import load_everything
from reports.figures import curves as learning
from reports.figures.all import all_figures
from reports.figures.curves import _common_limits, curves, histories
from reports.figures.figure2 import by_parameters, figure2
from reports.figures.intervals import intervals, lines
from reports.figures.labels import MARK, Name, write_names
from reports.figures.latency import latency, pareto
from reports.figures.picture import cut, fold_words
from reports.figures.predictions import (
    BY_HASH,
    COLOURS,
    STRENGTH,
    TILE,
    _judged,
    _lines,
    choose,
    disagreement,
    mask_tile,
    photo_tile,
    predictions,
)
from reports.figures.scatter import Mark
from reports.figures.style import NAME_SIZE, PANEL, style
from results.errors import RequestError
from results.metrics import metric_named
from results.predictions import Masks, write
from results.published import published_table
from results.runs import load_runs
from tests import fake_runs

SKILLS = {"unet": 0.8, "malunet": 0.84, "aulunet_v3": 0.88}


@pytest.fixture
def block(tmp_path: Path) -> Block:
    """Table 1 on ISIC2018 with three networks of two seeds each, masks of twelve images, counts."""
    fake_runs.write_suite(tmp_path, SKILLS, seeds=2, masks=12)
    fake_runs.write_complexity(tmp_path)
    return block_of(tmp_path)


def block_of(root: Path, dataset: str = "isic2018") -> Block:
    found = Findings.load(root).tables["table1"].blocks
    return next(each for each in found if each.dataset == dataset)


def cluster() -> list[Name]:
    """Thirteen names on the spot where the small networks stand."""
    rng = np.random.default_rng(0)
    return [Name(f"Network-{k}", *spot) for k, spot in enumerate(zip(*rng.uniform(0.4, 0.5, (2, 13)), strict=True))]


def published(dataset: str) -> list[Name]:
    rows = published_table("table1").query("dataset == @dataset")
    return [Name(row.label, np.log10(row.params_m), row.iou) for row in rows.itertuples()]


@pytest.mark.parametrize(
    "names", [published("isic2017"), published("isic2018"), cluster()], ids=["2017", "2018", "crowd"]
)
def test_names_cover_neither_names_nor_marks(names: list[Name]) -> None:
    with style():
        figure = Figure(figsize=PANEL)
        ax = figure.add_axes((0.1, 0.1, 0.8, 0.8))
        x, y = np.array([(name.x, name.y) for name in names]).T
        ax.set(xlim=(x.min() - 0.8, x.max() + 0.8), ylim=(y.min() - 1, y.max() + 1))
        marks = [(name.x, name.y) for name in names]
        texts = write_names(ax, names, marks, [], NAME_SIZE, "black")
        boxes = [text.get_window_extent() for text in texts]
        frame = ax.get_window_extent()
    for first, second in itertools.combinations(boxes, 2):
        assert not first.overlaps(second)
    for box, spot in itertools.product(boxes, ax.transData.transform(marks)):
        half = 0.9 * MARK * figure.dpi / 72
        assert not (
            box.x0 < spot[0] + half and box.x1 > spot[0] - half and box.y0 < spot[1] + half and box.y1 > spot[1] - half
        )
    for box in boxes:
        assert (max(frame.x0, box.x0), min(frame.x1, box.x1)) == (box.x0, box.x1)
        assert (max(frame.y0, box.y0), min(frame.y1, box.y1)) == (box.y0, box.y1)


def test_pareto_front_holds_those_that_no_other_beats() -> None:
    marks = [Mark(x, y, None) for x, y in ((1, 70), (2, 80), (2, 75), (3, 79), (4, 85), (5, 85))]
    assert [(mark.x, mark.iou) for mark in pareto(marks)] == [(1, 70), (2, 80), (4, 85)]


def test_figure_2_is_the_same_twice_and_carries_no_date(block: Block) -> None:
    first, second = (figure2(block, "figure2b", "Figure 2 (b)") for _ in range(2))
    assert first is not None
    assert first == second
    assert "date" not in first.svg.lower()
    assert first.png.startswith(b"\x89PNG")


def test_figure_2_without_runs_shows_what_was_published_and_says_so(tmp_path: Path) -> None:
    drawn = figure2(block_of(tmp_path), "figure2b", "Figure 2 (b)")
    assert drawn is not None
    assert "Nothing is measured yet" in drawn.caption
    assert "highest published mIoU is 82.44 % (AULUNet-v3)" in drawn.alt


def test_measured_marks_take_our_counts_and_published_marks_the_published_ones(block: Block) -> None:
    row = next(row for row in block.rows if row.network == "malunet")
    pair = by_parameters(row, reference_only=False)
    assert pair.published is not None
    assert pair.measured is not None
    assert (pair.published.x, pair.measured.x) == (0.175, 0.177943)
    assert pair.measured.iou == pytest.approx(100 * np.mean([run.metrics["iou"] for run in row.runs]))


def test_published_numbers_of_another_data_set_are_not_drawn(tmp_path: Path) -> None:
    fake_runs.write_run(tmp_path, dataset="synthetic", recipe="quick", network="unet")
    synthetic = block_of(tmp_path, "synthetic")
    assert all(by_parameters(row, synthetic.reference_only).published is None for row in synthetic.rows)


def test_figures_draw_what_the_comparison_holds(block: Block, tmp_path: Path) -> None:
    """Every drawn number is the one that the tables show, and nothing is taken from a written cell."""
    findings = Findings.load(tmp_path)
    runs = findings.run_block("isic2018", "paper")
    assert runs is not None
    interval = {each.network: each for each in runs.intervals(metric_named("iou"))}
    rows = {row.marked_label: row for row in block.rows if row.runs}
    drawn = lines(block, runs)
    assert [line.label for line in drawn] == list(rows)
    for line in drawn:
        row = rows[line.label]
        claim, pair = row.comparisons["iou"], by_parameters(row, block.reference_only)
        assert claim.measured is not None
        assert pair.published is not None
        assert pair.measured is not None
        assert (line.low, line.high) == (interval[row.network].low, interval[row.network].high)
        assert line.mean == pytest.approx(claim.measured.mean, abs=1e-12)
        assert (line.published, line.tolerance) == (claim.published, claim.tolerance)
        assert sorted(line.seeds) == sorted(run.metrics["iou"] for run in row.runs)
        assert (pair.measured.iou, pair.published.iou) == (100 * claim.measured.mean, 100 * claim.published)
        assert pair.measured.sd == 100 * claim.measured.sd
        assert (pair.published.x, pair.measured.x) == (row.counts["params_m"].published, row.counts["params_m"].counted)
        assert (pair.published.gflops, pair.measured.gflops) == (
            row.counts["gflops"].published,
            row.counts["gflops"].counted,
        )


def test_intervals_of_other_data_carry_no_published_number(tmp_path: Path) -> None:
    fake_runs.write_suite(tmp_path, {"unet": 0.8}, seeds=2, dataset="synthetic", recipe="quick")
    synthetic, runs = block_of(tmp_path, "synthetic"), Findings.load(tmp_path).run_block("synthetic", "quick")
    assert runs is not None
    assert [line.published for line in lines(synthetic, runs)] == [None]
    drawn = intervals(synthetic, runs, "intervals", "Intervals")
    assert drawn is not None
    assert "published" not in drawn.caption
    assert intervals(synthetic, None, "intervals", "Intervals") is None


def test_latency_is_drawn_for_profiled_networks_with_the_machine_in_words(block: Block, tmp_path: Path) -> None:
    fake_runs.write_profile(tmp_path, networks=("unet", "aulunet_v3"))
    (profile,) = load_everything(tmp_path).profiles
    drawn = latency(block, profile, "cpu", "latency", "Latency")
    assert drawn is not None
    assert "quiet-box" in drawn.caption
    assert "2 threads" in drawn.caption
    assert drawn.alt.startswith("Scatter plot of 2 networks")
    assert latency(block, profile, "cuda", "latency", "Latency") is None


def test_damaged_history_is_named_and_the_others_are_drawn(block: Block) -> None:
    damaged = block.rows[0].runs[0].folder / "history.csv"
    damaged.write_text("epoch,train_loss\n1,0.5\n")
    found, problems = learning.histories(block)
    assert [problem.path for problem in problems] == [damaged]
    assert "run this cell again" in problems[0].cure
    assert len(found) == len(SKILLS)
    assert learning.curves(found, "curves", "Learning curves") is not None


def test_long_histories_are_averaged_in_parts(tmp_path: Path) -> None:
    folder = fake_runs.write_run(tmp_path, network="unet", epochs=230)
    (history,), _ = learning.histories(Block("isic2018", "paper", "", [r for r in block_of(tmp_path).rows if r.runs]))
    losses = load_runs(tmp_path).runs[0].history()["validation_loss"].to_numpy()
    mean, low, high = history.values["validation_loss"]
    assert folder.is_dir()
    assert len(history.epoch) == len(mean) == learning.POINTS
    assert (low.min(), high.max()) == (losses.min(), losses.max())
    assert mean[0] == pytest.approx(losses[:3].mean())


def test_qualitative_images_are_chosen_by_hash_and_by_disagreement(block: Block) -> None:
    rows, ids = [row for row in block.rows if row.runs], set(fake_runs.ids()[:12])
    choices = choose(rows, ids)
    by_hash = sorted(ids, key=lambda name: hashlib.sha256(name.encode()).hexdigest())[:BY_HASH]
    assert [choice.id for choice in choices[:BY_HASH]] == by_hash
    spread = {}
    for name in ids - set(by_hash):
        means = []
        for row in rows:
            counts = [run.per_image.loc[name] for run in row.runs]
            means.append(np.mean([c.tp / (c.tp + c.fp + c.fn) for c in counts]))
        spread[name] = np.std(means)
    assert [choice.id for choice in choices[BY_HASH:]] == sorted(spread, key=spread.__getitem__)[::-1][:3]
    assert disagreement(rows)[choices[-1].id] == pytest.approx(spread[choices[-1].id])


def test_qualitative_figure_is_drawn_and_a_damaged_mask_is_named(block: Block) -> None:
    drawn, problems = predictions(block, fake_runs.pictures, "predictions", "Predictions")
    assert drawn is not None
    assert problems == []
    assert drawn == predictions(block, fake_runs.pictures, "predictions", "Predictions")[0]
    run = next(row for row in block.rows if row.network == "malunet").runs[0]
    whole = {mask: mask.read_bytes() for mask in (run.folder / "masks").glob("*.png")}
    for spoil in (lambda png: png[:40], lambda png: png[:11] + b"\0" + png[12:]):  # which Pillow refuses differently
        for mask, content in whole.items():
            mask.write_bytes(spoil(content))
        smaller, problems = predictions(block, fake_runs.pictures, "predictions", "Predictions")
        assert smaller is not None
        assert problems[0].path.parent == run.folder / "masks"
        assert smaller.jpeg != drawn.jpeg


def test_right_and_wrong_pixels_have_their_colours(block: Block) -> None:
    """Truth on the left three quarters, prediction on the right ones, on a grey photograph."""
    photo = np.full((TILE, TILE, 3), 100, np.uint8)
    x = np.arange(TILE)[None].repeat(TILE, axis=0)
    truth, predicted = x < 0.75 * TILE, x >= 0.25 * TILE
    run = next(row for row in block.rows if row.runs).runs[0]
    tile = np.asarray(_judged(photo, truth, predicted, run, fake_runs.ids()[0])).astype(float)
    rows = slice(10, TILE - 30)  # without the contour above and the number below
    grey = 0.8 * 100 + 40
    seen = {"false negative": x < 20, "true positive": (x > 60) & (x < 90), "false positive": (x > 120) & (x < 140)}
    for case, where in seen.items():
        expected = grey + (np.array(COLOURS[case]) - grey) * STRENGTH[case]
        pixels = tile[rows][where[rows]]
        coloured = np.abs(pixels - expected).max(axis=1) <= 1
        left = np.abs(pixels - grey).max(axis=1) <= 1
        assert (coloured | left).all(), case
        assert coloured.mean() == pytest.approx(4 / 6 if case == "false negative" else 1, abs=0.03), case


@pytest.mark.parametrize("whole", [False, True], ids=["pictures", "one file"])
def test_the_sheet_puts_each_mask_beside_its_own_photograph(block: Block, tmp_path: Path, whole: bool) -> None:
    """Of a network that predicts the truth, no tile has a wrong pixel."""
    folder = fake_runs.write_run(tmp_path / "perfect", network="malunet", skill=1.0, masks=0 if whole else 12)
    if whole:
        write(folder / "predictions.tif", fake_runs.truth())
    (row,) = (row for row in block_of(tmp_path / "perfect").rows if row.runs)
    choices = choose([row], set(fake_runs.ids()[:12]))
    pictures = fake_runs.pictures("isic2018", [choice.id for choice in choices])
    lines, problems = _lines([(row, Masks(row.runs[0]))], choices, pictures)
    assert problems == []
    assert [name for name, _ in lines][:2] == ["Photograph", "Truth"]
    for choice, tile in zip(choices, lines[2][1], strict=True):
        photo, mask = pictures[choice.id]
        again = _judged(photo_tile(photo), mask_tile(mask), mask_tile(mask), row.runs[0], choice.id)
        assert np.array_equal(np.asarray(tile), np.asarray(again))


def test_qualitative_figure_without_masks_or_photographs(tmp_path: Path, block: Block) -> None:
    with pytest.raises(RequestError, match="prepare it again"):
        predictions(block, lambda dataset, ids: {}, "predictions", "Predictions")
    fake_runs.write_run(tmp_path / "bare", network="unet", masks=0)
    assert predictions(block_of(tmp_path / "bare"), fake_runs.pictures, "p", "P") == (None, [])


def test_masks_of_another_size_than_the_photograph_still_fit(block: Block) -> None:
    def large(array: np.ndarray) -> np.ndarray:
        return np.asarray(Image.fromarray(array).resize((256, 256)))

    def photographs(dataset: str, ids: list[str]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        return {name: (large(photo), large(truth)) for name, (photo, truth) in fake_runs.pictures(dataset, ids).items()}

    assert predictions(block, photographs, "predictions", "Predictions")[0] is not None


def test_words_that_would_be_cut_are_folded() -> None:
    """A title longer than its figure goes on two lines, a word that is longer still becomes smaller."""
    for words in (
        "Calibration of every network on a data set with a long name",
        "Calibration-of-every-network-on-one-data-set",
    ):
        figure = Figure(figsize=(2.4, 1.5))
        figure.text(0.02, 0.9, words, va="top", fontsize=8, fontweight="bold")
        assert cut(figure)
        fold_words(figure)
        assert not cut(figure), words


def test_no_figure_of_the_report_cuts_a_word(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looked at when it is saved, names of many letters included."""
    left = []
    save = Figure.savefig

    def looked_at(figure, *arguments, **options):
        left.extend(text.get_text() for text in cut(figure))
        return save(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", looked_at)
    fake_runs.write_suite(tmp_path, SKILLS, recipe="paper+augmentation=colour_flips,epochs=30,size=128", seeds=1)
    fake_runs.write_complexity(tmp_path)
    fake_runs.write_profile(tmp_path, networks=tuple(SKILLS))
    all_figures(Findings.load(tmp_path), None)
    assert left == []


def test_a_training_loss_of_its_own_kind_has_its_own_axis(tmp_path: Path) -> None:
    """EGE-UNet's, beside others: it does not widen their axis and is not drawn on it."""
    for network in ("ege_unet", "malunet"):
        folder = fake_runs.write_run(tmp_path, network=network)
        if network == "ege_unet":
            table = pd.read_csv(folder / "history.csv")
            table["train_loss"] += 50
            table.to_csv(folder / "history.csv", index=False)
    found, _ = histories(block_of(tmp_path))
    both, alone = curves(found, "both", "Both"), curves([each for each in found if each.own_loss], "alone", "Alone")
    assert "EGE-UNet: five further maps" in both.caption
    assert "another kind" not in alone.caption
    limits = [_common_limits(each)[0] for each in (found, [each for each in found if each.own_loss])]
    assert limits[0][1] < 5 < 50 < limits[1][1]
