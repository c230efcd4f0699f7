"""Recipes and suites as TOML files: the same names and types as `Recipe` and `Suite`, and nothing else.

    base = "paper"                       # a recipe: what it starts from
    epochs = 100                         # and what it changes
    lr = 5e-4

    description = "two sets, two networks"       # a suite
    datasets = ["isic2018", "clinic"]
    networks = ["aulunet_v3", "ege_unet"]
    seeds = [1, 2, 3]                            # or how many
    recipe = "my_recipe.toml"                    # a name, or a file beside this one
    plugins = ["my_network.py"]

A recipe of a file is named after what it changes, as one that was changed on the command line: the same settings are
the same recipe, however they were asked for.
"""

from pathlib import Path
from typing import Any

from benchmarks.protocol import recipe as recipes
from benchmarks.protocol import settings, suites
from benchmarks.protocol.recipe import KINDS, Recipe, WrongSetting
from benchmarks.protocol.suites import Suite
from results import files
from results.errors import RequestError, unknown

SUFFIX = ".toml"
_TEXTS = ("datasets", "networks", "plugins")


def recipe(name: str) -> Recipe:
    """A recipe by its name, or from its file. Raises RequestError, which names file and key."""
    if not name.endswith(SUFFIX):
        return recipes.named(name)
    path = Path(name).expanduser()
    given = files.read_toml(path, f"--recipe {path}", "name another file")
    start = given.pop("base", "paper")
    if start not in recipes.RECIPES:
        raise unknown("recipe", str(start), recipes.RECIPES, f"base of {path} takes one of: {{names}}")
    for key, value in given.items():
        if key not in settings.TYPES:
            raise RequestError(f"{path}: {unknown('setting', key, settings.NAMES, 'a recipe takes {names}')}")
        kind = settings.TYPES[key]
        if type(value) is not kind and not (kind is float and type(value) is int):
            raise RequestError(f"{path}: {key} is {value!r}; give {KINDS[kind]}.")
    try:
        return settings.short_enough(recipes.RECIPES[start].changed(**given))
    except WrongSetting as wrong:
        raise RequestError(f"{path}: {wrong.name} {wrong.fault}") from None


def suite(name: str) -> Suite:
    """A suite by its name, or from its file. Raises RequestError, which names file and key."""
    if not name.endswith(SUFFIX):
        return suites.named(name)
    path = Path(name).expanduser()
    given = files.read_toml(path, f"--suite {path}", "name another file")
    known = ("name", "description", *_TEXTS, "seeds", "recipe")
    for key in given:
        if key not in known:
            raise RequestError(f"{path}: {unknown('key', key, known, 'a suite takes {names}')}")
    for key in ("name", "description", "recipe"):
        if not isinstance(given.get(key, ""), str):
            raise RequestError(f"{path}: {key} is {given[key]!r}; give a text in quotation marks.")
    texts = {key: _texts(given.get(key, []), key, path) for key in _TEXTS}
    for key in ("datasets", "networks"):
        if not texts[key]:
            raise RequestError(f"{path}: it has no {key}; name at least one.")
    chosen = str(given.get("recipe", "paper"))
    return Suite(
        str(given.get("name", path.stem)),
        str(given.get("description", "")),
        texts["datasets"],
        texts["networks"],
        _seeds(given.get("seeds", 5), path),
        str(path.parent / chosen) if chosen.endswith(SUFFIX) else chosen,
        tuple(str(path.parent / each) if each.endswith(".py") else each for each in texts["plugins"]),
    )


def _texts(found: Any, key: str, path: Path) -> tuple[str, ...]:
    if not isinstance(found, list) or not all(isinstance(each, str) and each for each in found):
        raise RequestError(f'{path}: {key} is {found!r}; give a list of names, as ["one", "two"].')
    return tuple(dict.fromkeys(found))


def _seeds(found: Any, path: Path) -> tuple[int, ...]:
    """A number of seeds, or a list of them."""
    many = range(1, found + 1) if type(found) is int and 0 < found <= 1000 else found
    if not isinstance(many, range | list) or not many or not all(type(each) is int and each > 0 for each in many):
        raise RequestError(f"{path}: seeds is {found!r}; give how many (5), or which ([1, 2, 3]), above 0.")
    return tuple(dict.fromkeys(many))
