"""What a newcomer reads first, in plain words made from the data: what was reproduced, and how sure that is.

Accuracies and counts are told apart: a count of parameters needs no training, and says nothing about accuracy.
"""

from collections.abc import Sequence

from reports.comparison.claims import judged, tallied
from reports.comparison.findings import Findings
from reports.comparison.names import dataset_label
from reports.comparison.tally import Tally
from reports.comparison.verdict import RECIPE, SEEDS, Verdict
from reports.statistics.block import RunBlock
from reports.statistics.standing import Standing
from reports.tables.grid import percent
from results.metrics import metric_named

MIOU = metric_named("iou")
MANY = 3  # networks that are still named one by one
EARLIER_LOSS = (
    "Those runs were made with the loss of version 0.2, cross-entropy from logits, which is not the authors' where a "
    "sigmoid saturates."
)


def headline(findings: Findings) -> list[str]:
    """Sentences, most important first: metrics under the paper's recipe, then under others, then counts."""
    blocks = [_block(block, findings) for block in findings.run_blocks]
    return [_metrics(findings.tally), *_claims(findings), *blocks, _counts(findings.tally)]


def _claims(findings: Findings) -> list[str]:
    """What became of the paper's claims, under its recipe and under each other that was run; empty without claims."""
    claims = judged(findings)
    if not claims:
        return []
    recipes = list(claims[0].measured)
    parts = [f"under {'its recipe' if recipe == RECIPE else recipe} {tallied(claims, recipe)}" for recipe in recipes]
    return [f"Of the paper's {len(claims)} claims in words, {'; '.join(parts)}."]


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


def _block(block: RunBlock, findings: Findings) -> str:
    """Who leads under one recipe on one data set, and which differences are more than chance."""
    name = "the paper's recipe" if block.recipe == RECIPE else f"the reduced recipe {block.recipe}"
    where = f"Under {name} on {dataset_label(block.dataset)} ({_setting(block)})"
    found = block.standing(MIOU)
    best, value = findings.label(found.networks[0].network), percent(found.networks[0].mean)
    if len(block.networks) == 1:
        sentence = f"{where}, {best} has a pooled IoU of {value} %."
    else:
        sentence = f"{where}, {best} has the highest pooled IoU, {value} %{_separated(found, findings)}."
    earlier = all(run.config.cross_entropy is None for run in block.runs)
    return sentence + (f" {EARLIER_LOSS}" if earlier else "")


def _separated(found: Standing, findings: Findings) -> str:
    """Which differences are more than chance; ", " or "; " in front."""
    others, tested = (
        [findings.label(name) for name in found.leaders[1:]],
        len(found.separated) + len(found.not_separated),
    )
    if not tested:
        return "; with so few seeds no difference is tested"
    if tested == 1:
        one = "; the one difference between networks with three or more seeds is"
        return f"{one} separated from chance" if found.separated else f"{one} not separated from chance"
    if not found.separated:
        return f", but none of {tested} differences between networks is separated from chance"
    tied = ""
    if others:
        tied = f", not separated from {_names(others) if len(others) <= MANY else f'{len(others)} others'}"
    return f"{tied}; {len(found.separated)} of {tested} differences between networks are separated"


def _names(labels: Sequence[str]) -> str:
    """ "A, B and C"."""
    *front, last = labels
    return f"{', '.join(front)} and {last}" if front else last


def _setting(block: RunBlock) -> str:
    """ "96 px, 15 epochs, 3 seeds" of a block."""
    settings = block.runs[0].config.recipe_settings
    seeds = sorted({len({run.cell.seed for run in each}) for each in block.networks.values()})
    many = f"{seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else str(seeds[0])
    parts = [f"{settings[key]} {unit}" for key, unit in (("size", "px"), ("epochs", "epochs")) if key in settings]
    return ", ".join([*parts, f"{many} seed{'' if many == '1' else 's'}"])
