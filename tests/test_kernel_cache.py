"""The cache of compiled kernels: filled by two at once, read where nobody may write; compiling is announced."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.training import engine

pytestmark = pytest.mark.skipif(engine.installed() is None, reason="needs numba")
ROOT = Path(__file__).parents[1]

KERNEL = """
from benchmarks.training.kernels.jit import kernel


@kernel
def twice(x):
    return x + x
"""
USE = """
import sys
sys.path.insert(0, {modules!r})
import numpy as np
from benchmarks.training.engine import announcing
from benchmarks.training.kernels import jit
{before}
with announcing(print):
    from tiny import twice
    assert twice(np.float64(4)) == 8
    assert (twice(np.arange(3.0)) == [0, 2, 4]).all()
print(sum(twice.stats.cache_misses.values()), "compiled")
"""
READ_ONLY = """
import os

def refuse(event, arguments):
    changes = event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) or event == "os.mkdir"
    if changes and str(arguments[0]).startswith(os.environ["NUMBA_CACHE_DIR"]):
        raise PermissionError(arguments[0])

sys.addaudithook(refuse)
"""


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    (tmp_path / "tiny.py").write_text(KERNEL)
    return tmp_path


def started(folder: Path, before: str = "") -> subprocess.Popen:
    """A process that calls a kernel with two kinds of numbers and says what it compiled."""
    code, environment = (
        USE.format(modules=str(folder), before=before),
        os.environ | {"NUMBA_CACHE_DIR": f"{folder}/kernels"},
    )
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=environment, **options)


def said(process: subprocess.Popen) -> list[str]:
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 0, output
    return output.splitlines()


def test_two_processes_fill_the_cache_at_once_and_a_third_only_reads_it(tiny):
    for process in [started(tiny) for _ in range(2)]:
        assert said(process)[-1].endswith("compiled")
    (tiny / "tiny.py").touch()  # as another checkout has it
    assert said(started(tiny, READ_ONLY)) == ["0 compiled"]  # and nothing is announced
    (tiny / "tiny.py").write_text(KERNEL.replace("x + x", "2 * x"))
    assert said(started(tiny)) == [engine.COMPILING, "2 compiled"]


def test_kernels_run_without_any_cache_and_compiling_is_announced_once(tiny):
    assert said(started(tiny, READ_ONLY)) == [engine.COMPILING, "2 compiled"]
    assert not (tiny / "kernels").exists()


def test_kernels_are_kept_in_the_cache_folder_of_the_project(tmp_path, monkeypatch):
    from benchmarks.training.kernels import jit

    monkeypatch.setenv("LESION_BENCHMARKS_CACHE", str(tmp_path))
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    assert jit.folder.__wrapped__(jit.__file__).parent == tmp_path / "kernels"


OWN_COPIES = """
import torch
from benchmarks.training.kernels import loss

logits = torch.zeros(2, 1, 8, 8, requires_grad=True)
loss.bce_dice(logits, torch.ones(2, 1, 8, 8)).backward()
for kernel in (loss._forward, loss._backward):
    for signature in kernel.signatures:
        code = kernel.inspect_asm(signature)
        assert "benchmarks" in code
        print([line for line in code.splitlines() if ".weak" in line and "7kernels" in line])
"""


def test_a_kernel_shares_no_machine_code_with_another(tmp_path):
    """Else which of two copies of a called function runs would depend on what was compiled or loaded before."""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    lines = said(subprocess.Popen([sys.executable, "-c", OWN_COPIES], cwd=ROOT, env=environment, **options))
    assert lines == ["[]"] * 2
