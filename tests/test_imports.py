"""Who may import whom: the contracts of pyproject.toml, and what import-linter cannot say."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

ROOT = Path(__file__).parents[1]
PACKAGES = ("models", "baselines", "benchmarks", "results", "reports")
NETWORKS = [path for package in ("models", "baselines") for path in sorted((ROOT / package).glob("*.py"))]


def imported(path: Path) -> set[str]:
    """Top-level names of all modules that a file imports, inside functions too."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(str(node.module).split(".")[0])
    return names


def test_the_contracts_of_who_may_import_whom_are_kept(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    status = lint_imports(config_filename="pyproject.toml", no_cache=True, no_logo=True)
    assert status == 0, capsys.readouterr().out


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("models/aulunet.py", "import results.errors", "networks"),
        ("baselines/unet.py", "import models.aulunet", "networks-apart"),
        ("results/cell.py", "import torch", "results"),
        ("reports/render.py", "def f():\n    import benchmarks.machine", "reports"),
        ("reports/render.py", "from torch import nn", "reports"),
        ("benchmarks/runner/console.py", "import reports.render", "command-line"),
        ("benchmarks/machine.py", "from benchmarks.training import loop", "layers"),
        ("benchmarks/measuring/inference.py", "import benchmarks.runner.plan", "layers"),
        ("benchmarks/rooms.py", "pass", "layers"),
        ("benchmarks/runner/rhythm.py", "from benchmarks.runner import console", "circles"),
    ],
)
def test_a_contract_notices(tmp_path, file, line, contract):
    """Each import breaks the contract that is there to forbid it, in a copy of the sources."""
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            copy = tmp_path / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    with (tmp_path / file).open("a") as source:
        source.write(f"\n{line}\n")
    command = [sys.executable, "-c", LINT, str(ROOT / "pyproject.toml"), contract]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "0 kept, 1 broken" in done.stdout


LINT = """
import sys
from importlinter.cli import lint_imports
config, contract = sys.argv[1:]
sys.exit(lint_imports(config_filename=config, limit_to_contracts=(contract,), no_cache=True, no_logo=True))
"""


@pytest.mark.parametrize("path", NETWORKS, ids=lambda path: path.name)
def test_networks_need_torch_and_the_standard_library_only(path):
    outside = imported(path) - set(sys.stdlib_module_names) - {"models", "baselines"}
    assert outside <= {"torch", "timm", "einops"}


def test_benchmarks_has_at_most_ten_wings():
    wings = {path.stem for path in (ROOT / "benchmarks").iterdir() if path.suffix == ".py" or path.is_dir()}
    assert len({name for name in wings if not name.startswith("__")}) <= 10


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
