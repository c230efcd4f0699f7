"""What is told of the computer, also where its system tells it in another way."""

import platform
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch

from benchmarks import machine

ROOT = Path(__file__).parents[1]
CPU = torch.device("cpu")
GB = 1_000_000_000


def test_the_description_names_hardware_and_not_the_host() -> None:
    description = machine.describe()
    assert description["cores"] >= 1
    assert description["memory_gb"] >= 1
    assert description["cpu"] in description["name"]
    assert platform.node() not in description["name"]
    assert machine.describe("My box")["name"] == "My box"


@pytest.mark.parametrize(("system", "megabytes"), [("linux", 2048.0), ("darwin", 2.0)])
def test_peak_memory_of_the_process_has_the_unit_of_its_system(monkeypatch, system, megabytes) -> None:
    """getrusage(2): kibibytes on Linux, bytes on macOS."""
    resource = pytest.importorskip("resource")
    of = {resource.RUSAGE_SELF: 2_000_000}
    monkeypatch.setattr(machine, "sys", SimpleNamespace(platform=system))
    monkeypatch.setattr(resource, "getrusage", lambda who: SimpleNamespace(ru_maxrss=of[who]))
    assert machine.peak_memory_mb(CPU) == megabytes


def test_peak_memory_of_windows_is_its_largest_working_set(monkeypatch) -> None:
    """Which has no module `resource`."""
    monkeypatch.setitem(sys.modules, "resource", None)
    told = SimpleNamespace(memory_info=lambda: SimpleNamespace(peak_wset=3_500_000))
    monkeypatch.setattr(psutil, "Process", lambda: told)
    assert machine.peak_memory_mb(CPU) == 3.5


def test_peak_memory_of_a_gpu_is_what_was_allocated_there(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 7_000_000)
    assert machine.peak_memory_mb(torch.device("cuda")) == 7.0


@pytest.fixture
def groups(monkeypatch, tmp_path):
    """Control groups as the kernel shows them: writes the files of a folder, and the groups of this process."""
    monkeypatch.setattr(machine, "CONTROL_GROUPS", tmp_path)
    monkeypatch.setattr(machine, "OWN_GROUPS", tmp_path / "own")
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=16 * GB, total=32 * GB))

    def write(own: str, **folders: dict[str, object]) -> int:
        (tmp_path / "own").write_text(own)
        for folder, contents in folders.items():
            for name, text in contents.items():
                path = tmp_path / folder.replace("__", "/").replace("top", ".") / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(f"{text}\n")
        return machine.available_memory()

    return write


def group(limit: object, used: int, reclaimable: int = 0) -> dict[str, object]:
    return {
        "memory.max": limit,
        "memory.current": used,
        "memory.stat": f"anon 1\ninactive_file {reclaimable}\nactive_file 2",
    }


VERSION_1 = {
    "memory.limit_in_bytes": 5 * GB,
    "memory.usage_in_bytes": 4 * GB,
    "memory.stat": f"total_inactive_file {GB}",
}


@pytest.mark.parametrize(
    ("own", "folders", "left"),
    [
        ("0::/\n", {}, 16 * GB),
        ("0::/job\n", {"job": group("max", GB)}, 16 * GB),
        ("0::/job\n", {"job": group(8 * GB, 3 * GB)}, 5 * GB),
        ("0::/job\n", {"job": group(8 * GB, 3 * GB, reclaimable=GB)}, 6 * GB),
        ("0::/job\n", {"job": group(64 * GB, 3 * GB)}, 16 * GB),
        ("0::/job\n", {"job": group(2 * GB, 3 * GB)}, 0),
        ("0::/job/step\n", {"job": group(8 * GB, 6 * GB), "job__step": group("max", GB)}, 2 * GB),
        ("0::/\n", {"top": group(4 * GB, GB)}, 3 * GB),
        ("5:cpu,memory:/job\n1:cpuset:/\n", {"memory__job": VERSION_1}, 2 * GB),
        ("0::/job\n", {"job": {"memory.max": "broken"}}, 16 * GB),
    ],
)
def test_available_memory_is_what_the_tightest_control_group_leaves(groups, own, folders, left) -> None:
    assert groups(own, **folders) == left


def test_a_system_without_control_groups_has_what_its_memory_has(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(machine, "OWN_GROUPS", tmp_path / "none")
    assert 0 < machine.available_memory() <= psutil.virtual_memory().total


def test_waiting_for_a_cpu_is_reading_a_clock() -> None:
    assert machine.now(CPU) <= machine.now(CPU)
    assert machine.device_name(CPU) == "cpu"


EVERYTHING = """
import importlib, pkgutil, sys
import filelock, pandas, pooch, psutil, pydantic, rich.progress, safetensors.torch, scipy.ndimage, torch, typer
for name in ("resource", "fcntl", "pwd", "grp", "termios"):
    sys.modules[name] = None
import benchmarks, results, reports
for package in (benchmarks, results, reports):
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        extra = found.name.startswith("benchmarks.training.kernels.") or found.name.endswith(".ray_node")
        if not extra and not found.name.endswith("__main__"):
            importlib.import_module(found.name)
print(len(sys.modules))
"""


def test_everything_is_imported_where_windows_has_no_such_module() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", EVERYTHING], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
