"""Where this package lies, where its commands write, and what is said when another package is in the way."""

import sys
from pathlib import Path

import pytest

from benchmarks.cli import foreign
from results import installation
from results.installation import report_folder, results_root, version

ROOT = Path(__file__).parents[1]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As if installed from a wheel; the working folder, which is empty."""
    monkeypatch.delenv(installation.ENVIRONMENT, raising=False)
    monkeypatch.setattr(installation, "FOLDER", tmp_path / "site-packages")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def test_a_checkout_keeps_its_own_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(installation.ENVIRONMENT, raising=False)
    monkeypatch.chdir(tmp_path)  # wherever one is
    assert results_root() == ROOT / "results"
    assert report_folder() == ROOT / "reports" / "rendered"


def test_an_installed_package_writes_into_the_working_folder(installed: Path) -> None:
    assert results_root() == installed / "results"
    assert report_folder() == installed / "lesion-report"


def test_the_option_goes_before_the_environment_and_that_before_the_rest(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.setenv(installation.ENVIRONMENT, "~/numbers")
    assert results_root() == Path("/home/someone/numbers")
    assert results_root(Path("here")) == Path("here")
    assert results_root(Path("~/here")) == Path("/home/someone/here")
    monkeypatch.setenv(installation.ENVIRONMENT, "")
    assert results_root() == installed / "results"


@pytest.mark.parametrize(
    "content", ["[project", "[tool.x]\n", "project = 3\n", '[project]\nname = "other"\nversion = "1"\n', "\xff"]
)
def test_beside_another_projects_file_it_is_no_checkout(installed: Path, content: str) -> None:
    installation.FOLDER.mkdir()
    (installation.FOLDER / "pyproject.toml").write_bytes(content.encode("latin-1"))
    assert installation.checkout() is None
    assert results_root() == installed / "results"


def test_the_version_of_a_checkout_is_that_of_its_file(installed: Path) -> None:
    installation.FOLDER.mkdir()
    (installation.FOLDER / "pyproject.toml").write_text('[project]\nname = "lesion-benchmarks"\nversion = "9.8.7"\n')
    assert version() == "9.8.7"
    assert installation.checkout() == installation.FOLDER


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that Python looks into first."""
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    return tmp_path


@pytest.mark.parametrize("made", ["foreign_one/__init__.py", "foreign_one.py", "foreign_one/data.txt"])
def test_what_is_in_the_way_is_named_with_its_cure(elsewhere: Path, made: str) -> None:
    """A package, a module, and a folder without Python files, which Python takes for a package too."""
    path = elsewhere / made
    path.parent.mkdir(exist_ok=True)
    path.write_text("")
    place = elsewhere / made.split("/")[0]
    said = foreign.in_the_way(["foreign_one"], elsewhere / "ours")
    assert said is not None
    assert said.startswith(f"{place} is in the way of this project's package 'foreign_one' in {elsewhere / 'ours'}; ")
    assert said.endswith("; rename or uninstall it, or install lesion-benchmarks in a virtual environment of its own.")
    assert foreign.in_the_way(["foreign_one"], elsewhere) is None or path.suffix == ".py" == place.suffix


def test_the_working_folder_has_a_cure_of_its_own(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(elsewhere)
    (elsewhere / "foreign_two.py").write_text("")
    assert "or use the command lesion-benchmarks" in str(foreign.in_the_way(["foreign_two"], elsewhere / "ours"))


def test_a_missing_package_asks_for_another_installation(elsewhere: Path) -> None:
    said = foreign.in_the_way(["foreign_three"], elsewhere)
    assert said == (
        f"The package 'foreign_three' is not in {elsewhere}; type pip install --force-reinstall lesion-benchmarks."
    )


def test_here_nothing_is_in_the_way() -> None:
    assert foreign.in_the_way() is None
