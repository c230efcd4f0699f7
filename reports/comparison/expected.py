"""Which rows stand in which table of the paper, in which order, under which label."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from reports.comparison.names import NOT_IN_THE_PAPER, REFERENCE_ONLY
from reports.evidence import Evidence
from results.catalogue import BEYOND, NETWORKS, PAPER_VENUE, SECOND_INTERPRETATIONS, SINGLE_MODULES


@dataclass(frozen=True)
class Layout:
    """A table of the paper: its caption, its metrics, and the networks that we add to it."""

    title: str
    caption: str
    metrics: tuple[str, ...]
    extras: tuple[str, ...] = ()


LAYOUTS = {
    "table1": Layout(
        "Table 1",
        "AULUNet and the networks it is compared with.",
        ("iou", "dsc"),
        SECOND_INTERPRETATIONS,
    ),
    "table2": Layout(
        "Table 2",
        "AULUNet with and without its modules.",
        ("iou", "dsc", "acc", "spe", "sen"),
        SINGLE_MODULES,
    ),
    "table3": Layout("Table 3", "Dilations of AKF's branches.", ("iou", "dsc")),
}
GROUPS = {2: "Two branches (sigmoid)", 3: "Three branches (softmax)"}


@dataclass(frozen=True)
class Line:
    """A row before anything is measured. `published`: column -> value as typed (percent, M, G) or None: unreadable."""

    dataset: str
    network: str
    label: str
    venue: str = ""
    group: str = ""
    reference_only: bool = False
    source: str = ""
    published: Mapping[str, float | None] = field(default_factory=dict)

    def fraction(self, column: str) -> float | None:
        """A published percentage as a fraction."""
        percent = self.published.get(column)
        return None if percent is None else percent / 100


def lines(name: str, dataset: str, recipe: str, evidence: Evidence) -> list[Line]:
    """Rows of one block of a table: the paper's in its order, then ours, then whatever else was run there."""
    table = evidence.published[name]
    source = REFERENCE_ONLY.get(dataset, dataset)
    typed = table[table["dataset"] == source]
    if typed.empty:
        typed = table.drop_duplicates("model")
        typed = typed[["model", "label", *typed.columns.intersection(["venue", "branches"])]]
    found = [_typed(row, dataset, source) for row in typed.to_dict("records")]
    ours = {network: (NETWORKS[network].label, NETWORKS[network].venue) for network in LAYOUTS[name].extras}
    listed = {line.network for line in found}
    others = {} if name != "table1" else _others(dataset, recipe, evidence)
    for network, (label, venue) in {**ours, **others}.items():
        if network not in listed:
            group = NOT_IN_THE_PAPER if network in BEYOND else ""
            found.append(Line(dataset, network, label, venue, group))
    return found


def networks(name: str, evidence: Evidence) -> set[str]:
    """Networks that the paper or we put in this table by name."""
    return {*evidence.published[name]["model"], *LAYOUTS[name].extras}


def _typed(row: dict, dataset: str, source: str) -> Line:
    text = {"model", "label", "venue", "dataset", "source", "dilations", "gate", "branches", "akf", "rgf", "lsg"}
    published = {key: None if pd.isna(value) else float(value) for key, value in row.items() if key not in text}
    venue = row.get("venue")
    return Line(
        dataset=dataset,
        network=row["model"],
        label=str(row["label"]),
        venue=venue if isinstance(venue, str) else PAPER_VENUE,
        group=GROUPS.get(row.get("branches", 0), ""),
        reference_only=dataset != source,
        source=str(row.get("source", "")),
        published=published,
    )


def _others(dataset: str, recipe: str, evidence: Evidence) -> dict[str, tuple[str, str]]:
    """Networks run in this block that no other table holds: name -> label and venue of their own configuration."""
    elsewhere = (networks("table2", evidence) | networks("table3", evidence)) - networks("table1", evidence)
    cells = [run.cell for run in evidence.runs] + [failure.cell for failure in evidence.failures]
    here = sorted(cell.network for cell in cells if (cell.dataset, cell.recipe) == (dataset, recipe))
    found = {network: (network, "") for network in here}
    for run in evidence.runs:
        if (run.cell.dataset, run.cell.recipe) == (dataset, recipe):
            found[run.cell.network] = (run.config.label or run.cell.network, run.config.venue or "")
    for network in (name for name in BEYOND if name in found):  # last, in the catalogue's order
        del found[network]
        found[network] = (NETWORKS[network].label, NETWORKS[network].venue)
    elsewhere |= set(LAYOUTS["table1"].extras)
    return {network: names for network, names in found.items() if network not in elsewhere}
