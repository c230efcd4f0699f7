"""Installed from a wheel, in an empty folder inside a user's repository: what is in it, and that it works there."""

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from benchmarks.measuring import live_counts
from results import files
from results.installation import version

ROOT = Path(__file__).parents[1]
PACKAGES = ("models", "baselines", "benchmarks", "results", "reports")
LEFT_OUT = (
    "results/runs/",
    "results/profiles/",
    "results/weights/",
    "results/checkpoints/",
    "results/accepted.csv",
    "reports/rendered/",
)
RUN = ["run", "--network", "aulunet_v3", "--seeds", "1", "--epochs", "1", "--size", "32", "--no-kernels"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like site-packages, with what the wheel holds. Built from a copy: setuptools leaves its own files."""
    copy = tmp_path_factory.mktemp("source")
    for name in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__", "runs", "rendered", "weights")
        shutil.copytree(ROOT / name, copy / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE", "lesion_benchmarks.py"):
        shutil.copy(ROOT / name, copy)
    code = "from setuptools import build_meta; build_meta.build_wheel('dist')"
    subprocess.run([sys.executable, "-c", code], cwd=copy, check=True, capture_output=True)
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(next(copy.glob("dist/*.whl"))) as wheel:
        wheel.extractall(folder)
    return folder


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """An empty folder in a repository of the user's own."""
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for words in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "a"]):
        subprocess.run([*git, *words], cwd=tmp_path, check=True)
    (tmp_path / "empty").mkdir()
    return tmp_path / "empty"


def command(site: Path, folder: Path, *arguments: str, code: int = 0, script: bool = False) -> str:
    """What a command of the installed package prints on both outputs; it must end with the exit code."""
    module = ["-c", "from lesion_benchmarks import main; main()"] if script else ["-m", "benchmarks"]
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(site), "HOME": str(folder.parent), "COLUMNS": "300"}
    environment["LESION_BENCHMARKS_CACHE"] = str(folder.parent / "cache")
    done = subprocess.run(
        [sys.executable, *(["-P"] if script else []), *module, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def test_it_carries_all_that_the_code_reads_and_no_runs(site: Path) -> None:
    here = [path for name in PACKAGES for path in (ROOT / name).rglob("*") if path.is_file()]
    names = {path.relative_to(ROOT).as_posix() for path in here if "__pycache__" not in path.parts}
    wanted = {name for name in names if not name.startswith(LEFT_OUT)} | {"lesion_benchmarks.py"}
    found = {path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file()}
    assert {name for name in found if ".dist-info/" not in name} == wanted
    scripts = next(site.glob("*.dist-info/entry_points.txt")).read_text().split()
    assert "lesion-benchmarks = lesion_benchmarks:main" in " ".join(scripts)


def test_the_quick_suite_runs_in_an_empty_folder(site: Path, repository: Path) -> None:
    said = command(site, repository, *RUN)
    assert said.splitlines()[0] == f"Results folder: {repository / 'results'}"
    folder = repository / "results/runs/synthetic/quick+epochs=1,size=32/aulunet_v3/seed-1"
    config, report = (json.loads((folder / name).read_text()) for name in ("config.json", "report.json"))
    assert config["code"] == report["code"] == {"version": version(), "commit": None, "dirty": None}
    assert sorted(path.name for path in repository.iterdir()) == ["results"]
    assert not list(site.rglob("runs"))
    assert "aulunet_v3" in command(site, repository, "list", "runs")  # results/ is in the way of no package


def test_check_and_report_show_the_published_numbers(site: Path, repository: Path) -> None:
    table = pd.read_csv(files.HOME / "complexity.csv").set_index("network")
    counts = {
        str(network): {str(column): int(row[column]) for column in table if column not in ("input", "notes")}
        for network, row in table.iterrows()
    }
    known = repository.parent / "cache" / "counts" / f"{live_counts.fingerprint()}.json"  # to count takes a minute
    files.write_json(known, {"counts": counts, "sha256": live_counts._digest(counts)})
    said = command(site, repository, "check")
    assert "0 of 87 published values" in said
    assert "it is what the code counts now" in said
    assert "Failures: 0\n" in said
    assert said.endswith(f"{repository / 'results'} holds no runs: only published numbers and counts can be shown.\n")
    assert list(repository.iterdir()) == []
    written = command(site, repository, "report", "--format", "md", "--verbose", script=True)
    assert "lesion-report/table1.md" in written.splitlines()
    assert "AULUNet" in (repository / "lesion-report" / "table1.md").read_text()


@pytest.mark.parametrize(
    ("made", "cure"),
    [
        ("models/__init__.py", "the command lesion-benchmarks, which does not look into this one"),
        ("results.py", "the command lesion-benchmarks, which does not look into this one"),
        ("reports/__init__.py", "the command lesion-benchmarks, which does not look into this one"),
    ],
)
def test_a_package_of_the_user_in_the_way_is_a_sentence(site: Path, repository: Path, made: str, cure: str) -> None:
    path = repository / made
    path.parent.mkdir(exist_ok=True)
    path.write_text("")
    said = command(site, repository, "--version", code=2)
    place = path.parent if path.name == "__init__.py" else path
    assert said.startswith(f"Error: {place} is in the way of this project's package '{place.stem}' in {site}; ")
    assert cure in said
    assert len(said.splitlines()) == 1
    assert command(site, repository, "--version", script=True) == f"lesion-benchmarks {version()}\n"


def test_the_script_says_where_a_foreign_benchmarks_lies(site: Path, repository: Path) -> None:
    (repository / "benchmarks").mkdir()
    (repository / "benchmarks" / "__init__.py").write_text("")
    code = "from lesion_benchmarks import main; main()"
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{repository}:{site}"}
    run = [sys.executable, "-P", "-c", code]
    done = subprocess.run(run, cwd=repository, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    place = repository / "benchmarks" / "__init__.py"
    assert done.stderr.startswith(f"Error: Python finds {place} in place of this project's package 'benchmarks'")
    assert len(done.stderr.splitlines()) == 1
