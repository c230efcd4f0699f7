"""The import rule of the house: who may import whom."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("models", "baselines", "benchmarks", "results", "reports")
ALLOWED = {
    "models": {"models"},
    "baselines": {"baselines"},
    "benchmarks": {"benchmarks", "models", "baselines", "results"},
    "results": {"results"},
    "reports": {"reports", "results"},
}
FILES = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]


def imported(path: Path) -> set[str]:
    """Top-level names of all modules that a file imports, inside functions too."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(str(node.module).split(".")[0])
    return names


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_rooms_import_only_what_they_may(path):
    room = path.relative_to(ROOT).parts[0]
    allowed = ALLOWED[room] | ({"reports"} if path.is_relative_to(ROOT / "benchmarks" / "cli") else set())
    assert imported(path) & set(ROOMS) <= allowed


@pytest.mark.parametrize(
    "path", [path for path in FILES if path.parts[-2] in ("models", "baselines")], ids=lambda p: p.name
)
def test_networks_need_torch_and_the_standard_library_only(path):
    outside = imported(path) - set(sys.stdlib_module_names) - set(ROOMS)
    assert outside <= {"torch", "timm", "einops"}


@pytest.mark.parametrize(
    "path", [path for path in FILES if "reports" in path.parts or "results" in path.parts], ids=str
)
def test_readers_do_not_import_torch(path):
    assert not imported(path) & {"torch", "torchvision", "timm"}


def test_a_network_is_one_file_that_knows_no_other():
    shared = {"blocks", "drop_path", "selective_scan", "mamba", "channel_norm"}
    for path in sorted((ROOT / "baselines").glob("*.py")):
        text = path.read_text()
        others = {p.stem for p in (ROOT / "baselines").glob("*.py")} - shared - {path.stem}
        assert not any(f"from baselines.{other}" in text or f"import {other}" in text for other in others), path.name


def run_without(modules: list[str], code: str) -> subprocess.CompletedProcess:
    """Run Python code in a process in which importing these modules fails."""
    block = f"""
import sys
class Absent:
    def find_spec(self, name, *rest):
        if name.split(".")[0] in {modules!r}:
            raise ImportError("absent in this test: " + name)
sys.meta_path.insert(0, Absent())
"""
    return subprocess.run([sys.executable, "-c", block + code], cwd=ROOT, capture_output=True, text=True, check=False)


def test_training_imports_without_the_optional_libraries():
    absent = [
        "segmentation_models_pytorch",
        "timm",
        "fvcore",
        "thop",
        "pooch",
        "requests",
        "httpx",
        "matplotlib",
        "jinja2",
    ]
    done = run_without(
        absent,
        "import benchmarks.runner.local, benchmarks.networks.registry, benchmarks.datasets, benchmarks.runner.cost",
    )
    assert done.returncode == 0, done.stderr


def test_everything_imports_without_numba():
    """Training, measuring and reporting; torch then computes."""
    modules = "benchmarks.runner.local, benchmarks.runner.cost, benchmarks.measuring.training_speed, reports.render"
    check = "from benchmarks.training import engine; assert engine.installed() is None"
    done = run_without(["numba", "llvmlite"], f"import {modules}\n{check}")
    assert done.returncode == 0, done.stderr


def test_a_report_is_rendered_without_numba_and_torch(tmp_path):
    command = ["report", "--format", "md", "--output", str(tmp_path)]
    code = f"import sys; sys.argv[1:] = {command!r}; from benchmarks.__main__ import main; main()"
    done = run_without(["numba", "llvmlite", "torch"], code)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "table1.md").exists()


def test_the_command_line_starts_without_torch():
    done = run_without(["torch"], "import benchmarks.cli.app, benchmarks.datasets, reports.render")
    assert done.returncode == 0, done.stderr
