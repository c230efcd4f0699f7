"""Tables that the paper lacks, as grids: counts by every convention, and efficiency."""

from collections.abc import Iterable, Mapping

from reports.comparison.compare import COUNTS as COLUMNS
from reports.comparison.compare import CountComparison, PaperTable, Row, Verdict, count
from reports.evidence import Evidence, Profile
from reports.tables.grid import NOT_COUNTED, NOT_MEASURED, NOT_PUBLISHED, NOTHING, Cell, Column, Grid, GridRow, slug
from results.profiles import Spread
from results.runs import Run

READING = "† Our reading: the released code has no switch for this network, and the paper's counts alone do not decide."
NOTHING_COUNTED = "Nothing was counted: run python -m benchmarks count."


def rows_of(tables: Iterable[PaperTable]) -> dict[str, Row]:
    """network -> its first row, in the paper's order."""
    found: dict[str, Row] = {}
    for row in (row for filled in tables for block in filled.blocks for row in block.rows):
        found.setdefault(row.network, row)
    return found


def label_cell(network: str, known: dict[str, Row]) -> Cell:
    """The row's label, marked where the architecture is our reading; the name itself for networks of no table."""
    if network not in known:
        return Cell(network, network, data={"label": network})
    row = known[network]
    return Cell(row.label + ("†" if row.reading else ""), row.label, title=row.note, data={"label": row.label})


# Counts


def counts_grid(tables: Iterable[PaperTable], evidence: Evidence) -> Grid:
    """One row a network: the print beside every convention of counting."""
    columns = [
        Column("label", "Network"),
        Column("params_m_printed", "printed", "M", "number", "Parameters"),
        Column("parameters", "true sum", "", "number", "Parameters"),
        Column("thop_parameters", "as thop sees them", "", "number", "Parameters"),
        Column("params_m_verdict", "verdict", "", "text", "Parameters"),
        Column("gflops_printed", "printed", "G", "number", "Operations"),
        Column("thop_macs", "thop's MACs", "G", "number", "Operations", "the paper's counter"),
        Column("fvcore_macs", "fvcore's MACs", "G", "number", "Operations"),
        Column("flops", "true FLOPs", "G", "number", "Operations", "two per multiply-add, selective scans included"),
        Column("gflops_verdict", "verdict", "", "text", "Operations"),
        Column("remark", "Remark", "", "prose"),
    ]
    known = rows_of(tables)
    found = {network: row.counts for network, row in known.items()}
    for network in evidence.complexity:
        found.setdefault(network, {column.name: count(column, None, network, evidence) for column in COLUMNS})
    lines = [_counts_row(network, label_cell(network, known), counts, evidence) for network, counts in found.items()]
    caption = "At 1 x 3 x 256 x 256. Contradicted: our count does not give the printed digits, rounded or truncated."
    notes = [] if evidence.complexity else [NOTHING_COUNTED]
    return Grid("counts", "Parameters and operations", caption, columns, lines, [READING, *notes])


def _counts_row(network: str, label: Cell, found: dict[str, CountComparison], evidence: Evidence) -> GridRow:
    known = evidence.complexity.get(network)
    params, gflops = found["params_m"], found["gflops"]
    remarks = [each.reason for each in (params, gflops) if each.verdict is Verdict.CONTRADICTED]
    return GridRow(
        network,
        [
            label,
            _printed(params),
            _counted(known, "parameters"),
            _counted(known, "thop_parameters"),
            Cell(params.verdict.value, params.verdict.value, verdict=params.verdict, title=params.reason),
            _printed(gflops),
            *(_counted(known, key, 1e9) for key in ("thop_macs", "fvcore_macs", "flops")),
            Cell(gflops.verdict.value, gflops.verdict.value, verdict=gflops.verdict, title=gflops.reason),
            Cell(" ".join(remarks) or NOTHING),
        ],
    )


def _printed(found: CountComparison) -> Cell:
    return Cell(NOT_PUBLISHED) if found.printed is None else Cell(f"{found.printed:.3f}", found.printed)


def _counted(known: dict[str, int] | None, key: str, scale: float | None = None) -> Cell:
    if known is None or key not in known:
        return Cell(NOT_COUNTED)
    text = f"{known[key]:,}" if scale is None else f"{known[key] / scale:.3f}"
    return Cell(text, known[key], data={key: known[key]})


# Runs


def blocks_of_runs(tables: Iterable[PaperTable], evidence: Evidence) -> dict[tuple[str, str], dict[str, list[Run]]]:
    """(data set, recipe) -> network -> runs, networks in the paper's order."""
    order = {network: k for k, network in enumerate(rows_of(tables))}
    found: dict[tuple[str, str], dict[str, list[Run]]] = {}
    for run in sorted(evidence.runs, key=lambda run: (order.get(run.cell.network, len(order)), run.cell)):
        found.setdefault((run.cell.dataset, run.cell.recipe), {}).setdefault(run.cell.network, []).append(run)
    return dict(sorted(found.items(), key=lambda item: (item[0][1] != "paper", item[0])))


# Efficiency


def efficiency_grids(tables: Iterable[PaperTable], evidence: Evidence) -> list[Grid]:
    """One grid a machine: they are never mixed."""
    known = rows_of(tables)
    return [_efficiency_grid(profile, known) for profile in evidence.profiles]


def _machine(machine: Mapping[str, object]) -> str:
    """The machine of a profile in words: what is known of it, in a fixed order, then whatever else was stored."""
    words = {"cpu": "{}", "cores": "{} cores", "memory_gb": "{} GB", "device": "on {}", "system": "{}"}
    words |= {"python": "Python {}", "torch": "torch {}"}
    known = [form.format(machine[key]) for key, form in words.items() if key in machine]
    other = [f"{key.replace('_', ' ')} {value}" for key, value in machine.items() if key not in {*words, "name"}]
    return ", ".join(known + other)


def _efficiency_grid(profile: Profile, known: dict[str, Row]) -> Grid:
    columns = [
        Column("label", "Network"),
        Column("device", "Device"),
        Column("size", "Image", "px", "number"),
        Column("threads", "Threads", "", "number"),
        Column("latency_ms", "Latency, batch 1", "ms", "number", title="median (quartiles)"),
        Column("kernels_latency_ms", "the same, CPU kernels", "ms", "number", title="one thread; median (quartiles)"),
        Column("throughput_ips", "Throughput, batch 32", "images/s", "number", title="median (quartiles)"),
        Column("peak_memory_mb", "Peak memory", "MB", "number"),
        Column("weights_kb", "Weights", "kB", "number"),
    ]
    order = {network: k for k, network in enumerate(known)}
    measured = sorted(profile.rows, key=lambda row: (row.device, order.get(row.network, len(order))))
    rows = []
    for row in measured:
        cells = [label_cell(row.network, known), Cell(row.device, row.device)]
        cells += [_plain(getattr(row, key), key) for key in ("size", "threads")]
        cells += [_quartiles(getattr(row, key), key) for key in ("latency_ms", "kernels_latency_ms", "throughput_ips")]
        cells += [_plain(getattr(row, key), key) for key in ("peak_memory_mb", "weights_kb")]
        rows.append(GridRow(row.network, cells))
    machine = profile.machine
    title = f"Efficiency on {machine.name}"
    described = _machine(machine.content())
    context = {"machine": machine.name}
    caption = f"Inference after warm-up, median (quartiles). {described}."
    return Grid(slug("efficiency", profile.path.stem), title, caption, columns, rows, [READING], context)


def _plain(value: float | None, key: str) -> Cell:
    if value is None:
        return Cell(NOT_MEASURED)
    return Cell(f"{value:.0f}" if float(value).is_integer() else f"{value:.1f}", value, data={key: value})


def _quartiles(spread: Spread | None, key: str) -> Cell:
    names = {"median": key, "q25": f"{key}_q25", "q75": f"{key}_q75", "n": f"{key}_n"}
    if spread is None:
        return Cell(NOT_MEASURED, data=dict.fromkeys(names.values(), NOT_MEASURED))
    text = f"{spread.median:.1f} ({spread.q25:.1f}-{spread.q75:.1f})"
    data = {name: getattr(spread, part) for part, name in names.items()}
    return Cell(text, spread.median, data=data)
