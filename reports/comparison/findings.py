"""What follows from the evidence, computed once: tables, figures, formats, headline and check only show it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from reports.comparison.beyond import beyond_counts
from reports.comparison.join import Block, CountComparison, PaperTable, Row, fill
from reports.comparison.lesion_share import lesion_shares
from reports.comparison.published_pairs import PublishedPair, published_pairs
from reports.comparison.tally import Tally, tally
from reports.comparison.verdict import RECIPE
from reports.evidence import Evidence, load_everything
from reports.statistics.block import RunBlock
from results.catalogue import NETWORKS
from results.published import TABLES
from results.runs import Run


@dataclass(frozen=True)
class Findings:
    """The evidence, the paper's tables filled with it, and all that follows; everything is computed at most once.

    `tables`: "table1" to "table3" -> blocks of rows, each with its published and measured numbers and its verdicts.
    """

    evidence: Evidence
    tables: Mapping[str, PaperTable]

    @classmethod
    def of(cls, evidence: Evidence) -> "Findings":
        """Compare what was measured with what was published."""
        return cls(evidence, {name: fill(name, evidence) for name in TABLES})

    @classmethod
    def load(cls, root: Path) -> "Findings":
        """Read the results folder `root` and compare."""
        return cls.of(load_everything(root))

    @cached_property
    def blocks(self) -> list[Block]:
        """All blocks of all tables, in the paper's order."""
        return [block for table in self.tables.values() for block in table.blocks]

    @cached_property
    def rows(self) -> list[Row]:
        """All rows of all tables, in the paper's order."""
        return [row for block in self.blocks for row in block.rows]

    @cached_property
    def first_rows(self) -> dict[str, Row]:
        """network -> its first row, in the paper's order."""
        found: dict[str, Row] = {}
        for row in self.rows:
            found.setdefault(row.network, row)
        return found

    def label(self, network: str) -> str:
        """The network's name as the tables write it, else as the catalogue or its runs do; its key where none does."""
        if network in self.first_rows:
            return self.first_rows[network].label
        if network in NETWORKS:
            return NETWORKS[network].label
        labels = (run.config.label for run in self.evidence.runs if run.cell.network == network)
        return next(filter(None, labels), network)

    @cached_property
    def tally(self) -> Tally:
        """How many published numbers got which verdict."""
        return tally(self.tables.values())

    @cached_property
    def counts(self) -> dict[str, dict[str, CountComparison]]:
        """network -> its counts, published beside ours: those of the tables' rows, then those not in the paper."""
        return {network: row.counts for network, row in self.first_rows.items()} | beyond_counts(self.evidence)

    @cached_property
    def published_pairs(self) -> list[PublishedPair]:
        """Every published pair of mIoU and DSC, held against each other."""
        return published_pairs(self.evidence)

    @cached_property
    def lesion_shares(self) -> tuple[float, float] | None:
        """The share of lesion pixels that the published metrics imply, and ours; None where either is unknown."""
        return lesion_shares(self.evidence)

    @cached_property
    def merged_blocks(self) -> list[Block]:
        """One block for each data set and recipe, with the rows of all tables, each network once."""
        merged: dict[tuple[str, str], Block] = {}
        for block in self.blocks:
            key = (block.dataset, block.recipe)
            rows: dict[str, Row] = {row.network: row for row in merged[key].rows} if key in merged else {}
            for row in block.rows:
                rows.setdefault(row.network, row)
            merged[key] = replace(merged.get(key, block), rows=list(rows.values()))
        return list(merged.values())

    @cached_property
    def run_blocks(self) -> list[RunBlock]:
        """Stored runs by data set and recipe, the paper's recipe first; networks in the paper's order."""
        order = {network: k for k, network in enumerate(self.first_rows)}
        found: dict[tuple[str, str], dict[str, list[Run]]] = {}
        for run in sorted(self.evidence.runs, key=lambda run: (order.get(run.cell.network, len(order)), run.cell)):
            found.setdefault((run.cell.dataset, run.cell.recipe), {}).setdefault(run.cell.network, []).append(run)
        places = sorted(found, key=lambda place: (place[1] != RECIPE, place))
        return [RunBlock(*place, found[place]) for place in places]

    def run_block(self, dataset: str, recipe: str) -> RunBlock | None:
        """The runs of one data set and recipe with their statistics; None where nothing is stored."""
        wanted = (dataset, recipe)
        return next((each for each in self.run_blocks if (each.dataset, each.recipe) == wanted), None)
