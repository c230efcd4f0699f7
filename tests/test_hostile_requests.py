"""Requests that nobody can fulfil end with exit code 2 and one sentence, and leave nothing behind."""

import os
import signal
import sys
from pathlib import Path

import pytest

from benchmarks.cli.app import main
from benchmarks.networks import registry
from benchmarks.networks.paper import PAPER
from benchmarks.protocol.suites import SUITES
from tests.hostile_requests import AT_IMPORT, IN_BUILDER, IN_FORWARD, OF_RUN, OTHERS, PLUGINS, USES


@pytest.fixture(scope="module")
def places(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    for name, content in PLUGINS.items():
        (folder / f"{name}.py").write_bytes(content)
    (folder / "folder.py").mkdir()
    (folder / "file").write_text("text\n")
    for name in ("pipe", "pipe.py"):
        os.mkfifo(folder / name)
    return folder


@pytest.fixture
def refused(places, monkeypatch, capsys, tmp_path):
    """Makes a request in this process; returns what was said, after a look at how."""
    monkeypatch.setattr(registry, "ENTRIES", {name: PAPER[name] for name in ("unet", *SUITES["quick"].networks)})
    monkeypatch.setenv("LESION_BENCHMARKS_CACHE", str(places / "cache"))
    monkeypatch.setenv("LESION_BENCHMARKS_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("COLUMNS", "400")
    for trained in ("benchmarks.runner.local.run_group", "benchmarks.runner.cost.measure"):
        monkeypatch.setattr(trained, accepted)
    modules, handlers = dict(sys.modules), {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}

    def request(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["benchmarks", *(each.replace("{tmp}", str(places)) for each in arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        assert ended.value.code == 2, said
        assert "Traceback" not in said.out + said.err
        lines = said.err.strip().splitlines()
        assert len(lines) == 1 or lines[0].startswith(("Usage", "usage", "\u256d")), (
            said.err
        )  # or argparse of a plugin, or a box
        assert lines[0] not in ("", "Error:"), said.err
        return said.err

    yield request
    for name in set(sys.modules) - set(modules):
        if name.startswith("plugin_"):
            del sys.modules[name]
    for each, handler in handlers.items():
        signal.signal(each, handler)
    left = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != ".lock"]
    assert left == []


def accepted(*_: object, **__: object) -> None:
    raise AssertionError("the request was not refused before anything was done for it")


def shown(arguments: object) -> str | None:
    return " ".join(each[:24] for each in arguments) if isinstance(arguments, list) else None


@pytest.mark.parametrize("option", OF_RUN)
def test_a_value_that_no_option_of_run_takes(option, refused):
    for text in OF_RUN[option]:
        refused("run", option, text)


@pytest.mark.parametrize("arguments", OTHERS, ids=shown)
def test_a_request_that_makes_no_sense(arguments, refused):
    refused(*arguments)


@pytest.mark.parametrize("name", AT_IMPORT)
def test_a_plugin_that_cannot_be_loaded(name, refused):
    said = refused("run", "--plugin", f"{{tmp}}/{name}.py")
    assert f"{name}.py" in said or "is taken" in said


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("name", ["exit", "syntax", *IN_BUILDER, *IN_FORWARD])
def test_a_faulty_plugin_is_one_sentence_in_every_command(name, use, refused):
    if use == "list" and name in IN_FORWARD:
        return  # it calls no forward
    said = refused(*USES[use], "--plugin", f"{{tmp}}/{name}.py")
    assert "mine: " in said or f"{name}.py" in said
