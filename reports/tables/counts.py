"""Parameters and operations by every convention of counting, beside the published ones."""

from reports.comparison.findings import Findings
from reports.comparison.join import COUNTS, CountComparison, compare_count
from reports.comparison.names import NOT_IN_THE_PAPER, mark_notes
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
)
from results.catalogue import BEYOND

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
        Column("ptflops_macs", "ptflops' MACs", "G", "number", "Operations", "of modules alone, as we build them"),
        Column("fvcore_macs", "fvcore's MACs", "G", "number", "Operations"),
        Column("flops", "true FLOPs", "G", "number", "Operations", "two per multiply-add, selective scans included"),
        Column("gflops_verdict", "verdict", "", "text", "Operations"),
        Column("remark", "Remark", "", "prose"),
    ]
    evidence, known = findings.evidence, findings.first_rows
    found = dict(findings.counts)
    for network in evidence.complexity:
        found.setdefault(network, {column.name: compare_count(column, None, network, evidence) for column in COUNTS})
    order = [*(network for network in found if network not in BEYOND), *BEYOND]
    lines = [_counts_row(network, label_cell(network, known), found[network], evidence) for network in order]
    caption = (
        "At 1 x 3 x 256 x 256. Contradicted: our count does not give the published digits, rounded or truncated. "
        "The paper's counts are judged by the true sum and thop's MACs, others each by the counter that "
        "its remark names."
    )
    notes = [] if evidence.complexity else [NOTHING_COUNTED]
    return Grid("counts", "Parameters and operations", caption, columns, lines, [*mark_notes(found), *notes])


def _counts_row(network: str, label: TableCell, found: dict[str, CountComparison], evidence: Evidence) -> GridRow:
    known = evidence.complexity.get(network)
    params, gflops = found["params_m"], found["gflops"]
    remarks = [each.reason for each in (params, gflops) if each.verdict is Verdict.CONTRADICTED]
    if network in BEYOND:
        words = {"Parameters": params, "Operations": gflops}
        remarks = [f"{name}: {each.convention}." for name, each in words.items() if each.published is not None]
    return GridRow(
        network,
        [
            label,
            _published(params),
            _counted(known, "parameters"),
            _counted(known, "thop_parameters"),
            _verdict(params),
            _published(gflops),
            *(_counted(known, key, 1e9) for key in ("thop_macs", "ptflops_macs", "fvcore_macs", "flops")),
            _verdict(gflops),
            TableCell(" ".join(remarks) or NOTHING),
        ],
        NOT_IN_THE_PAPER if network in BEYOND else "",
    )


def _verdict(found: CountComparison) -> TableCell:
    """In CSV also what the published count agrees with."""
    word, published = found.verdict.value, found.published is not None
    data = {f"{found.column}_verdict": word, f"{found.column}_convention": (published and found.convention) or NOTHING}
    return TableCell(word, word, verdict=found.verdict, title=found.reason, data=data)


def _published(found: CountComparison) -> TableCell:
    if found.published is None:
        return TableCell(NOT_PUBLISHED)
    return TableCell(f"{found.published:.{found.digits}f}", found.published)


def _counted(known: dict[str, int] | None, key: str, scale: float | None = None) -> TableCell:
    if known is None or key not in known:
        return TableCell(NOT_COUNTED)
    text = f"{known[key]:,}" if scale is None else f"{known[key] / scale:.3f}"
    return TableCell(text, known[key], data={key: known[key]})
