"""What a newcomer reads first, in plain words made from the data: what was reproduced, and how sure that is.

Accuracies and counts are told apart: a count of parameters needs no training, and says nothing about accuracy.
"""

from collections.abc import Mapping, Sequence

from reports.comparison.compare import DATASETS, RECIPE, SEEDS, PaperTable, Tally, Verdict, tally
from reports.evidence import Evidence
from reports.statistics.standing import Standing, standing
from reports.tables.grid import percent
from reports.tables.supplements import blocks_of_runs, rows_of
from results.metrics import metric_named
from results.runs import Run

MIOU = metric_named("miou")
MANY = 3  # networks that are still named one by one
EARLIER_LOSS = (
    "Those runs were made with the loss of version 0.2, cross-entropy from logits, which is not the authors' where a "
    "sigmoid saturates."
)


def headline(tables: Sequence[PaperTable], evidence: Evidence) -> list[str]:
    """Sentences, most important first: metrics under the paper's recipe, then under others, then counts."""
    counted = tally(tables)
    labels = {network: row.label for network, row in rows_of(tables).items()}
    said = [_metrics(counted)]
    for (dataset, recipe), networks in blocks_of_runs(tables, evidence).items():
        said.append(_block(dataset, recipe, networks, labels))
    return [*said, _counts(counted)]


def _metrics(counted: Tally) -> str:
    """Of the published accuracies: how many were measured as the paper did, and what came out."""
    number = counted.metrics
    published = sum(number.values())
    judged = number[Verdict.REPRODUCED] + number[Verdict.ABOVE] + number[Verdict.BELOW]
    if not judged:
        return f"No accuracy of the paper has been measured under its recipe yet: 0 of {published} published values."
    parts = [f"{number[word]} {word}" for word in (Verdict.REPRODUCED, Verdict.ABOVE, Verdict.BELOW) if number[word]]
    return (
        f"{judged} of {published} published accuracies have been measured under the paper's recipe over {SEEDS} seeds: "
        f"{', '.join(parts)}."
    )


def _counts(counted: Tally) -> str:
    number = counted.counts
    text = f"Counts of parameters and operations, which need no training: {number[Verdict.REPRODUCED]} of "
    text += f"{sum(number.values())} published ones are reproduced"
    contradicted = number[Verdict.CONTRADICTED]
    return text + (f", {contradicted} contradicted, with the reasons stated below." if contradicted else ".")


def _block(dataset: str, recipe: str, networks: Mapping[str, Sequence[Run]], labels: Mapping[str, str]) -> str:
    """Who leads under one recipe on one data set, and which differences are more than chance."""
    name = "the paper's recipe" if recipe == RECIPE else f"the reduced recipe {recipe}"
    where = f"Under {name} on {DATASETS.get(dataset, dataset)} ({_setting(networks)})"
    found = standing(networks, MIOU)
    best, value = _names([found.networks[0].network], labels), percent(found.networks[0].mean)
    if len(networks) == 1:
        sentence = f"{where}, {best} has a mIoU of {value} %."
    else:
        sentence = f"{where}, {best} has the highest mIoU, {value} %{_separated(found, labels)}."
    earlier = all(run.config.cross_entropy is None for runs in networks.values() for run in runs)
    return sentence + (f" {EARLIER_LOSS}" if earlier else "")


def _separated(found: Standing, labels: Mapping[str, str]) -> str:
    """Which differences are more than chance; ", " or "; " in front."""
    others, tested = found.leaders[1:], len(found.separated) + len(found.not_separated)
    if not tested:
        return "; with so few seeds no difference is tested"
    if not found.separated:
        return f", but none of {tested} differences between networks is separated from chance"
    tied = ""
    if others:
        tied = f", not separated from {_names(others, labels) if len(others) <= MANY else f'{len(others)} others'}"
    return f"{tied}; {len(found.separated)} of {tested} differences between networks are separated"


def _names(networks: Sequence[str], labels: Mapping[str, str]) -> str:
    *front, last = [labels.get(name, name) for name in networks]
    return f"{', '.join(front)} and {last}" if front else last


def _setting(networks: Mapping[str, Sequence[Run]]) -> str:
    """ "96 px, 15 epochs, 3 seeds" of a block."""
    runs = [run for each in networks.values() for run in each]
    settings = runs[0].config.recipe_settings
    seeds = sorted({len({run.cell.seed for run in each}) for each in networks.values()})
    many = f"{seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else str(seeds[0])
    parts = [f"{settings[key]} {unit}" for key, unit in (("size", "px"), ("epochs", "epochs")) if key in settings]
    return ", ".join([*parts, f"{many} seed{'' if many == '1' else 's'}"])
