"""The page that tells how to add a network: what it records is what the tests read, and it leaves no file out."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from baselines.unext import UNeXtS
from results.catalogue import BEYOND
from tests import reference_vectors

ROOT = Path(__file__).parents[1]
KINDS = (".py", ".csv", ".bib", ".json")
PAGE = (ROOT / "docs/add-a-network.md").read_text(encoding="utf-8")


def test_recorded_vectors_are_read_as_those_of_the_authors() -> None:
    """The script that runs beside the authors' code, with a network of ours in the place of theirs."""
    command = [sys.executable, "examples/record_reference.py", ".", "baselines.unext:UNeXtS"]
    options = ["--arguments", '{"depth": 2}', "--size", "96"]
    done = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True, check=True)
    recorded = json.loads(done.stdout)
    network = UNeXtS(depth=2).double().eval()
    network.load_state_dict(reference_vectors.official_state(recorded))
    outputs = [network(reference_vectors.images(recorded)).detach()]
    assert reference_vectors.largest_difference(recorded, outputs) < 1e-12
    assert recorded["parameters"] == sum(parameter.numel() for parameter in network.parameters())
    assert set(recorded) <= set(reference_vectors.load("unext_s"))


def naming(network: str) -> set[str]:
    """The files outside of runs and renderings that name a network."""
    word = re.compile(rf"\b{network}\b")
    folders = ("baselines", "benchmarks", "results", "tests")
    found = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.suffix in KINDS]
    texts = {str(path.relative_to(ROOT)): path for path in found}
    return {name for name, path in texts.items() if "/runs/" not in name and word.search(path.read_text("utf-8"))}


@pytest.mark.parametrize("network", ["ultralbm_unet", "mambalite_unet"])
def test_every_file_that_names_a_network_is_on_the_page(network: str) -> None:
    assert network in BEYOND
    own = {str(Path(__file__).relative_to(ROOT))}
    files = {path for path in naming(network) - own if Path(path).stem != network}
    assert len(files) > 10
    assert not [path for path in sorted(files) if path not in PAGE]
