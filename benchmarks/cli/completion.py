"""What a shell offers where a name is to be typed. Reads nothing that needs torch."""


def suites() -> list[str]:
    from benchmarks.protocol.suites import SUITES

    return list(SUITES)


def recipes() -> list[str]:
    from benchmarks.protocol.recipe import RECIPES

    return list(RECIPES)


def settings() -> list[str]:
    """NAME= of every setting of a recipe."""
    from benchmarks.protocol.settings import NAMES

    return [f"{name}=" for name in NAMES]


def splits() -> list[str]:
    from benchmarks.datasets.splits import NAMED

    return [*NAMED, *(f"fold-{number}-of-5" for number in range(1, 6)), "fold-*-of-5"]


def networks() -> list[str]:
    """Those of the catalogue, which the registry builds; the registry itself needs torch."""
    from results.catalogue import NETWORKS

    return list(NETWORKS)


def datasets() -> list[str]:
    from benchmarks.datasets import names

    return names()


def lists() -> list[str]:
    return ["networks", "datasets", "splits", "suites", "recipes", "runs"]


def executors() -> list[str]:
    return ["local", "ray", "slurm"]


def devices() -> list[str]:
    return ["auto", "cpu", "cuda"]
