"""What runs keep beside their counts: masks in one file, probabilities in bins, and the distances of edges."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from skimage import metrics as skimage_metrics
from typer.testing import CliRunner

from benchmarks import datasets
from benchmarks.cli.app import app
from benchmarks.cli.session import Session
from reports.comparison.findings import Findings
from reports.figures.all import all_figures
from reports.tables.edges import edge_grids
from results import predictions, surface
from results.errors import Damaged, RequestError
from results.probabilities import BINS, EDGES, Probabilities, calibration_error, counts_at, reliability
from results.runs import load_runs
from tests import fake_runs

RUN = ["--dataset", "synthetic", "--network", "unext_s", "--recipe", "quick", "--size", "32", "--epochs", "2"]


def command(*arguments: object) -> str:
    done = CliRunner().invoke(app, list(map(str, arguments)), obj=Session(), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return " ".join(done.output.split())


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two trained seeds whose edges are measured."""
    pytest.importorskip("surface_distance")
    root = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LESION_BENCHMARKS_CACHE", str(tmp_path_factory.mktemp("cache")))
        command("run", *RUN, "--seeds", 2, "--results", root)
        command("surface", "--results", root)
        yield root


def test_masks_and_probabilities_give_the_counts(root: Path) -> None:
    own = datasets.load("synthetic", 32)
    truth = own.masks[own.split("paper").test] >= 128
    for run in load_runs(root).runs:
        masks = predictions.Masks(run).all()
        assert np.array_equal(fake_runs.counts_of(masks, truth), run.counts)
        spread = Probabilities.read(run.folder / "probabilities.csv").pixels
        assert np.array_equal(counts_at(spread, 0.5), run.counts)
        assert (counts_at(spread, 0.3)[:, 0] >= run.counts[:, 0]).all()
        assert 0 < calibration_error(spread.sum(axis=0)) < 1


def test_masks_take_about_a_hundred_bytes(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "masks.tif"
    masks = fake_runs.truth(size=128)
    predictions.write(path, masks)
    assert path.stat().st_size < 100 * len(masks)
    assert np.array_equal(predictions.read(path, len(masks), 128), masks)


@pytest.mark.parametrize("spoil", [lambda path: path.write_bytes(path.read_bytes()[:60]), lambda path: path.unlink()])
def test_damaged_masks_are_named(tmp_path: Path, spoil) -> None:
    path = tmp_path / "predictions.tif"
    predictions.write(path, fake_runs.truth())
    spoil(path)
    with pytest.raises(Damaged, match=r"predictions\.tif"):
        predictions.read(path, fake_runs.IMAGES, fake_runs.SIZE)


def test_masks_of_another_number_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "predictions.tif"
    predictions.write(path, fake_runs.truth())
    with pytest.raises(Damaged, match="not 39 masks of 64 x 64"):
        predictions.read(path, 39, 64)


def test_a_calibrated_network_has_no_error() -> None:
    """Pixels whose probability is the middle of its bin, and as many of them lesion as it says."""
    middle = (np.array(EDGES[:-1]) + np.array(EDGES[1:])) / 2
    lesion = np.round(middle * 10**6).astype(np.int64)
    assert calibration_error(np.stack([10**6 - lesion, lesion])) < 1e-6
    sure = np.zeros((2, BINS), np.int64)
    sure[0, -1] = 100  # skin that is taken for lesion with certainty
    assert calibration_error(sure) == pytest.approx(0.9995)
    assert np.isnan(reliability(sure)[1][0])


def test_distances_are_those_of_a_second_library() -> None:
    """scikit-image measures between pixels of the edge, surface-distance between the lines between pixels."""
    from benchmarks.measuring.surface import distances

    truth = fake_runs.truth(size=64)[:8]
    for k, mask in enumerate(truth):
        moved = ndimage.shift(mask.astype(float), (3, -2), order=0) > 0.5
        edges = [each & ~ndimage.binary_erosion(each) for each in (mask, moved)]
        hd95, assd, f1 = distances(moved, mask)
        assert hd95 == pytest.approx(skimage_metrics.hausdorff_distance(*edges), abs=1.0)
        far = [ndimage.distance_transform_edt(~edges[1 - side])[edges[side]] for side in (0, 1)]
        assert assd == pytest.approx(np.concatenate(far).mean(), abs=0.35)
        assert f1 == pytest.approx(np.mean([(each <= 2).mean() for each in far]), abs=0.1), k


def test_masks_without_an_edge() -> None:
    from benchmarks.measuring.surface import distances

    empty, full = np.zeros((30, 40), bool), np.ones((30, 40), bool)
    assert distances(empty, empty) == (0, 0, 1)
    assert distances(empty, full) == (50, 50, 0)
    assert distances(full, full)[2] == 1


def test_the_report_shows_edges_and_calibration(root: Path) -> None:
    findings = Findings.load(root)
    (grid,) = edge_grids(findings)
    (row,) = grid.rows
    cells = {column.key: cell for column, cell in zip(grid.columns, row.cells, strict=True)}
    measured = [surface.read(run.folder).distances for run in load_runs(root).runs]
    assert cells["hd95"].sort == pytest.approx(np.mean([each["hd95"].mean() for each in measured]))
    assert cells["seeds"].text == "2"
    assert float(cells["iou_at_0.3"].text.split()[0]) > 0
    assert any("surface-distance 0." in note for note in grid.notes)
    assert all_figures(findings, None).pictures["reliability"][0].svg


def test_what_was_measured_once_is_not_measured_again(root: Path) -> None:
    files = sorted(root.rglob("surface.json"))
    assert len(files) == 2
    before = [path.stat().st_mtime_ns for path in files]
    command("surface", "--results", root)
    assert [path.stat().st_mtime_ns for path in files] == before


def test_changed_distances_and_probabilities_are_named(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "results")
    (first, second) = sorted((tmp_path / "results").rglob("report.json"))
    path = first.with_name("surface.csv")
    path.write_text(path.read_text().replace(",0.", ",1.", 1))
    probabilities = second.with_name("probabilities.csv")
    probabilities.write_text(probabilities.read_text()[:-3] + "9\n")
    said = "\n".join(map(str, Findings.load(tmp_path / "results").evidence.problems))
    assert "surface.csv: it is not the file of which surface.json holds the SHA-256" in said
    assert "probabilities.csv: it is not the file of which report.json holds the SHA-256" in said


def test_nothing_to_measure(tmp_path: Path) -> None:
    pytest.importorskip("surface_distance")
    fake_runs.write_run(tmp_path)
    with pytest.raises(RequestError, match=r"holds no finished run with predictions\.tif"):
        command("surface", "--results", tmp_path)
