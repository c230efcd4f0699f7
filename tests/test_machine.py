"""What is told of the computer, also where its system tells less."""

import os
import platform
import sys

import torch

from benchmarks import machine
from results import files

CPU = torch.device("cpu")


def test_the_description_names_hardware_and_not_the_host() -> None:
    description = machine.describe()
    assert description["cores"] >= 1
    assert description["memory_gb"] >= 1
    assert description["cpu"] in description["name"]
    assert platform.node() not in description["name"]
    assert machine.describe("My box")["name"] == "My box"


def test_a_system_that_does_not_tell_its_memory_is_described_without_it(monkeypatch, tmp_path) -> None:
    """As on Windows: no module `resource` and no `os.sysconf`."""
    monkeypatch.setitem(sys.modules, "resource", None)
    monkeypatch.delattr(os, "sysconf")
    assert machine.peak_memory_mb(CPU) is None
    assert machine.describe()["memory_gb"] is None
    files.write_json(tmp_path / "machine.json", machine.describe() | machine.host())


def test_waiting_for_a_cpu_is_reading_a_clock() -> None:
    assert machine.now(CPU) <= machine.now(CPU)
    assert machine.device_name(CPU) == "cpu"
