"""Parameters and operations by every convention of counting, beside the published ones."""

from reports.comparison.findings import Findings
from reports.comparison.join import COUNTS, CountComparison, compare_count
from reports.comparison.names import DAGGER_NOTE
from reports.comparison.verdict import Verdict
from reports.evidence import Evidence
from reports.tables.cells import label_cell
from reports.tables.grid import (
    NOT_COUNTED,
    NOT_PUBLISHED,
    NOTHING,
    Column,
    Grid,
    GridRow,
    TableCell,
    thousandths,
)

NOTHING_COUNTED = "Nothing was counted: run python -m benchmarks count."


def counts_grid(findings: Findings) -> Grid:
    """One row per network: the published count beside every convention of counting."""
    columns = [
        Column("label", "Network"),
        Column("params_m_published", "published", "M", "number", "Parameters"),
        Column("parameters", "true sum", "", "number", "Parameters"),
        Column("thop_parameters", "as thop sees them", "", "number", "Parameters"),
        Column("params_m_verdict", "verdict", "", "text", "Parameters"),
        Column("gflops_published", "published", "G", "number", "Operations"),
        Column("thop_macs", "thop's MACs", "G", "number", "Operations", "the paper's counter"),
        Column("fvcore_macs", "fvcore's MACs", "G", "number", "Operations"),
        Column("flops", "true FLOPs", "G", "number", "Operations", "two per multiply-add, selective scans included"),
        Column("gflops_verdict", "verdict", "", "text", "Operations"),
        Column("remark", "Remark", "", "prose"),
    ]
    evidence, known = findings.evidence, findings.first_rows
    found = {network: row.counts for network, row in known.items()}
    for network in evidence.complexity:
        found.setdefault(network, {column.name: compare_count(column, None, network, evidence) for column in COUNTS})
    lines = [_counts_row(network, label_cell(network, known), counts, evidence) for network, counts in found.items()]
    caption = "At 1 x 3 x 256 x 256. Contradicted: our count does not give the published digits, rounded or truncated."
    notes = [] if evidence.complexity else [NOTHING_COUNTED]
    return Grid("counts", "Parameters and operations", caption, columns, lines, [DAGGER_NOTE, *notes])


def _counts_row(network: str, label: TableCell, found: dict[str, CountComparison], evidence: Evidence) -> GridRow:
    known = evidence.complexity.get(network)
    params, gflops = found["params_m"], found["gflops"]
    remarks = [each.reason for each in (params, gflops) if each.verdict is Verdict.CONTRADICTED]
    return GridRow(
        network,
        [
            label,
            _published(params),
            _counted(known, "parameters"),
            _counted(known, "thop_parameters"),
            TableCell(params.verdict.value, params.verdict.value, verdict=params.verdict, title=params.reason),
            _published(gflops),
            *(_counted(known, key, 1e9) for key in ("thop_macs", "fvcore_macs", "flops")),
            TableCell(gflops.verdict.value, gflops.verdict.value, verdict=gflops.verdict, title=gflops.reason),
            TableCell(" ".join(remarks) or NOTHING),
        ],
    )


def _published(found: CountComparison) -> TableCell:
    if found.published is None:
        return TableCell(NOT_PUBLISHED)
    return TableCell(thousandths(found.published), found.published)


def _counted(known: dict[str, int] | None, key: str, scale: float | None = None) -> TableCell:
    if known is None or key not in known:
        return TableCell(NOT_COUNTED)
    text = f"{known[key]:,}" if scale is None else f"{known[key] / scale:.3f}"
    return TableCell(text, known[key], data={key: known[key]})
