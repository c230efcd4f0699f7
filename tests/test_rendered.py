"""The committed report is what the committed runs render to, and the committed runs say what their counts say."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reports import render
from results import store

ROOT = Path(__file__).parents[1]
RENDERED = ROOT / "reports" / "rendered"


@pytest.fixture(scope="module")
def committed(tmp_path_factory) -> Path:
    """A copy of results/ with what git tracks alone: a user's own runs are none of this test's business."""
    listed = subprocess.run(["git", "ls-files", "results"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("this is no git checkout")
    root = tmp_path_factory.mktemp("committed")
    for name in listed.stdout.splitlines():
        target = root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target)
    return root / "results"


@pytest.fixture(scope="module")
def rendered(committed, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("rendered")
    render.render(committed, output, set(render.FORMATS))
    return output


def text(path: Path) -> str:
    """A rendered text without its drawings, whose paths depend on the fonts and the version of the plot library."""
    return re.sub(r"<svg.*?</svg>", "<svg/>", path.read_text(encoding="utf-8"), flags=re.DOTALL)


def tracked() -> set[str]:
    listed = subprocess.run(
        ["git", "ls-files", "reports/rendered"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return {Path(name).name for name in listed.stdout.splitlines()}


def test_the_same_files_are_rendered(rendered):
    assert {path.name for path in rendered.iterdir()} == tracked()


def test_texts_are_the_same(rendered):
    names = [path.name for path in rendered.iterdir() if path.suffix in (".md", ".tex", ".csv", ".html")]
    assert len(names) > 10
    for name in names:
        assert text(rendered / name) == text(RENDERED / name), f"render again: python -m benchmarks report ({name})"


def test_figures_are_the_same_to_the_eye(rendered):
    names = [path.name for path in rendered.glob("*.png")]
    assert "figure2b.png" in names
    for name in names:
        small = []
        for folder in (rendered, RENDERED):
            with Image.open(folder / name) as picture:
                small.append(np.asarray(picture.convert("L").resize((96, 64)), dtype=float))
        assert np.abs(small[0] - small[1]).mean() < 4, name


def test_committed_runs_are_whole(committed):
    stored = store.load(committed)
    assert not stored.problems
    assert len(stored.runs) >= 18
    assert all(run.report["code"]["dirty"] is False for run in stored.runs)


def test_no_photograph_is_committed():
    """Predictions are 1-bit masks of ours; images and masks of the archive stay out."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    assert not [name for name in listed if name.lower().endswith((".jpg", ".jpeg", ".npy", ".zip"))]
    assert "data:image/jpeg" not in (RENDERED / "index.html").read_text(encoding="utf-8")
