"""One list of networks: the registry, the suites and the published tables all agree with results/catalogue.py."""

import ast
from pathlib import Path

import pytest

from benchmarks.networks.beyond import BEYOND
from benchmarks.networks.paper import PAPER
from results import catalogue
from results.catalogue import NETWORKS
from results.published import published_table

AS_PRINTED = {  # labels of a table that say more than the catalogue's
    ("table2", "aulunet_v1"): "AULUNet-v1 (All)",
    ("table2", "aulunet_v2"): "AULUNet-v2 (All)",
    ("table2", "aulunet_v3"): "AULUNet-v3 (All)",
    ("table3", "aulunet_v3"): "d=1,d=2 (Ours)",
}


def test_the_registry_holds_the_catalogue_in_its_order():
    own = {**PAPER, **BEYOND}
    assert list(own) == list(NETWORKS)
    assert tuple(BEYOND) == catalogue.BEYOND
    for name, known in NETWORKS.items():
        entry = own[name]
        assert (known.name, known.label, known.venue) == (entry.name, entry.label, entry.venue)
        assert entry.interpretation == known.interpretation
        assert not known.interpretation or entry.deviations[0] == known.interpretation
        assert not known.note or known.note in entry.deviations


@pytest.mark.parametrize("table", ["table1", "table2", "table3"])
def test_the_catalogue_follows_the_published_tables(table):
    published = published_table(table).drop_duplicates("model")
    assert tuple(published["model"]) == getattr(catalogue, f"TABLE_{table[-1]}")
    for row in published.to_dict("records"):
        name = row["model"]
        assert row["label"] == AS_PRINTED.get((table, name), NETWORKS[name].label)
        if isinstance(row.get("venue"), str):
            assert row["venue"] == NETWORKS[name].venue


def test_every_network_stands_in_a_table_or_is_added_to_one():
    named = {*catalogue.TABLE_1, *catalogue.SECOND_INTERPRETATIONS, *catalogue.TABLE_2, *catalogue.SINGLE_MODULES}
    named |= {*catalogue.TABLE_3, "lightm_unet_revised"}
    assert named | set(catalogue.BEYOND) == set(NETWORKS)
    assert not named & set(catalogue.BEYOND)


def test_interpreted_are_the_variants_without_a_switch_in_the_released_code():
    interpreted = [name for name, known in NETWORKS.items() if known.interpretation]
    assert interpreted == [
        *("aulunet_v1", "aulunet_v2", "aulunet_v1_pooled", "aulunet_v2_pooled"),
        *("aulunet_d123", "aulunet_d135", "aulunet_d157", "aulunet_d357"),
    ]
    assert all(
        words.endswith(".") for known in NETWORKS.values() for words in (known.interpretation, known.note) if words
    )


def test_the_catalogue_needs_the_standard_library_alone():
    tree = ast.parse(Path(catalogue.__file__).read_text())
    assert [node.module for node in tree.body if isinstance(node, ast.ImportFrom)] == [
        "dataclasses",
        "results.architectures",
    ]
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Import)]
