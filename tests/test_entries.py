"""Entries are data: they pickle, and another process finds the same network."""

import json
import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from torch import nn

from benchmarks.networks import registry
from benchmarks.networks.entry import Entry, MultiplesOf, OneOf
from benchmarks.networks.identity import identity, identity_of
from results.errors import RequestError

PLUGIN = """
from torch import nn
from benchmarks.networks.entry import Entry

WIDTH = 4
NETWORKS = [
    Entry("first", "First", lambda: nn.Conv2d(3, 1, 1), preprocess=lambda images: images / 255),
    Entry("second", "Second", lambda: nn.Sequential(nn.Conv2d(3, WIDTH, 1), nn.Conv2d(WIDTH, 1, 1))),
]
"""


@pytest.fixture(autouse=True)
def as_before(monkeypatch):
    monkeypatch.setattr(registry, "ENTRIES", dict(registry.ENTRIES))


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """A plugin that is loaded."""
    path = tmp_path / "own.py"
    path.write_text(PLUGIN)
    registry.load_plugin(str(path))
    return path


def elsewhere(pickled: bytes) -> dict[str, tuple[str, str, bool]]:
    """Run in a fresh process: identity, sizes in words and whether it is foreign, of unpickled entries."""
    return {each.name: (identity_of(each), each.sizes, each.foreign) for each in pickle.loads(pickled)}


def specified(wanted: registry.Specification) -> tuple[str, list[str]]:
    """Run in a fresh process: the network's identity there, and what is registered."""
    registry.from_specification(wanted)
    return identity(wanted.name), registry.names()


def test_every_entry_is_built_in_a_fresh_process(plugin: Path) -> None:
    entries = [registry.entry(name) for name in registry.names()]
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
        there = fresh.submit(elsewhere, pickle.dumps(entries))
        found = fresh.submit(specified, registry.specification("second"))
        assert there.result() == {each.name: (identity(each.name), each.sizes, each.foreign) for each in entries}
        assert found.result() == (identity("second"), registry.names())


def test_all_of_an_entry_comes_back() -> None:
    ours = registry.names()
    for entry in map(registry.entry, (*ours, "smp:unet/resnet18")):
        again = pickle.loads(pickle.dumps(entry))
        assert repr(again) == repr(entry)
        assert (again.objective, again.preprocess, again.accepts) == (entry.objective, entry.preprocess, entry.accepts)
        assert again.foreign == (entry.name not in ours)


def test_a_plugin_that_changed_since_is_refused(plugin: Path) -> None:
    pickled, wanted = pickle.dumps(registry.entry("first")), registry.specification("first")
    assert pickle.loads(pickled).plugin == registry.entry("first").plugin
    plugin.write_text(PLUGIN.replace("WIDTH = 4", "WIDTH = 5"))
    message = f"^The files of --plugin {plugin} have changed since first was planned; start the command again.$"
    with pytest.raises(RequestError, match=message):
        pickle.loads(pickled)
    assert registry.from_specification(wanted) is registry.entry("first")  # as it was loaded here
    del registry.ENTRIES["first"], registry.ENTRIES["second"]
    with pytest.raises(RequestError, match=message):
        registry.from_specification(wanted)


def test_a_specification_is_text(plugin: Path) -> None:
    for name in ("malunet", "smp:unet/resnet18", "second"):
        wanted = registry.specification(name)
        assert registry.Specification(**json.loads(json.dumps(vars(wanted)))) == wanted
        assert registry.from_specification(wanted) is registry.entry(name)
    with pytest.raises(RequestError, match="no network 'unknown'"):
        registry.specification("unknown")


def test_a_plugins_networks_are_foreign_whatever_they_say(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(PLUGIN.replace('"First",', '"First", foreign=False, builder='))
    registry.load_plugin(str(tmp_path / "own.py"))
    assert registry.entry("first").foreign


@pytest.mark.parametrize(
    ("rule", "taken", "words"),
    [
        (MultiplesOf(16), [32, 64, 224, 256, 512], "multiples of 16"),
        (OneOf(224), [224], "224 px only"),
        (OneOf(32, 64, multiples_of=256), [32, 64, 256, 512], "32, 64 and multiples of 256"),
    ],
)
def test_rules_for_sizes(rule, taken, words) -> None:
    assert [size for size in (32, 64, 100, 224, 256, 512) if rule(size)] == taken
    assert Entry("mine", "Mine", nn.Identity, accepts=rule).sizes == words
    assert pickle.loads(pickle.dumps(rule)) == rule


def test_a_rule_without_words_is_a_sentence() -> None:
    with pytest.raises(RequestError, match="accepts of 'mine' is not a rule for sizes; give it MultiplesOf"):
        Entry("mine", "Mine", nn.Identity, accepts=lambda size: size == 224)  # type: ignore[arg-type]
