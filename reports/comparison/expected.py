"""Which rows stand in which table of the paper, in which order, under which label."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from reports.evidence import Evidence

ORIENTATION = {
    "synthetic": "isic2018"
}  # data without published numbers -> data whose numbers are shown for orientation
DATASETS = {"isic2017": "ISIC2017", "isic2018": "ISIC2018", "synthetic": "Synthetic lesions"}

_WIDTHS = "Our reading: the released code has no switch for it, and the widths are inferred from the printed counts."
_POOLED = "Our second reading of the row above it: the released widths and an LSG gate from pooled features."
_THREE = (
    "Our reading: the released code has two branches only; a softmax over three is inferred from the printed counts."
)
READINGS = {
    "aulunet_v1": _WIDTHS,
    "aulunet_v2": _WIDTHS,
    "aulunet_v1_pooled": _POOLED,
    "aulunet_v2_pooled": _POOLED,
    "aulunet_d123": _THREE,
    "aulunet_d135": _THREE,
    "aulunet_d157": _THREE,
    "aulunet_d357": _THREE,
}

_ALONE = "Not in the paper: where AKF is absent, a depthwise 3x3 convolution and a PointConv stand in its place."
NOTES = {
    "aulunet_akf": "Not in the paper: AKF without RGF and LSG.",
    "aulunet_rgf": _ALONE,
    "aulunet_lsg": _ALONE,
    "aulunet_rgf_lsg": _ALONE,
}


@dataclass(frozen=True)
class Layout:
    """A table of the paper: its caption, its metrics, and the rows that we add to it (network, label)."""

    title: str
    caption: str
    metrics: tuple[str, ...]
    extras: tuple[tuple[str, str], ...] = ()


LAYOUTS = {
    "table1": Layout(
        "Table 1",
        "AULUNet and the networks it is compared with.",
        ("miou", "dsc"),
        (("aulunet_v1_pooled", "AULUNet-v1 (second reading)"), ("aulunet_v2_pooled", "AULUNet-v2 (second reading)")),
    ),
    "table2": Layout(
        "Table 2",
        "AULUNet with and without its modules.",
        ("miou", "dsc", "acc", "spe", "sen"),
        (
            ("aulunet_akf", "AKF only"),
            ("aulunet_rgf", "RGF only"),
            ("aulunet_lsg", "LSG only"),
            ("aulunet_rgf_lsg", "RGF+LSG"),
        ),
    ),
    "table3": Layout("Table 3", "Dilations of AKF's branches.", ("miou", "dsc")),
}
PAPER_VENUE = "BMVC25"  # of AULUNet, whose own rows are printed without one
GROUPS = {2: "Two branches (sigmoid)", 3: "Three branches (softmax)"}


@dataclass(frozen=True)
class Line:
    """A row before anything is measured. `printed`: column -> value as printed (percent, M, G) or None: unreadable."""

    dataset: str
    network: str
    label: str
    venue: str = ""
    group: str = ""
    orientation: bool = False
    source: str = ""
    printed: Mapping[str, float | None] = field(default_factory=dict)

    def fraction(self, column: str) -> float | None:
        """A printed percentage as a fraction."""
        percent = self.printed.get(column)
        return None if percent is None else percent / 100


def lines(name: str, dataset: str, recipe: str, evidence: Evidence) -> list[Line]:
    """Rows of one block of a table: the paper's in its order, then ours, then whatever else was run there."""
    table = evidence.published[name]
    source = ORIENTATION.get(dataset, dataset)
    typed = table[table["dataset"] == source]
    if typed.empty:
        typed = table.drop_duplicates("model")
        typed = typed[["model", "label", *typed.columns.intersection(["venue", "branches"])]]
    found = [_typed(row, dataset, source) for row in typed.to_dict("records")]
    ours = {network: (label, PAPER_VENUE) for network, label in LAYOUTS[name].extras}
    listed = {line.network for line in found}
    others = {} if name != "table1" else _others(dataset, recipe, evidence)
    for network, (label, venue) in {**ours, **others}.items():
        if network not in listed:
            found.append(Line(dataset, network, label, venue))
    return found


def networks(name: str, evidence: Evidence) -> set[str]:
    """Networks that the paper or we put in this table by name."""
    return {*evidence.published[name]["model"], *dict(LAYOUTS[name].extras)}


def _typed(row: dict, dataset: str, source: str) -> Line:
    text = {"model", "label", "venue", "dataset", "source", "dilations", "gate", "branches", "akf", "rgf", "lsg"}
    printed = {key: None if pd.isna(value) else float(value) for key, value in row.items() if key not in text}
    venue = row.get("venue")
    return Line(
        dataset=dataset,
        network=row["model"],
        label=str(row["label"]),
        venue=venue if isinstance(venue, str) else PAPER_VENUE,
        group=GROUPS.get(row.get("branches", 0), ""),
        orientation=dataset != source,
        source=str(row.get("source", "")),
        printed=printed,
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
    elsewhere |= set(dict(LAYOUTS["table1"].extras))
    return {network: names for network, names in found.items() if network not in elsewhere}
