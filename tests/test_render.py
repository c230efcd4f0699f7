"""Rendering: all files, without torch, the same bytes every time, nothing half-written."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from reports.render import FORMATS, render
from results.errors import RequestError
from tests import fake_runs

HOME = Path(__file__).resolve().parents[1]
WITHOUT_TORCH = """
import sys
from importlib.abc import MetaPathFinder
from pathlib import Path

class Refuse(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "benchmarks", "timm"):
            raise ImportError(f"{name} must not be imported here")

sys.meta_path.insert(0, Refuse())
from reports.render import FORMATS, render
from tests import fake_runs
render(Path(sys.argv[1]), Path(sys.argv[2]), set(FORMATS), fake_runs.pictures)
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("results")
    fake_runs.write_suite(root, {"unet": 0.8, "aulunet_v3": 0.9}, seeds=2, masks=12)
    fake_runs.write_complexity(root)
    fake_runs.write_profile(root)
    return root


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_everything_renders_without_torch_and_with_the_same_bytes_elsewhere(root: Path, tmp_path: Path) -> None:
    written = render(root, tmp_path / "here", set(FORMATS), fake_runs.pictures)
    here = contents(tmp_path / "here")
    assert sorted(path.name for path in written) == sorted(here)
    tables = {f"table{k}.{suffix}" for k in (1, 2, 3) for suffix in ("md", "tex", "csv")}
    drawn = {f"figure2{panel}.{suffix}" for panel in "ab" for suffix in ("svg", "png")}
    assert tables | drawn | {"index.html", "predictions-isic2018-paper.jpg"} <= set(here)
    assert all(here.values())

    command = [sys.executable, "-c", WITHOUT_TORCH, str(root), str(tmp_path / "there")]
    environment = {**os.environ, "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"}
    done = subprocess.run(command, cwd=HOME, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    there = contents(tmp_path / "there")
    assert sorted(there) == sorted(here)
    assert [name for name in here if here[name] != there[name]] == []


def test_only_the_wanted_formats_are_written(root: Path, tmp_path: Path) -> None:
    written = render(root, tmp_path, {"csv"})
    assert written
    assert {path.suffix for path in written} == {".csv"}


def test_unknown_format_is_refused_before_anything_is_written(root: Path, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no format 'pdf'"):
        render(root, tmp_path / "rendered", {"md", "pdf"})
    assert not (tmp_path / "rendered").exists()
