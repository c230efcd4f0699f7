"""The recipe `paper`, field by field: a changed constant is another experiment, whatever else still passes."""

from dataclasses import asdict, fields

import pytest
import torch

from benchmarks.networks.registry import entry
from benchmarks.objectives.losses import plain
from benchmarks.protocol.recipe import RECIPES, Recipe, named
from benchmarks.training.replicas import Replicas
from results.errors import RequestError

CONFIG = "configs of maklachur/AULUNet b82dc9a, the authors' released configuration"
TRANSFORMS = "transforms of maklachur/AULUNet b82dc9a"
PAPER = {  # field: (value, source)
    "base": ("paper", "its own name"),
    "size": (256, CONFIG),
    "batch": (8, CONFIG),
    "epochs": (400, CONFIG),
    "lr": (1e-3, CONFIG),
    "beta1": (0.9, CONFIG),
    "beta2": (0.999, CONFIG),
    "eps": (1e-8, CONFIG + ", and PyTorch's default"),
    "weight_decay": (1e-2, CONFIG),
    "t_max": (50, CONFIG),
    "eta_min": (1e-5, CONFIG),
    "augment": (True, TRANSFORMS),
    "precision": ("fp32", CONFIG + ": no mixed precision"),
    "loss": ("bce_dice", CONFIG),
    "augmentation": ("paper", TRANSFORMS),
    "schedule": ("cosine", CONFIG),
    "warm_up": (0, CONFIG + ": none"),
    "patience": (0, CONFIG + ": all epochs are trained"),
    "ema": (0.0, CONFIG + ": none"),
    "split": ("paper", "the sizes are the paper's; the order by SHA-256 is ours, because theirs cannot be recovered"),
}
CHANGED = {  # what the other recipes change, and nothing else
    "paper-bf16": {"precision": "bf16"},
    "quick": {"size": 64, "epochs": 16, "lr": 3e-3, "t_max": 16},
    "small": {"size": 96, "epochs": 15, "t_max": 15},
}


@pytest.mark.parametrize("name", [field.name for field in fields(Recipe)])
def test_each_field_of_the_paper_is_the_authors(name: str) -> None:
    assert name in PAPER, "a new field of the recipe needs its value and source here"
    value, source = PAPER[name]
    assert getattr(RECIPES["paper"], name) == value, source
    assert type(getattr(RECIPES["paper"], name)) is type(value)


@pytest.mark.parametrize("name", CHANGED)
def test_other_recipes_change_what_they_say(name: str) -> None:
    assert asdict(RECIPES[name]) == asdict(RECIPES["paper"]) | CHANGED[name] | {"base": name}


@pytest.mark.parametrize(("name", "least"), [("size", 8), ("batch", 2), ("epochs", 1), ("t_max", 1)])
def test_the_least_value_is_taken_and_less_is_refused(name: str, least: int) -> None:
    assert getattr(RECIPES["paper"].changed(**{name: least}), name) == least
    with pytest.raises(RequestError, match=rf"{name} is {least - 1}; give a whole number from {least} "):
        RECIPES["paper"].changed(**{name: least - 1})


def test_precisions_and_splits_are_those_that_exist() -> None:
    assert [RECIPES["paper"].changed(precision=each).precision for each in ("fp32", "bf16")] == ["fp32", "bf16"]
    assert [RECIPES["paper"].changed(split=each).split for each in ("paper", "sorted")] == ["paper", "sorted"]
    for name in ("precision", "split"):
        with pytest.raises(RequestError, match=rf"{name}.* is 'random'; give "):
            RECIPES["paper"].changed(**{name: "random"})


def test_recipes_are_found_by_name_and_an_unknown_one_names_them_all() -> None:
    assert all(named(name) is RECIPES[name] for name in RECIPES)
    with pytest.raises(RequestError, match=r"^There is no recipe 'papers'; .*" + ", ".join(RECIPES)):
        named("papers")


def test_the_optimizer_is_given_the_recipe() -> None:
    """Each constant apart, so that none stands in for another."""
    recipe = Recipe(size=32, lr=0.5, beta1=0.25, beta2=0.125, eps=0.0625, weight_decay=0.03125)
    (group,) = Replicas("aulunet_v3", (1,), recipe, torch.device("cpu")).optimizer.param_groups
    assert (group["lr"], *group["betas"], group["eps"], group["weight_decay"]) == (0.5, 0.25, 0.125, 0.0625, 0.03125)
    assert (group["amsgrad"], group["maximize"]) == (False, False)


def test_the_paper_trains_its_networks_by_the_common_loss() -> None:
    assert all(entry(name).objective is plain for name in ("aulunet_v1", "aulunet_v2", "aulunet_v3", "unext_s"))


@pytest.mark.parametrize(("epoch", "rate"), [(1, 1e-3), (26, 5.05e-4), (51, 1e-5), (101, 1e-3), (400, 9.99e-4)])
def test_the_learning_rate_at_named_epochs(epoch: int, rate: float) -> None:
    """Highest at first, half way after 25 epochs, lowest after 50, highest again after 100."""
    assert RECIPES["paper"].lr_at(epoch) == pytest.approx(rate, rel=1e-3)
