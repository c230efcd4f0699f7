"""What a report consists of, made once and then written in any number of formats."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from reports.comparison.findings import Findings
from reports.figures.all import Figures, all_figures
from reports.figures.predictions import Photographs
from reports.formats.paper_options import PLAIN, Paper
from reports.tables.all import all_grids
from reports.tables.grid import Grid


@dataclass(frozen=True)
class Contents:
    """Findings, tables and figures. `photographs` fetches pictures for the figure of predictions, where it may."""

    findings: Findings
    photographs: Photographs | None = None
    formats: frozenset[str] = frozenset()
    """What is written beside each other, so that one may link to another."""
    paper: Paper = PLAIN
    """What the tables that papers print show."""

    @cached_property
    def grids(self) -> dict[str, list[Grid]]:
        """Every table as grids, by file stem; what has nothing to show has no grids."""
        return all_grids(self.findings)

    @cached_property
    def figures(self) -> Figures:
        """Every figure, drawn when a format first asks for one."""
        return all_figures(self.findings, self.photographs)


def table_files(contents: Contents, suffix: str, write: Callable[[Sequence[Grid]], str]) -> dict[str, bytes]:
    """File name -> content: a file per table that has something to show."""
    return {f"{stem}.{suffix}": write(grids).encode() for stem, grids in contents.grids.items() if grids}
