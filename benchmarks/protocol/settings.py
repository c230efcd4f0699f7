"""What a user asks a recipe to change: options of their own name, and --set NAME=VALUE for every field of `Recipe`."""

import re
from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from benchmarks.protocol.recipe import KINDS, Recipe, WrongSetting
from results.errors import RequestError, unknown

TYPES: dict[str, type] = {field.name: field.type for field in fields(Recipe) if field.name != "base"}  # type: ignore[misc]
NAMES = tuple(TYPES)
LONGEST_NAME = 200  # characters; a recipe's name is a folder's name, which may have 255
_WRITTEN = {
    int: re.compile(r"[+-]?[0-9]{1,18}", re.ASCII),
    float: re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?|[+-]?(nan|inf)", re.ASCII | re.IGNORECASE),
    bool: re.compile("true|false", re.IGNORECASE),
    str: re.compile(".*", re.DOTALL),
}


def changed(recipe: Recipe, texts: Iterable[str], **options: object) -> Recipe:
    """The recipe with `options` that are not None and with `texts`, each NAME=VALUE, replaced.

    Raises RequestError, naming the setting as it was given (`--size`, `--set size`), for an unknown name, a value of
    another type or out of its bounds, a setting that is given twice, and a name too long for a folder.
    """
    given = {name: value for name, value in options.items() if value is not None}
    set_: dict[str, Any] = {}
    for text in texts:
        name, value = _parsed(text)
        if name in given:
            raise RequestError(f"--{name} and --set {name} change the same setting; give one of them.")
        if name in set_:
            raise RequestError(f"--set {name} is given twice; give it once.")
        set_[name] = value
    try:
        result = recipe.changed(**given, **set_)
    except WrongSetting as wrong:
        raise WrongSetting(wrong.name, wrong.fault, f"--set {wrong.name}" if wrong.name in set_ else None) from None
    return short_enough(result)


def short_enough(recipe: Recipe) -> Recipe:
    """The recipe itself. Raises RequestError where its name is too long for a folder."""
    if len(recipe.name) > LONGEST_NAME:
        raise RequestError(
            f"The recipe {recipe.name} has a name of {len(recipe.name)} characters, more than the {LONGEST_NAME} that "
            "a folder's name has room for; set fewer settings, or values with fewer digits."
        )
    return recipe


def _parsed(text: str) -> tuple[str, Any]:
    """Name and typed value of one NAME=VALUE."""
    name, equals, value = (part.strip() for part in text.partition("="))
    if not equals or not name:
        raise RequestError(f"--set {text!r} is not NAME=VALUE; write it as --set lr=3e-4.")
    if name == "base":
        raise RequestError("--set base cannot be set: it is the recipe to start from; choose that with --recipe.")
    if name not in TYPES:
        raise unknown("setting", name, NAMES, "--set takes one of: {names}")
    kind = TYPES[name]
    if not _WRITTEN[kind].fullmatch(value):
        raise RequestError(f"--set {name} is {value!r}; give {KINDS[kind]}.")
    return name, value.lower() == "true" if kind is bool else kind(value)
