"""A real file system of 3 MB, full or read-only: one sentence, exit code 2, nothing half-written; then it goes on."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import fake_runs

ROOT = Path(__file__).parents[1]
FULL, READ_ONLY = "No space left on device", "Read-only file system"


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    """What each step of tests/small_disk.py said and left."""
    folder = tmp_path_factory.mktemp("disk")
    (folder / "small").mkdir()
    probe = ["unshare", "-rm", "mount", "-t", "tmpfs", "none", str(folder / "small")]
    try:
        if subprocess.run(probe, capture_output=True, check=False).returncode:
            pytest.skip("this machine lets nobody mount a file system in a namespace")
    except FileNotFoundError:
        pytest.skip("this machine has no unshare")
    fake_runs.write_run(folder / "runs", images=12)
    fake_runs.write_complexity(folder / "runs")
    done = subprocess.run(
        ["unshare", "-rm", sys.executable, "-m", "tests.small_disk", str(folder)],
        cwd=ROOT,
        env=os.environ | {"LESION_BENCHMARKS_CACHE": str(folder / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def faults(ended: dict[str, dict], state: str) -> dict[str, dict]:
    return {step.partition(",")[0]: found for step, found in ended.items() if step.endswith(state)}


@pytest.mark.parametrize(
    ("state", "reason", "cure"),
    [("full", FULL, "make room there"), ("read-only", READ_ONLY, "make it writable, or name another place")],
)
def test_a_disk_that_takes_nothing_is_one_sentence(ended: dict[str, dict], state: str, reason: str, cure: str) -> None:
    found = faults(ended, state)
    assert len(found) == {"full": 6, "read-only": 4}[state]
    for step, each in found.items():
        assert each["code"] == 2, step
        (sentence,) = each["said"].splitlines()
        assert sentence.startswith("Error: "), step
        assert sentence.endswith(f" cannot be written ({reason}); {cure}, then give the same command again."), step
        assert {"config.json": "claim.json"}.get(step, step) in sentence or step in ("run", "report")


def test_nothing_half_written_is_left(ended: dict[str, dict]) -> None:
    full = faults(ended, "full")
    assert full["config.json"]["files"] == []
    assert [Path(name).name for name in full["checkpoint.safetensors"]["files"]] == ["config.json"]
    assert "checkpoint.safetensors" in {Path(name).name for name in full["weights.safetensors"]["files"]}
    assert not [name for name in full["report"]["files"] if name.startswith("report/")]
    assert "junit.xml" not in full["junit.xml"]["files"]
    for step, each in ended.items():
        assert not [name for name in each["files"] if name.endswith(".partial")], step
        assert each["empty"] == [], step


def test_the_same_command_goes_on_when_there_is_room(ended: dict[str, dict]) -> None:
    found = faults(ended, "with room")
    assert {step: each["code"] for step, each in found.items()} == dict.fromkeys(found, 0)
    assert any(name.endswith("seed-1/report.json") for name in found["run"]["files"])
    assert not any(name.endswith("checkpoint.safetensors") for name in found["run"]["files"])
    assert {"report/table1.md", "report/table1.csv"} <= set(found["report"]["files"])
    assert {"accepted.csv", "junit.xml"} <= set(found["junit.xml"]["files"])
