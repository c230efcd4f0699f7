"""A network that changed is another network: on disk, in checkpoints, in means and in the report."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch import nn
from typer.testing import CliRunner

from benchmarks import datasets, machine
from benchmarks.cli.app import app
from benchmarks.networks import registry
from benchmarks.networks.entry import Entry
from benchmarks.networks.identity import identity
from benchmarks.networks.seeding import states
from benchmarks.protocol.recipe import RECIPES
from benchmarks.runner import local, save_run
from benchmarks.runner.console import Reporter
from benchmarks.runner.group import Control, Resources
from benchmarks.training import checkpoint
from benchmarks.training.replicas import Replicas
from reports.evidence import load_everything
from results import files, installation
from results.cell import Cell
from results.errors import RequestError
from results.runs import UNKNOWN
from tests.fake_runs import as_before_identities, write_run

RECIPE = RECIPES["quick"].changed(size=32, epochs=1)
PLUGIN = """
from torch import nn
from benchmarks.networks.entry import Entry

WIDTH = 4

def tiny():
    return nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, WIDTH, 3, padding=1), nn.ReLU(), nn.Conv2d(WIDTH, 1, 1))

NETWORKS = [Entry("tiny", "Tiny", tiny, deviations=("Not of the paper.",))]
"""


@pytest.fixture(autouse=True)
def as_before(monkeypatch, tmp_path_factory):
    monkeypatch.setattr(registry, "ENTRIES", dict(registry.ENTRIES))
    monkeypatch.setenv("LESION_BENCHMARKS_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def of(builder, monkeypatch, **fields) -> str:
    monkeypatch.setitem(registry.ENTRIES, "mine", Entry("mine", "Mine", builder, **fields))
    return identity("mine")


class Own(nn.Conv2d):
    pass


def test_what_changes_an_identity_and_what_does_not(monkeypatch):
    def conv(**options):
        return lambda: nn.Sequential(nn.Conv2d(3, 1, 3, **options))

    def renamed() -> nn.Module:
        return nn.ModuleDict({"0": nn.Conv2d(3, 1, 3)})

    builders = {
        "plain": conv(),
        "shape": lambda: nn.Sequential(nn.Conv2d(3, 1, 1)),
        "names": lambda: nn.Sequential(nn.Identity(), nn.Conv2d(3, 1, 3)),
        "type": conv(dtype=torch.float64),
        "dilation": conv(dilation=2),
        "class": lambda: nn.Sequential(Own(3, 1, 3)),
        "container": renamed,
    }
    found = {name: of(builder, monkeypatch) for name, builder in builders.items()}
    assert len(set(found.values())) == len(found), found
    assert of(conv(), monkeypatch) == found["plain"], "initial weights do not count"
    assert of(conv(), monkeypatch, venue="Another", deviations=("x",)) == found["plain"]
    assert of(conv(), monkeypatch, library="a library 1.0") != found["plain"]


def test_the_trainers_own_layers_do_not_count():
    before = identity("aulunet_v3")
    for seeds in ((1,), (1, 2)):
        network = Replicas("aulunet_v3", seeds, RECIPE, torch.device("cpu")).module
        assert any("Folded" in type(module).__name__ for module in network.modules())
        assert identity("aulunet_v3") == before


def test_every_network_has_one_that_is_its_own_and_stays(monkeypatch):
    found = {name: identity(name) for name in registry.names()}
    assert len(set(found.values())) == len(found)
    monkeypatch.setattr("benchmarks.networks.identity._KNOWN", {})
    before = states()
    assert identity("malunet") == found["malunet"]
    assert states() == before


def test_stored_runs_are_still_of_the_networks_of_today():
    """An identity that moves cuts every stored run off from the seeds to come."""
    committed = json.loads((Path(__file__).parent / "reference" / "identities.json").read_text())
    assert {name: identity(name) for name in registry.names()} == committed


def write(folder: Path, text: str = PLUGIN) -> list[str]:
    """A plugin, as arguments of the command line."""
    folder.mkdir(exist_ok=True)
    (folder / "tiny.py").write_text(text)
    return ["--network", "tiny", "--plugin", str(folder / "tiny.py")]


def run(root: Path, *more: str):
    """The command of two commands in a row, in one process: what a plugin registered is forgotten in between."""
    registry.ENTRIES.pop("tiny", None)
    small = ["run", "--suite", "quick", "--size", "32", "--epochs", "1", "--results", str(root), *more]
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, small)


@pytest.mark.parametrize("seeds", ["1", "2", "2,"])
def test_a_plugin_edited_between_two_commands_is_refused(tmp_path, seeds):
    """Whether its old seed is asked for again, or only new ones that would stand beside it."""
    assert run(tmp_path, *write(tmp_path / "own"), "--seeds", "1").exit_code == 0
    again = run(tmp_path, *write(tmp_path / "own"), "--seeds", "1")
    assert again.exit_code == 0
    assert "0 cells to do, 1 done" in again.output
    refused = run(tmp_path, *write(tmp_path / "own", PLUGIN.replace("= 4", "= 8")), "--seeds", seeds)
    assert isinstance(refused.exception, RequestError)
    message = str(refused.exception)
    assert "another network named 'tiny'" in message
    assert "config.json was begun as" in message
    assert f"move {tmp_path / 'runs/synthetic/quick+epochs=1,size=32/tiny'} away" in message
    assert len(list(tmp_path.glob("runs/*/*/tiny/seed-*"))) == 1


def test_an_edit_that_changes_no_weight_counts_as_well(tmp_path):
    assert run(tmp_path, *write(tmp_path / "own"), "--seeds", "1").exit_code == 0
    edited = PLUGIN.replace("nn.ReLU()", "nn.ReLU().requires_grad_(True)")
    assert isinstance(run(tmp_path, *write(tmp_path / "own", edited), "--seeds", "1").exception, RequestError)


def test_runs_from_before_identities_are_read_but_get_no_new_seeds(tmp_path):
    command = [*write(tmp_path / "own"), "--seeds"]
    assert run(tmp_path, *command, "1").exit_code == 0
    as_before_identities(next(tmp_path.glob("runs/*/*/tiny/seed-1")))
    again = run(tmp_path, *command, "1")
    assert again.exit_code == 0
    assert "tiny" in again.output.split("IoU %")[1]
    refused = run(tmp_path, *command, "2")
    assert isinstance(refused.exception, RequestError)
    assert "before the identity of a network was recorded" in str(refused.exception)


def test_a_config_and_a_report_say_what_was_trained_and_where(tmp_path):
    assert run(tmp_path, *write(tmp_path / "own"), "--seeds", "1").exit_code == 0
    folder = next(tmp_path.glob("runs/*/*/tiny/seed-1"))
    config, report = (json.loads((folder / name).read_text()) for name in ("config.json", "report.json"))
    assert config["identity"] == report["identity"] == identity("tiny")
    assert report["host"]["threads"] == 1
    assert report["host"]["cores"] == machine.cores()
    assert config["code"]["version"] == report["code"]["version"] == save_run.code_version()["version"]


def test_the_package_version_is_none_where_nothing_is_installed(tmp_path, monkeypatch):
    from importlib import metadata

    def absent(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(installation, "FOLDER", tmp_path)  # no checkout
    monkeypatch.setattr(metadata, "version", lambda name: "9.8.7")
    assert save_run.code_version.__wrapped__()["version"] == "9.8.7"
    monkeypatch.setattr(metadata, "version", absent)
    assert save_run.code_version.__wrapped__()["version"] is None


def test_a_checkpoint_of_another_network_is_refused(tmp_path, monkeypatch):
    """Even where its config.json is gone."""
    monkeypatch.setitem(registry.ENTRIES, "mine", Entry("mine", "Mine", lambda: nn.Conv2d(3, 1, 1)))
    cell, path = Cell("synthetic", RECIPE.name, "mine", 1), tmp_path / "checkpoint.safetensors"
    checkpoint.save(
        Replicas("mine", (1,), RECIPE, torch.device("cpu")), [path], [checkpoint.identity(cell, "of the data")]
    )
    assert checkpoint.epochs_done(path, checkpoint.identity(cell, "of the data")) == 0
    monkeypatch.setitem(registry.ENTRIES, "mine", Entry("mine", "Mine", lambda: Own(3, 1, 1)))
    with pytest.raises(RequestError, match=r"checkpoint.safetensors belongs to a run with identity '\w{16}'"):
        checkpoint.epochs_done(path, checkpoint.identity(cell, "of the data"))


@pytest.mark.parametrize(
    ("what", "changed"),
    [
        ("recipe settings", {"recipe_settings": {"lr": 0.5}}),
        ("fingerprint", {"fingerprint": "other"}),
        ("split", {"split": {"rule": "sorted", "sizes": {"train": 64, "validation": 16, "test": 32}}}),
    ],
)
def test_a_folder_begun_under_other_settings_is_refused(tmp_path, what, changed):
    cell, prepared = Cell("synthetic", RECIPE.name, "aulunet_v3", 1), datasets.load("synthetic", 32)
    save_run.begin(cell, prepared, RECIPE, tmp_path)
    save_run.begin(cell, prepared, RECIPE, tmp_path)
    path = cell.folder(tmp_path) / "config.json"
    files.write_json(path, files.read_json(path) | changed)
    with pytest.raises(RequestError, match=f"was begun with another {what}; move its folder away"):
        save_run.begin(cell, prepared, RECIPE, tmp_path)


def tell(folder: Path, identity: str, finished_at: str = "2025-11-24T10:00:00+00:00") -> None:
    for name, more in (("config.json", {"identity": identity}), ("report.json", {"finished_at": finished_at})):
        files.write_json(folder / name, files.read_json(folder / name) | more)


def fake(root: Path, *identities: str | None, network: str = "unet") -> None:
    """Seeds 1, 2, ... of a network, each of its identity; the later ones finished later."""
    for seed, each in enumerate(identities, 1):
        write_run(root, network=network, seed=seed)
        if each is not None:
            folder = Cell("isic2018", "paper", network, seed).folder(root)
            tell(folder, each, f"2025-11-{seed:02d}T10:00:00+00:00")


@pytest.mark.parametrize(
    ("identities", "shown"),
    [
        (("a", "a", "b"), [1, 2]),  # most runs
        (("a", "b"), [2]),  # the latest
        (("a", None, None), [1]),  # a known one before runs that tell none
        ((None, None), [1, 2]),
        (("a", "a"), [1, 2]),
    ],
)
def test_the_report_never_pools_two_identities(tmp_path, identities, shown):
    fake(tmp_path, *identities)
    fake(tmp_path, "z", "z", network="malunet")
    evidence = load_everything(tmp_path)
    assert [run.cell.seed for run in evidence.runs if run.cell.network == "unet"] == shown
    assert len([run for run in evidence.runs if run.cell.network == "malunet"]) == 2
    left_out = [problem for problem in evidence.problems if "is another one (identity" in problem.message]
    assert len(left_out) == len(identities) - len(shown)
    assert all(run.identity == (identities[run.cell.seed - 1] or UNKNOWN) for run in evidence.runs[-len(shown) :])


def test_the_means_of_a_run_never_pool_two_identities(tmp_path):
    assert run(tmp_path, *write(tmp_path / "own"), "--seeds", "2").exit_code == 0
    registry.ENTRIES.pop("tiny")
    as_before_identities(next(tmp_path.glob("runs/*/*/tiny/seed-2")))
    shown = run(tmp_path, *write(tmp_path / "own"), "--seeds", "2")
    assert shown.exit_code == 0
    line = next(line for line in shown.output.splitlines() if " tiny " in line)
    assert line.split("│")[3].strip() == "1"


def test_a_dry_run_refuses_what_a_run_would(tmp_path):
    broken = PLUGIN.replace("def tiny():", "def tiny():\n    return nn.Conv2d(3, 2, 1)\n")
    refused = run(tmp_path, *write(tmp_path / "own", broken), "--seeds", "1", "--dry-run")
    assert isinstance(refused.exception, RequestError)
    assert "return float logits (2, 1, 32, 32)" in str(refused.exception)


def test_other_networks_train_where_one_is_refused_and_nothing_of_it_is_stored(tmp_path, monkeypatch):
    monkeypatch.setitem(registry.ENTRIES, "twin", Entry("twin", "Twin", lambda: nn.Conv2d(3, 2, 1)))
    monkeypatch.setitem(registry.ENTRIES, "plain", Entry("plain", "Plain", lambda: nn.Conv2d(3, 1, 1)))
    prepared, device = datasets.load("synthetic", 32), torch.device("cpu")
    resources, control = Resources.of(prepared, RECIPE, device), Control(Reporter(Console(quiet=True)))
    job = local.Job(RECIPE, tmp_path, resources, control)
    cells = [Cell("synthetic", RECIPE.name, network, 1) for network in ("twin", "plain")]
    outcome = local.execute(cells, job)
    assert [network for network, _ in outcome.errors] == ["twin"]
    assert "it returns torch.float32 of shape (2, 2, 32, 32)" in outcome.errors[0][1]
    assert [cell.network for cell in outcome.finished] == ["plain"]
    assert not list(tmp_path.glob("runs/*/*/twin"))
    shutil.rmtree(tmp_path / "runs")
    with pytest.raises(RequestError, match=r"^twin: it returns .* Nothing was stored\.$"):
        local.execute(cells[:1], job)
    assert not (tmp_path / "runs").exists()
