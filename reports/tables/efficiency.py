"""Latency, throughput and memory of every network that was profiled, a table per machine."""

from collections.abc import Mapping

from reports.comparison.findings import Findings
from reports.comparison.join import Row
from reports.comparison.names import mark_notes
from reports.evidence import Profile
from reports.tables.cells import label_cell
from reports.tables.grid import NOT_MEASURED, Column, Grid, GridRow, TableCell, slug
from results.profiles import Spread

TIMED = ("latency_ms", "onnx_latency_ms", "kernels_latency_ms", "throughput_ips")


def efficiency_grids(findings: Findings) -> list[Grid]:
    """One grid per machine: they are never mixed."""
    return [_efficiency_grid(profile, findings.first_rows) for profile in findings.evidence.profiles]


def _machine(machine: Mapping[str, object]) -> str:
    """The machine of a profile in words: what is known of it, in a fixed order, then whatever else was stored."""
    words = {"cpu": "{}", "cores": "{} cores", "memory_gb": "{} GB", "device": "on {}", "system": "{}"}
    words |= {"python": "Python {}", "torch": "torch {}"}
    known = [form.format(machine[key]) for key, form in words.items() if key in machine]
    other = [f"{key.replace('_', ' ')} {value}" for key, value in machine.items() if key not in {*words, "name"}]
    return ", ".join(known + other)


def _efficiency_grid(profile: Profile, known: Mapping[str, Row]) -> Grid:
    columns = [
        Column("label", "Network"),
        Column("device", "Device"),
        Column("size", "Image", "px", "number"),
        Column("threads", "Threads", "", "number"),
        Column("latency_ms", "Latency, batch 1", "ms", "number", title="median (quartiles)"),
        Column("onnx_latency_ms", "the same, onnxruntime", "ms", "number", title="same threads; median (quartiles)"),
        Column("kernels_latency_ms", "the same, CPU kernels", "ms", "number", title="one thread; median (quartiles)"),
        Column("throughput_ips", "Throughput, batch 32", "images/s", "number", title="median (quartiles)"),
        Column("peak_memory_mb", "Peak memory", "MB", "number"),
        Column("weights_kb", "Weights", "kB", "number"),
    ]
    order = {network: k for k, network in enumerate(known)}
    measured = sorted(profile.rows, key=lambda row: (row.device, order.get(row.network, len(order))))
    rows = []
    for row in measured:
        cells = [label_cell(row.network, known), TableCell(row.device, row.device)]
        cells += [_plain(getattr(row, key), key) for key in ("size", "threads")]
        cells += [_quartiles(getattr(row, key), key) for key in TIMED]
        cells += [_plain(getattr(row, key), key) for key in ("peak_memory_mb", "weights_kb")]
        rows.append(GridRow(row.network, cells))
    machine = profile.machine
    title = f"Efficiency on {machine.name}"
    described = _machine(machine.content())
    context = {"machine": machine.name}
    caption = f"Inference after warm-up, median (quartiles). {described}."
    notes = mark_notes(row.key for row in rows)
    return Grid(slug("efficiency", profile.path.stem), title, caption, columns, rows, notes, context)


def _plain(value: float | None, key: str) -> TableCell:
    if value is None:
        return TableCell(NOT_MEASURED)
    return TableCell(f"{value:.0f}" if float(value).is_integer() else f"{value:.1f}", value, data={key: value})


def _quartiles(spread: Spread | None, key: str) -> TableCell:
    names = {"median": key, "q25": f"{key}_q25", "q75": f"{key}_q75", "n": f"{key}_n"}
    if spread is None:
        return TableCell(NOT_MEASURED, data=dict.fromkeys(names.values(), NOT_MEASURED))
    text = f"{spread.median:.1f} ({spread.q25:.1f}-{spread.q75:.1f})"
    data = {name: getattr(spread, part) for part, name in names.items()}
    return TableCell(text, spread.median, data=data)
