"""One function says that there is no such name, and which ones it may have been meant for."""

import pytest

from benchmarks.datasets import loading, splits
from benchmarks.networks import registry
from benchmarks.protocol import recipe, settings, suites
from reports import render
from results.errors import RequestError, unknown


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("quik", "did you mean quick? "),
        ("QUICK", "did you mean quick? "),
        ("isic2019", "did you mean isic2018 or isic2017? "),
        ("xyzzy", ""),
        ("", ""),
    ],
)
def test_an_unknown_name_is_told_its_neighbours(name: str, meant: str) -> None:
    known = ("isic2017", "isic2018", "quick")
    said = str(unknown("suite", name, iter(known), "--suite takes one of: {names}"))
    told = said.replace("isic2017 or isic2018?", "isic2018 or isic2017?")  # they are equally near
    assert told == f"There is no suite {name!r}; {meant}--suite takes one of: isic2017, isic2018, quick."


def test_the_names_stand_as_they_are_written() -> None:
    assert "did you mean ISIC? " in str(unknown("suite", "isik", ["ISIC"], "look"))


@pytest.mark.parametrize(
    ("look_up", "said"),
    [
        (lambda: registry.entry("aulunet-v3"), "no network 'aulunet-v3'; did you mean aulunet_v3"),
        (lambda: suites.named("ablation"), "no suite 'ablation'; did you mean ablation-"),
        (lambda: recipe.named("papper"), "no recipe 'papper'; did you mean paper"),
        (lambda: settings.changed(recipe.Recipe(), ["epoch=3"]), "no setting 'epoch'; did you mean epochs"),
        (lambda: loading.check_request("isic_2018", 64), "no data set 'isic_2018'; did you mean isic2018"),
        (lambda: splits.cut([], (0, 0, 0), "papers"), "no split 'papers'; did you mean paper"),
        (lambda: render.render(None, None, {"latx"}), "no format 'latx'; did you mean latex"),
    ],
)
def test_every_look_up_of_a_name_suggests(look_up, said: str) -> None:
    with pytest.raises(RequestError, match=f"There is {said}"):
        look_up()
