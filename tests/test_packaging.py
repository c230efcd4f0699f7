"""What is shipped besides code: types, data files, and exact versions for those who want the same environment."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCK = (ROOT / "requirements.lock").read_text()
PACKAGES = ("models", "baselines", "benchmarks", "results", "reports")


def direct() -> list[Requirement]:
    """Every dependency that pyproject.toml names, of all extras."""
    project = PROJECT["project"]
    texts = [*project["dependencies"], *(each for extra in project["optional-dependencies"].values() for each in extra)]
    return [Requirement(text) for text in texts if not text.startswith(project["name"])]


@pytest.mark.parametrize("requirement", direct(), ids=lambda requirement: requirement.name)
def test_the_lock_holds_a_version_that_every_dependency_allows(requirement):
    """Made again by the command in CONTRIBUTING.md after a dependency changes."""
    locked = re.findall(rf"^{re.escape(requirement.name)}==(\S+)", LOCK, flags=re.MULTILINE)
    assert locked, f"requirements.lock lacks {requirement.name}; make it again"
    assert all(requirement.specifier.contains(version) for version in locked)


def test_the_lock_is_exact_hashed_and_names_no_index():
    entries = re.findall(r"^[a-z0-9][^\n]*(?:\\\n[^\n]*)+", LOCK, flags=re.MULTILINE)
    assert len(entries) > len(direct())
    assert all("==" in entry and "--hash=sha256:" in entry for entry in entries)
    assert not re.search(r"https?:|index-url|find-links", LOCK.split("\n", 2)[2])


def test_the_lock_is_made_as_contributing_says():
    command = LOCK.splitlines()[1].lstrip("# ")
    assert command in (ROOT / "CONTRIBUTING.md").read_text()


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_is_typed_and_says_so(package):
    assert (ROOT / package / "py.typed").exists()


def test_files_that_are_no_code_are_shipped():
    """Each data file matches a pattern of pyproject.toml, except results of a machine and what the report renders."""
    patterns = PROJECT["tool"]["setuptools"]["package-data"]
    shipped = {path for package, found in patterns.items() for pattern in found for path in matching(package, pattern)}
    kept = {"runs", "rendered", "profiles", "weights", "checkpoints", "accepted.csv", "__pycache__"}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*"):
            if path.is_file() and path.suffix not in (".py", ".pyc") and not kept & set(path.parts):
                assert path in shipped, path.relative_to(ROOT)


def matching(package: str, pattern: str) -> list[Path]:
    """The files of one pattern of package-data; "*" stands for all packages."""
    folders = [ROOT / name for name in PACKAGES] if package == "*" else [ROOT / package.replace(".", "/")]
    return [path for folder in folders for path in folder.glob(pattern)]
