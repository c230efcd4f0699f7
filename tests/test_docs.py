"""What the README and CONTRIBUTING say is what happens."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.numpy import load_file
from typer.testing import CliRunner

from benchmarks.__main__ import app

ROOT = Path(__file__).parents[1]


def blocks(name: str, language: str = "") -> list[str]:
    """The fenced blocks of a document."""
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / name).read_text(), flags=re.DOTALL)


def test_ci_runs_the_readmes_test_command():
    command = next(block for block in blocks("README.md") if "pytest" in block).strip()
    assert command in (ROOT / ".ci" / "run").read_text().splitlines()


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_every_command_shown_exists_with_its_options(document):
    shown = re.findall(r"python -m benchmarks (\w+)([^\n#&`]*)", (ROOT / document).read_text())
    assert shown
    for command, arguments in shown:
        usage = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1"}).invoke(app, [command, "--help"])
        assert usage.exit_code == 0, command
        for option in re.findall(r"--[a-z-]+", arguments):
            assert option in usage.output, f"{command} {option}"


def test_the_plugins_of_contributing_train(tmp_path):
    """The examples of CONTRIBUTING.md, as typed, from file to table."""
    names = ["tiny", "supervised", "bounded"]
    arguments = []
    for name, text in zip(names, blocks("CONTRIBUTING.md", "python"), strict=True):
        (tmp_path / f"{name}.py").write_text(text)
        arguments += ["--network", name, "--plugin", str(tmp_path / f"{name}.py")]
    small = [
        "--suite",
        "quick",
        "--size",
        "32",
        "--epochs",
        "1",
        "--seeds",
        "1",
        "--no-kernels",
        "--results",
        str(tmp_path / "results"),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "run", *arguments, *small],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr + done.stdout
    for name in names:
        folder = tmp_path / "results/runs/synthetic/quick+epochs=1,size=32" / name / "seed-1"
        assert (folder / "report.json").exists()
        assert not [key for key in load_file(folder / "weights.safetensors") if "boundary" in key or "stream" in key]
