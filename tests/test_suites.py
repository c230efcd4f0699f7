"""Plans: what a suite and the networks asked for come to."""

import pytest

from benchmarks.networks import registry
from benchmarks.protocol import suites
from benchmarks.protocol.recipe import RECIPES
from results import catalogue
from results.published import published_table


def networks(suite: str, *names: str) -> list[tuple[str, str]]:
    chosen = suites.named(suite)
    planned = suites.cells(chosen, chosen.recipe, names or chosen.networks, (1,))
    return [(cell.dataset, cell.network) for cell in planned]


def test_every_network_of_every_suite_is_registered():
    assert all(name in registry.names() for suite in suites.SUITES.values() for name in suite.networks)


def test_suites_follow_the_published_tables():
    for dataset in ("isic2017", "isic2018"):
        table = published_table("table1")
        printed = [(dataset, name) for name in table[table["dataset"] == dataset]["model"]]
        assert networks(dataset)[: len(printed)] == printed
    assert networks("ablation-dilations") == [("isic2018", name) for name in published_table("table3")["model"]]
    assert set(published_table("table2")["model"]) <= {name for _, name in networks("ablation-modules")}


def test_all_runs_each_cell_once_and_ablations_on_isic2018_alone():
    planned = networks("all")
    assert len(planned) == len(set(planned))
    assert ("isic2017", "aulunet_v3") in planned
    assert ("isic2017", "aulunet_m4") not in planned
    assert networks("all", "aulunet_m4") == [("isic2018", "aulunet_m4")]
    assert networks("all", "smp:unet/resnet18") == [(name, "smp:unet/resnet18") for name in ("isic2018", "isic2017")]


def test_beyond_is_a_suite_of_its_own():
    assert {name for _, name in networks("beyond")} == set(catalogue.BEYOND) - {"simple_unet_one_class"}
    assert not {name for _, name in networks("all")} & set(catalogue.BEYOND)
    assert networks("all", "mk_unet") == [("isic2018", "mk_unet"), ("isic2017", "mk_unet")]


def test_a_network_outside_a_suite_joins_it_when_asked_for():
    assert networks("quick", "malunet", "mine") == [("synthetic", "malunet"), ("synthetic", "mine")]


def test_every_suite_names_a_recipe_whose_images_its_networks_take():
    for suite in suites.SUITES.values():
        size = RECIPES[suite.recipe].size
        assert all(registry.entry(name).accepts(size) for name in suite.networks), suite.name


def test_half_covers_aulunet_and_the_light_rivals_on_both_data_sets():
    planned = networks("half")
    assert {dataset for dataset, _ in planned} == {"isic2018", "isic2017"}
    light = {"ege_unet", "malunet", "unext_s", "lb_unet", "aulunet_v1", "aulunet_v2", "aulunet_v3"}
    assert {name for _, name in planned} == light
    assert suites.SUITES["half"].seeds == suites.PAPER_SEEDS
    assert set(planned) <= set(networks("all"))


@pytest.mark.parametrize("suite", ["isic2018", "isic2017", "ablation-modules", "ablation-dilations", "all", "beyond"])
def test_any_suite_runs_under_another_recipe(suite):
    chosen = suites.named(suite)
    planned = suites.cells(chosen, "half", chosen.networks, (1,))
    assert {cell.recipe for cell in planned} == {"half"}
    assert [(cell.dataset, cell.network) for cell in planned] == networks(suite)
    assert all(registry.entry(cell.network).accepts(RECIPES["half"].size) for cell in planned)
