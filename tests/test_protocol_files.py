"""Recipes and suites as TOML files: the same names and types as on the command line, and nothing else."""

from pathlib import Path

import pytest

from benchmarks.cli.run import Asked, _requests
from benchmarks.protocol import files
from benchmarks.protocol.recipe import RECIPES
from results.errors import RequestError

EXAMPLES = Path(__file__).parents[1] / "examples"
SUITE = 'datasets = ["synthetic"]\nnetworks = ["unext_s"]\n'


def asked(suites: list[str], recipe: str | None = None, split: str | None = None) -> dict[str, int]:
    """Names of the recipes that a request has, with how many cells each."""
    return {
        found.name: len(cells) for found, cells in _requests(Asked(suites, None, None, None, recipe, split, None), {})
    }


def test_a_recipe_file_is_the_recipe_that_the_same_settings_are_elsewhere():
    found = files.recipe(str(EXAMPLES / "own_recipe.toml"))
    changed = {"epochs": 3, "size": 32, "lr": 2e-3, "weight_decay": 0.05, "split": "seven_three"}
    assert found == RECIPES["quick"].changed(**changed)
    assert found.name == "quick+epochs=3,lr=0.002,size=32,split=seven_three,weight_decay=0.05"


def test_a_suite_file_finds_its_recipe_and_plugin_beside_it():
    found = files.suite(str(EXAMPLES / "own_suite.toml"))
    assert (found.name, found.seeds, found.datasets) == ("own_suite", (1, 2), ("synthetic", "isic2018"))
    assert files.recipe(found.recipe).epochs == 3
    assert [Path(each).exists() for each in found.plugins] == [True]


def test_several_suites_are_one_request_without_doubles(tmp_path):
    (tmp_path / "own.toml").write_text(SUITE + 'seeds = 4\nrecipe = "quick"')
    assert asked(["quick"]) == {"quick": 15}
    assert asked(["quick", str(tmp_path / "own.toml")]) == {"quick": 16}, "one seed more than the suite quick has"
    assert asked(["quick", "half"]) == {"quick": 15, "half": 70}
    folds = asked([str(tmp_path / "own.toml")], split="fold-*-of-3")
    assert folds == {f"quick+split=fold-{number}-of-3": 4 for number in (1, 2, 3)}


RECIPE_FAULTS = {
    "epoch = 3": r"there is no setting 'epoch'; did you mean epochs\?",
    "epochs = 3.0": "epochs is 3.0; give a whole number",
    "epochs = 0": "epochs is 0; give a whole number from 1",
    'base = "papr"': r"no recipe 'papr'; did you mean paper\? base of .* takes one of",
    'split = "random"': "split is 'random'; give paper, sorted",
    "lr = ": "is no TOML",
    "lr = 1e-6": "lr is 1e-06, below eta_min",
}


@pytest.mark.parametrize("text", RECIPE_FAULTS)
def test_a_faulty_recipe_is_one_sentence_that_names_file_and_key(text, tmp_path):
    path = tmp_path / "my.toml"
    path.write_text(text)
    with pytest.raises(RequestError, match=rf"(?i)my\.toml.*{RECIPE_FAULTS[text]}|{RECIPE_FAULTS[text]}"):
        files.recipe(str(path))


SUITE_FAULTS = {
    SUITE + "seed = [1]": r"There is no key 'seed'; did you mean seeds",
    SUITE + "seeds = [0]": r"seeds is \[0\]; give how many",
    SUITE + "seeds = []": r"seeds is \[\]; give how many",
    SUITE + "recipe = 3": "recipe is 3; give a text",
    'datasets = "synthetic"': "datasets is 'synthetic'; give a list",
    "networks = ['unext_s']": "it has no datasets; name at least one",
}


@pytest.mark.parametrize("text", SUITE_FAULTS)
def test_a_faulty_suite_is_one_sentence_that_names_file_and_key(text, tmp_path):
    path = tmp_path / "my.toml"
    path.write_text(text)
    with pytest.raises(RequestError, match=rf"my\.toml: {SUITE_FAULTS[text]}"):
        files.suite(str(path))


@pytest.mark.parametrize("read", [files.recipe, files.suite])
def test_a_file_that_is_not_there_is_named(read, tmp_path):
    with pytest.raises(RequestError, match=r"nowhere\.toml cannot be read \(No such file or directory\)"):
        read(str(tmp_path / "nowhere.toml"))
