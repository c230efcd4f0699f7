"""Every network can be cited, and what is cited is well formed."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from benchmarks.networks import registry
from results import citations
from results.errors import RequestError

ROOT = Path(__file__).parents[1]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


@pytest.mark.parametrize("name", registry.names())
def test_every_network_has_an_entry_of_its_year_and_preprint(name):
    """What the registry says of a paper in short is what its entry says."""
    entry, cited = registry.entry(name), citations.entries()[name]
    assert f"year = {{20{entry.venue[-2:]}}}" in cited or "note = {Printed as" in cited
    preprint = re.search(r"arXiv (\d{4}\.\d{5})", entry.paper)
    assert preprint is None or f"eprint = {{{preprint[1]}}}" in cited


def test_entries_are_bibtex():
    for entry in set(citations.entries().values()):
        assert re.match(r"@(inproceedings|misc|software)\{[a-z0-9_]+,\n", entry)
        assert entry.count("{") == entry.count("}")
        fields = re.findall(r"^  (\w+) = \{.+\},$", entry, re.MULTILINE)
        assert len(fields) == len(entry.splitlines()) - 2, f"a line is not one field: {entry}"
        assert {"author", "title", "year"} <= set(fields)
        assert "booktitle" in fields or not entry.startswith("@inproceedings")
        assert "networks" not in fields


def test_the_suite_and_the_paper_come_first_and_nothing_twice():
    text = citations.bibtex(["ege_unet", "aulunet_v3", "aulunet_v1", "ege_unet"])
    keys = re.findall(r"^@\w+\{(\w+),$", text, re.MULTILINE)
    assert keys == ["lesion_benchmarks", "rahman2025aulunet", "ruan2023egeunet"]
    assert text.endswith("}\n")
    assert "\n\n\n" not in text


def test_a_wrapped_network_cites_its_library():
    assert "Segmentation Models {PyTorch}" in citations.bibtex(["smp:unet/resnet18"])


@pytest.mark.parametrize(("typed", "meant"), [("egeunet", "ege_unet"), ("aulunet_v9", "aulunet_v3"), ("suit", "suite")])
def test_an_unknown_name_is_a_sentence_with_the_nearest(typed, meant):
    with pytest.raises(RequestError, match=f"no entry to cite for '{typed}'; did you mean .*{meant}"):
        citations.bibtex([typed])
    with pytest.raises(RequestError, match="no entry to cite for 'qqqq'; `python -m benchmarks list networks`"):
        citations.bibtex(["qqqq"])


def test_citing_needs_no_torch():
    code = "import sys; from results.citations import bibtex; bibtex(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_citation_file_is_whole_and_of_this_version():
    """The keys that the schema of CFF 1.2.0 demands, and the version of the package."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == VERSION
    assert f"version = {{{VERSION}}}" in citations.entries()["suite"]
    preferred = citation["references"][0]
    assert preferred["title"] == re.sub(r"[{}]", "", re.search(r"title = \{(.+)\},", citations.entries()["paper"])[1])
