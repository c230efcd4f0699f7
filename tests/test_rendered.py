"""The committed report is what the committed runs render to, and the committed runs say what their counts say."""

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reports import render
from results.runs import load_runs

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """The files that git tracks, as it tracks them: a user's own runs and renderings are of no concern here."""
    inside = subprocess.run(["git", "rev-parse", "--git-dir"], cwd=ROOT, capture_output=True, check=False)
    if inside.returncode != 0:
        pytest.skip("this is no git checkout")
    folder = tmp_path_factory.mktemp("checkout")
    subprocess.run(["git", "checkout-index", "--all", f"--prefix={folder}/"], cwd=ROOT, check=True)
    return folder


@pytest.fixture(scope="module")
def committed(checkout) -> Path:
    return checkout / "results"


@pytest.fixture(scope="module")
def shown(checkout) -> Path:
    return checkout / "reports" / "rendered"


@pytest.fixture(scope="module")
def rendered(committed, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("rendered")
    render.render(committed, output, set(render.FORMATS))
    return output


def text(path: Path) -> str:
    """A rendered text without its drawings, whose paths depend on the fonts and the version of the plot library."""
    return re.sub(r"<svg.*?</svg>", "<svg/>", path.read_text(encoding="utf-8"), flags=re.DOTALL)


def test_the_same_files_are_rendered(rendered, shown):
    assert {path.name for path in rendered.iterdir()} == {path.name for path in shown.iterdir()}


def test_the_page_is_under_a_megabyte_at_first_load(shown):
    assert (shown / "index.html").stat().st_size < 1e6


def test_texts_are_the_same(rendered, shown):
    names = [path.name for path in rendered.iterdir() if path.suffix in (".md", ".tex", ".csv", ".html")]
    assert len(names) > 10
    for name in names:
        assert text(rendered / name) == text(shown / name), f"render again: python -m benchmarks report ({name})"


def test_figures_are_the_same_to_the_eye(rendered, shown):
    names = [path.name for path in rendered.glob("*.png")]
    assert "figure2b.png" in names
    for name in names:
        small = []
        for folder in (rendered, shown):
            with Image.open(folder / name) as picture:
                small.append(np.asarray(picture.convert("L").resize((96, 64)), dtype=float))
        assert np.abs(small[0] - small[1]).mean() < 4, name


def test_committed_runs_are_whole(committed):
    stored = load_runs(committed)
    assert not stored.problems
    assert len(stored.runs) >= 18
    assert all(run.report.code.dirty is False for run in stored.runs)


def test_no_photograph_is_committed(checkout, shown):
    """Predictions are 1-bit masks of ours; images and masks of the archive stay out."""
    assert not [path for path in checkout.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".npy", ".zip")]
    assert "data:image/jpeg" not in (shown / "index.html").read_text(encoding="utf-8")
