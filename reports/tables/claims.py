"""The paper's claims in words, with a verdict by published numbers and one under each measured recipe."""

from reports.comparison.claims import MEANING, Finding, judged
from reports.comparison.findings import Findings
from reports.tables.grid import NOTHING, Column, Grid, GridRow, TableCell


def claim_grids(findings: Findings) -> list[Grid]:
    """One grid; none where no claims are typed."""
    claims = judged(findings)
    if not claims:
        return []
    recipes = list(claims[0].measured)
    columns = [Column("claim", "Claim", kind="prose"), Column("published", "Published numbers", kind="prose")]
    columns += [Column(recipe, f"Measured, recipe {recipe}", kind="prose") for recipe in recipes]
    rows = []
    for each in claims:
        said = {"claim": each.claim.words, "source": each.claim.source}
        cells = [TableCell(each.claim.words, title=each.claim.source, data=said)]
        cells += [_cell("published", each.published)]
        cells += [_cell(recipe, each.measured[recipe]) for recipe in recipes]
        rows.append(GridRow(each.claim.name, cells))
    return [
        Grid(
            "claims-table",
            "What the paper claims, and what became of it",
            "The paper's claims in our words. Published numbers are means without a test: they say what was claimed, "
            "not how sure it is.",
            columns,
            rows,
            [MEANING],
            key="name",
        )
    ]


def _cell(key: str, found: Finding) -> TableCell:
    text = f"{found.verdict}: {found.words}" if found.words else str(found.verdict)
    return TableCell(
        text,
        str(found.verdict),
        lead=str(found.verdict),
        data={f"{key}_verdict": str(found.verdict), f"{key}_why": found.words or NOTHING},
    )
