"""Recipes: what no training can have is refused by its name, and any setting can be changed from the command line."""

import math
from dataclasses import fields, replace

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks.cli.app import app
from benchmarks.protocol.recipe import RECIPES, Recipe, WrongSetting
from benchmarks.protocol.settings import LONGEST_NAME, NAMES, changed
from results.cell import Cell
from results.errors import RequestError

NAN, INFINITE = math.nan, math.inf
REFUSED = {
    "size": (7, 2049, 10**9, 128.0, 128.5, "128", True),
    "batch": (1, 0, -8, 4097, 8.0, True),
    "epochs": (0, -1, 2.5, 3.0, 1_000_001, True, "3"),
    "lr": (0, 0.0, -1, -1e-9, INFINITE, NAN, "1e-3", True),
    "beta1": (-0.1, 1, 1.0, 2, NAN, INFINITE, False),
    "beta2": (-0.1, 1, 1.0, 2, NAN, INFINITE),
    "eps": (0, -1e-8, INFINITE, NAN),
    "weight_decay": (-0.01, INFINITE, NAN, "0"),
    "t_max": (0, -50, 2.5, True),
    "eta_min": (-1e-5, NAN, INFINITE),
    "augment": (1, 0, "true", 0.5),
    "precision": ("fp16", "", 32),
    "split": ("random", "", 1),
    "loss": ("dise", "", 1),
    "augmentation": ("none", "", True),
    "schedule": ("cosinus", "", 1),
    "warm_up": (-1, 0.5, True),
    "patience": (-1, 1_000_001, 2.5, True),
    "ema": (-0.1, 1, 1.0, NAN, "0.5"),
}
ACCEPTED = {
    "size": (8, 2048),
    "batch": (2, 4096),
    "epochs": (1, 1_000_000),
    "lr": (1e-5, 1, 1e30),
    "beta1": (0, 0.0, 0.999999),
    "beta2": (0, 0.999999),
    "eps": (1e-300, 1),
    "weight_decay": (0, 10),
    "t_max": (1, 1_000_000),
    "eta_min": (0, 1e-3),
    "augment": (False,),
    "precision": ("bf16",),
    "split": ("sorted",),
    "loss": ("focal_tversky", "lovasz"),
    "augmentation": ("colour_flips",),
    "schedule": ("cosine_once", "poly", "step", "constant"),
    "warm_up": (0, 399),
    "patience": (1, 1_000_000),
    "ema": (0, 0.999999),
}


def pairs(table: dict[str, tuple]) -> list[tuple[str, object]]:
    return [(name, value) for name, values in table.items() for value in values]


def test_every_field_has_values_that_are_refused_and_accepted():
    assert set(REFUSED) == set(ACCEPTED) == set(NAMES) == {field.name for field in fields(Recipe)} - {"base"}


@pytest.mark.parametrize(("name", "value"), pairs(REFUSED))
def test_a_wrong_value_is_refused_by_its_name(name, value):
    with pytest.raises(WrongSetting, match=rf"^(--set )?(--)?{name} is .*; give .*\.$") as caught:
        Recipe(**{name: value})
    assert repr(value) in str(caught.value) or repr(float(value)) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("base", 3, "a word"),
        ("size", 128.0, "a whole number from 8 to 2048 pixels"),
        ("lr", "1e-3", "a number above 0 and finite"),
        ("augment", 1, "true or false"),
        ("precision", 32, '"fp32" or "bf16"'),
    ],
)
def test_a_value_of_another_type_is_told_what_the_setting_takes(name, value, wanted):
    with pytest.raises(WrongSetting) as caught:
        Recipe(**{name: value})
    assert str(caught.value).endswith(f"{name} is {value!r}; give {wanted}.")


@pytest.mark.parametrize(("name", "value"), pairs(ACCEPTED))
def test_the_ends_of_a_range_are_accepted(name, value):
    assert getattr(Recipe(**{name: value}), name) == value


def test_the_sentence_names_the_option_that_was_given():
    with pytest.raises(RequestError, match=r"^--size is 4; give a whole number from 8 to 2048 pixels\.$"):
        changed(Recipe(), [], size=4)
    with pytest.raises(RequestError, match=r"^--set size is 4; "):
        changed(Recipe(), ["size=4"])
    with pytest.raises(RequestError, match=r"^--set t_max is 0; give a whole number from 1 to"):
        changed(Recipe(), ["t_max=0"])
    with pytest.raises(RequestError, match=r"^--split is 'random'; give paper, sorted, official, sev.*"):
        changed(Recipe(), [], split="random")


def test_the_lowest_rate_may_be_the_highest_and_not_more():
    assert changed(Recipe(), ["lr=1e-5"]).lr_at(26) == pytest.approx(1e-5)
    for texts in (["lr=9e-6"], ["eta_min=0.002"], ["lr=1e-3", "eta_min=1e-2"]):
        with pytest.raises(RequestError, match=r"^--set lr is .*, below eta_min, which is .*give --set eta_min too"):
            changed(Recipe(), texts)


def test_settings_are_typed_as_the_dataclass_is():
    recipe = changed(RECIPES["half"], ["lr=3e-4", " t_max = 100 ", "augment=False", "precision=bf16", "batch=+4"])
    assert (recipe.lr, recipe.t_max, recipe.augment, recipe.precision, recipe.batch) == (3e-4, 100, False, "bf16", 4)
    assert recipe.name == "half+augment=False,batch=4,lr=0.0003,precision=bf16,t_max=100"
    assert recipe == replace(RECIPES["half"], lr=3e-4, t_max=100, augment=False, precision="bf16", batch=4)
    assert changed(Recipe(), ["lr=3e-4", "t_max=100"]).name == "paper+lr=0.0003,t_max=100"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("epochs=2.5", r"--set epochs is '2\.5'; give a whole number\."),
        ("epochs=3.0", r"--set epochs is '3\.0'; give a whole number\."),
        ("epochs=", r"--set epochs is ''; give a whole number\."),
        ("epochs=1_000", r"--set epochs is '1_000'"),
        (f"epochs={'9' * 5000}", r"--set epochs is '9+'; give a whole number\."),
        ("lr=fast", r"--set lr is 'fast'; give a number\."),
        ("lr=1_0", r"--set lr is '1_0'"),
        ("lr=nan", r"--set lr is nan; give a number above 0 and finite\."),
        ("lr=-inf", r"--set lr is -inf; give a number above 0 and finite\."),
        ("lr=1e999", r"--set lr is inf; give a number above 0"),
        ("lr=-1", r"--set lr is -1\.0; give a number above 0"),
        ("beta1=2", r"--set beta1 is 2\.0; give a number from 0 to below 1\."),
        ("augment=yes", r"--set augment is 'yes'; give true or false\."),
        ("augment=1", r"--set augment is '1'; give true or false\."),
        ("lr", r"--set 'lr' is not NAME=VALUE; write it as --set lr=3e-4\."),
        ("=3", r"--set '=3' is not NAME=VALUE"),
        ("base=half", r"--set base cannot be set.*--recipe"),
        ("split=", r"--set split is ''; give paper, sorted, official, seven_three, fold-K-of-N \(as"),
        ("tmax=3", r"There is no setting 'tmax'; did you mean t_max\? --set takes one of: size, batch, .*ema\."),
        ("LR=3", r"There is no setting 'LR'; did you mean lr\? --set takes one of: size"),
        ("weight_decy=0", r"did you mean weight_decay\?"),
        ("xyzzy=0", r"There is no setting 'xyzzy'; --set takes one of"),
        ("name=0", r"There is no setting 'name'"),
    ],
)
def test_what_cannot_be_set_is_one_sentence(text, said):
    with pytest.raises(RequestError, match=rf"^(?s:.*){said}"):
        changed(Recipe(), [text])


def test_a_setting_is_given_once():
    with pytest.raises(RequestError, match=r"^--epochs and --set epochs change the same setting; give one of them\.$"):
        changed(Recipe(), ["epochs=4"], epochs=3)
    with pytest.raises(RequestError, match=r"^--set lr is given twice"):
        changed(Recipe(), ["lr=1e-2", "lr=1e-3"])
    assert changed(Recipe(), ["lr=1e-2"], epochs=3, size=None).name == "paper+epochs=3,lr=0.01"


def test_a_name_tells_the_values_and_nothing_of_how_they_were_written():
    same = [["weight_decay=1"], ["weight_decay=1.0"], ["weight_decay=1e0"], ["weight_decay=+01.00"]]
    assert {changed(Recipe(), texts).name for texts in same} == {"paper+weight_decay=1.0"}
    assert Recipe(weight_decay=np.float64(1)).name == "paper+weight_decay=1.0"
    assert Recipe(eta_min=-0.0).name == Recipe(eta_min=0).name == "paper+eta_min=0.0"
    assert changed(Recipe(), ["lr=0.001", "augment=true", "epochs=400"]).name == "paper"
    assert changed(Recipe(), ["lr=1e-3", "epochs=3"]).name == changed(Recipe(), ["epochs=3"]).name
    near = {changed(Recipe(), [f"lr={value!r}"]).name for value in (1e-3, math.nextafter(1e-3, 1), 1.1e-3)}
    assert len(near) == 3


def test_the_name_of_a_recipe_is_a_folder_and_comes_back_from_it(tmp_path):
    recipe = changed(Recipe(), ["weight_decay=1e+16", "eps=1e-300", "split=sorted", "augment=false"])
    cell = Cell("isic2018", recipe.name, "unet", 1)
    cell.folder(tmp_path).mkdir(parents=True)
    assert cell.folder(tmp_path).parents[1].name == recipe.name
    assert Cell.of_folder(cell.folder(tmp_path)) == cell


def test_a_name_too_long_for_a_folder_is_refused():
    digits = [f"{name}=0.{'123456789' * 2}" for name in ("lr", "beta1", "beta2", "eps", "weight_decay")]
    assert len(changed(Recipe(), digits).name) < LONGEST_NAME
    others = ["size=1111", "batch=3333", "epochs=999999", "t_max=999999", "split=sorted", "precision=bf16"]
    with pytest.raises(RequestError, match="set fewer settings"):
        changed(Recipe(), [*digits, *others, "eta_min=0.0123456789123456789", "augment=false"])


def test_half_is_the_papers_recipe_at_half_its_side_over_one_descent():
    assert RECIPES["half"] == replace(RECIPES["paper"], base="half", size=128, epochs=50)
    assert RECIPES["half"].name == "half"
    rates = [RECIPES["half"].lr_at(epoch) for epoch in range(1, 51)]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] == RECIPES["paper"].lr


def test_help_lists_every_setting():
    usage = CliRunner(env={"COLUMNS": "300", "NO_COLOR": "1"}).invoke(app, ["run", "--help"]).output
    assert "--set" in usage
    assert all(name in usage for name in NAMES)
