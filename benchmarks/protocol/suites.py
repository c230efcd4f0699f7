"""What is run together: data sets, networks, seeds and recipe, under one name."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from results import catalogue
from results.cell import Cell
from results.errors import unknown

PAPER_SEEDS = (1, 2, 3, 4, 5)
TABLE_1 = catalogue.TABLE_1
WITH_SECOND = TABLE_1 + catalogue.SECOND_INTERPRETATIONS


@dataclass(frozen=True)
class Suite:
    """Cells that belong together; cells that several suites name are run once."""

    name: str
    description: str
    datasets: tuple[str, ...]
    networks: tuple[str, ...]
    seeds: tuple[int, ...] = PAPER_SEEDS
    recipe: str = "paper"
    """Its name, or the path of its file."""
    plugins: tuple[str, ...] = ()
    """Files or modules of networks that the suite needs."""


def _unique(*groups: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for group in groups for name in group))


SUITES = {
    suite.name: suite
    for suite in (
        Suite(
            "quick",
            "five light networks on drawn lesions, three seeds, small pictures: shows that everything runs",
            ("synthetic",),
            ("unext_s", "ege_unet", "aulunet_v1", "aulunet_v2", "aulunet_v3"),
            seeds=(1, 2, 3),
            recipe="quick",
        ),
        Suite("isic2018", "Table 1, ISIC2018 half, and our second interpretations", ("isic2018",), WITH_SECOND),
        Suite("isic2017", "Table 1, ISIC2017 half, and our second interpretations", ("isic2017",), WITH_SECOND),
        Suite(
            "small",
            "six light networks on ISIC2018 by a reduced recipe, three seeds: within two hours on two CPU cores",
            ("isic2018",),
            ("aulunet_v3", "aulunet_v1", "aulunet_v2", "ege_unet", "unext_s", "malunet"),
            seeds=(1, 2, 3),
            recipe="small",
        ),
        Suite(
            "half",
            "AULUNet and the four light rivals on both data sets at 128 px over 50 epochs, five seeds",
            ("isic2018", "isic2017"),
            ("aulunet_v3", "aulunet_v1", "aulunet_v2", "ege_unet", "malunet", "unext_s", "lb_unet"),
            recipe="half",
        ),
        Suite(
            "ablation-modules",
            "Table 2, and rows it lacks",
            ("isic2018",),
            _unique(catalogue.TABLE_2, catalogue.SINGLE_MODULES),
        ),
        Suite("ablation-dilations", "Table 3", ("isic2018",), catalogue.TABLE_3),
    )
}
PAPER = tuple(suite for suite in SUITES.values() if suite.recipe == "paper")
SUITES["all"] = Suite(
    "all",
    "Tables 1, 2 and 3: every suite of the paper's recipe",
    ("isic2018", "isic2017"),
    _unique(*(suite.networks for suite in PAPER)),
)
SUITES["beyond"] = Suite(
    "beyond",
    "networks that are not in the paper, by its recipe: smaller rivals and later ones",
    ("isic2018", "isic2017"),
    tuple(name for name in catalogue.BEYOND if name not in catalogue.NOT_TRAINED),
)


def named(name: str) -> Suite:
    """Raises RequestError for an unknown name."""
    if name not in SUITES:
        raise unknown("suite", name, SUITES, "--suite takes one of: {names}")
    return SUITES[name]


def on(suite: Suite, datasets: Sequence[str] | None) -> Suite:
    """The suite on other data sets than its own, where any are given."""
    if not datasets:
        return suite
    return replace(suite, name=f"{suite.name} elsewhere", datasets=tuple(dict.fromkeys(datasets)))


def cells(suite: Suite, recipe: str, networks: tuple[str, ...], seeds: tuple[int, ...]) -> list[Cell]:
    """The plan in order of work: data set by data set, network by network, all seeds of one together.

    `all` is the union of its parts: a network of the ablations runs where the paper runs it, on ISIC2018 alone, and one
    that is in no suite, such as a user's own, on both data sets.
    """
    if suite.name != "all":
        return [Cell(dataset, recipe, name, seed) for dataset in suite.datasets for name in networks for seed in seeds]
    planned = []
    for part in PAPER:
        table_1 = part.name in suite.datasets
        mine = [name for name in networks if name in part.networks or (table_1 and name not in suite.networks)]
        planned += cells(part, recipe, tuple(mine), seeds)
    return list(dict.fromkeys(planned))
