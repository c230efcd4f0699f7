"""Which tables the report has, and under which file names."""

from reports.comparison.findings import Findings
from reports.tables.beyond import beyond_grids
from reports.tables.claims import claim_grids
from reports.tables.counts import counts_grid
from reports.tables.definitions import definition_grids
from reports.tables.edges import edge_grids
from reports.tables.efficiency import efficiency_grids
from reports.tables.external import external_grids
from reports.tables.folds import fold_grids
from reports.tables.grid import Grid
from reports.tables.pairs import pair_grids
from reports.tables.paper import paper_grids
from reports.tables.published_pairs import published_pairs_grid
from reports.tables.ranks import rank_grids
from reports.tables.statistics import statistics_grids


def all_grids(findings: Findings) -> dict[str, list[Grid]]:
    """Every table of the report by file stem; what has nothing to show has no grids."""
    return {
        "claims": claim_grids(findings),
        **{name: paper_grids(name, table) for name, table in findings.tables.items()},
        "folds": fold_grids(findings),
        "external": external_grids(findings),
        "beyond": beyond_grids(findings),
        "counts": [counts_grid(findings)],
        "published_pairs": [published_pairs_grid(findings)],
        "statistics": statistics_grids(findings),
        "edges": edge_grids(findings),
        "ranks": rank_grids(findings),
        "definitions": definition_grids(findings),
        "pairs": pair_grids(findings),
        "efficiency": efficiency_grids(findings),
    }
