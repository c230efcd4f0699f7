"""What `check` holds complexity.csv against: counted once, then kept by a hash of the sources."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from benchmarks.cli.app import app
from benchmarks.measuring import complexity, live_counts
from benchmarks.networks import registry
from reports.check.check import check
from reports.check.item import Status
from reports.comparison.findings import Findings
from reports.tables.all import all_grids
from results import files
from results.errors import RequestError
from tests import fake_runs

ROOT = Path(__file__).parents[1]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of its own, and a registry of one small network."""
    monkeypatch.setenv("LESION_BENCHMARKS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(registry, "ENTRIES", {"aulunet_rgf": registry.entry("aulunet_rgf")})
    return tmp_path / "cache"


def told() -> tuple[list[tuple[str, int, int]], dict | None]:
    """Which networks were counted, and the counts."""
    announced: list[tuple[str, int, int]] = []
    return announced, live_counts.live_counts(lambda *what: announced.append(what))


def test_counts_are_made_once(cache: Path) -> None:
    announced, made = told()
    assert announced == [("aulunet_rgf", 1, 1)]
    stored = pd.read_csv(files.HOME / "complexity.csv").set_index("network").loc["aulunet_rgf"]
    assert made == {"aulunet_rgf": {column: stored[column] for column in complexity.COUNTS}}
    assert told() == ([], made)


@pytest.mark.parametrize("damage", ["", "[]", "{}", '{"counts": 3}', "\x00", None])
def test_a_damaged_file_is_counted_again(damage: str | None, cache: Path) -> None:
    _, made = told()
    (path,) = cache.rglob("*.json")
    whole = path.read_text()
    path.write_text(whole.replace("17781", "17782") if damage is None else damage)
    assert told() == ([("aulunet_rgf", 1, 1)], made)
    assert path.read_text() == whole


def test_a_folder_that_cannot_be_written_costs_time_only(cache: Path) -> None:
    cache.write_text("not a folder: nothing can be written here, by root neither")
    announced, made = told()
    assert announced
    assert made is not None
    assert told() == (announced, made)


def test_a_changed_source_is_counted_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in live_counts.SOURCES:
        (tmp_path / folder / "inside").mkdir(parents=True)
        (tmp_path / folder / "inside" / "a.py").write_text("1")
    monkeypatch.setattr(live_counts, "ROOT", tmp_path)
    seen = [live_counts.fingerprint()]
    for path in sorted(tmp_path.rglob("*.py")):
        path.write_text("2")
        seen.append(live_counts.fingerprint())
    path.rename(path.with_name("b.py"))
    seen.append(live_counts.fingerprint())
    monkeypatch.setattr(live_counts, "version", lambda library: "another")
    seen.append(live_counts.fingerprint())
    assert len(set(seen)) == len(seen) == 6
    assert live_counts.fingerprint() == seen[-1]


def test_a_failed_counter_leaves_its_figure_out(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(complexity, "_thop", failing)
    monkeypatch.setattr(complexity, "_in_one_pass", failing)
    _, made = told()
    assert made is not None
    assert set(made["aulunet_rgf"]) == {"parameters", "ptflops_macs", "fvcore_macs", "flops"}


def failing(*_: object) -> None:
    raise ValueError("today it fails")


def test_known_counts_need_no_torch(cache: Path) -> None:
    told()
    code = "import sys; from benchmarks.measuring.live_counts import live_counts as known; "
    code += "assert known(print); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


# The command `count`

PLUGIN = """
from torch import nn
from benchmarks.networks.entry import Entry

class Attentive(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Conv2d(3, 1, 1)
    def forward(self, images):
        return nn.functional.scaled_dot_product_attention(*[self.head(images)] * 3)

NETWORKS = [Entry("attentive", "Attentive", Attentive)]
"""


@pytest.fixture
def plugin(tmp_path: Path) -> str:
    path = tmp_path / "attentive_plugin.py"
    path.write_text(PLUGIN)
    return str(path)


def count(root: Path, *arguments: str) -> str:
    done = CliRunner().invoke(app, ["count", "--results", str(root), *arguments], catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def test_a_plugin_is_shown_and_not_stored(plugin: str, cache: Path, tmp_path: Path) -> None:
    said = count(tmp_path / "results", "--plugin", plugin)
    assert f"{2 * (256**2 * 3 + 2 * 256**3):,}" in said
    assert "attentive: fvcore_macs does not see scaled_dot_product_attention." in said
    assert "aulunet_rgf" not in said
    assert not (tmp_path / "results").exists()


def test_networks_of_the_suite_are_shown_and_stored(plugin: str, cache: Path, tmp_path: Path) -> None:
    said = count(tmp_path / "results", "--plugin", plugin, "--network", "aulunet_rgf", "--network", "attentive")
    assert "17,781" in said
    assert "attentive" in said
    stored = pd.read_csv(tmp_path / "results" / "complexity.csv")
    assert list(stored["network"]) == ["aulunet_rgf"]


def test_a_failed_counter_is_shown_as_such(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(complexity, "_thop", failing)
    monkeypatch.setattr(complexity, "_in_one_pass", failing)
    said = count(tmp_path)
    assert "17,781     │ -  " in said
    assert "aulunet_rgf: thop_macs could not be counted (ValueError: today it fails)." in said
    assert pd.read_csv(tmp_path / "complexity.csv")["thop_macs"].isna().all()


def test_a_network_that_cannot_run_is_named(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "build", lambda name: complexity.nn.Conv2d(4, 1, 1))
    with pytest.raises(RequestError, match=r"aulunet_rgf cannot be counted \(RuntimeError: .*1x3x256x256 in eval mode"):
        complexity.table(["aulunet_rgf"])


# Readers of complexity.csv


def test_readers_cope_with_a_missing_figure(tmp_path: Path) -> None:
    path = fake_runs.write_complexity(tmp_path)
    table = pd.read_csv(path)
    for network, column in {"unet": "thop_macs", "malunet": "thop_parameters", "vm_unet": "parameters"}.items():
        table[column] = table[column].astype("Int64").mask(table["network"] == network)
    files.write_csv(path, table.assign(notes=""))
    findings = Findings.load(tmp_path)
    assert not findings.evidence.problems
    assert "thop_macs" not in findings.evidence.complexity["unet"]
    assert findings.evidence.complexity["unet"]["parameters"] == 7_765_985
    shown = {row.key: row for row in all_grids(findings)["counts"][0].rows}
    assert [cell.text for cell in shown["unet"].cells].count("not counted") == 1
    assert [cell.text for cell in shown["malunet"].cells].count("not counted") == 1
    assert "7,765,985" in [cell.text for cell in shown["unet"].cells]
    live = fake_runs.live_counts()
    for network, column in {"unet": "thop_macs", "malunet": "thop_parameters", "vm_unet": "parameters"}.items():
        del live[network][column]
    assert stale(tmp_path, live) == ["complexity.csv"]  # what neither has is no difference
    assert stale(tmp_path, fake_runs.live_counts()) == ["unet", "malunet", "vm_unet"]


def stale(root: Path, live: dict) -> list[str]:
    found = [item for item in check(root, live).items if item.kind == "staleness"]
    return [item.name for item in found if len(found) == 1 or item.status is Status.FAILED]
