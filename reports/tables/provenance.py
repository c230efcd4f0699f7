"""Where numbers come from: the stored runs in words, by block and network."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from reports.comparison.findings import Findings
from reports.comparison.names import place
from reports.comparison.verdict import SEEDS
from reports.tables.grid import percent, slug
from results.runs import Run
from results.schema import Code, Host, Report

HEADINGS = (
    "seed",
    "Pooled IoU (%)",
    "DSC (%)",
    "selected epoch",
    "device",
    "seconds",
    "images/s",
    "peak memory (MB)",
    "torch",
    "python",
    "host",
    "code",
    "finished",
)


@dataclass(frozen=True)
class NetworkRuns:
    """The runs of one network in one block, ready to be written."""

    anchor: str
    name: str
    label: str
    summary: str
    headings: Sequence[str]
    runs: list[list[str]]
    facts: list[str]


@dataclass(frozen=True)
class BlockRuns:
    """The networks of one data set and recipe; `facts` is what was run, as half a sentence."""

    title: str
    facts: str
    networks: list[NetworkRuns]


def anchor(dataset: str, recipe: str, network: str) -> str:
    """The id of a network's runs on the page."""
    return slug("runs", dataset, recipe, network)


def provenance(findings: Findings) -> list[BlockRuns]:
    """All runs, block by block."""
    found = []
    for block in findings.run_blocks:
        where = (block.dataset, block.recipe)
        failed = sum((failure.cell.dataset, failure.cell.recipe) == where for failure in findings.evidence.failures)
        entries = [_network(findings.label(name), runs) for name, runs in block.networks.items()]
        found.append(BlockRuns(place(*where), _facts(block.runs, failed), entries))
    return found


def _facts(runs: list[Run], failed: int) -> str:
    networks, seeds = {run.cell.network for run in runs}, sorted({run.cell.seed for run in runs})
    parts = [
        f": {_counted(len(runs), 'run')} of {_counted(len(networks), 'network')} (seeds {_ranges(seeds)})",
        f"{_either(str(len(run.per_image)) for run in runs)} test images",
        _either(_size(run) for run in runs),
        _either(_device(run) for run in runs),
    ]
    if failed:
        parts.append(f"{_counted(failed, 'failed seed')}")
    return ", ".join(parts)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _ranges(seeds: Sequence[int]) -> str:
    """1, 2, 3, 5 -> "1-3, 5"."""
    starts = [seed for seed in seeds if seed - 1 not in seeds]
    ends = [seed for seed in seeds if seed + 1 not in seeds]
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in zip(starts, ends, strict=True))


def _either(values: Iterable[str]) -> str:
    return " or ".join(sorted({value for value in values if value})) or "not recorded"


def _size(run: Run) -> str:
    return "" if run.config.size is None else f"{run.config.size} px"


def _device(run: Run) -> str:
    return run.report.device or ""


def _network(label: str, runs: Sequence[Run]) -> NetworkRuns:
    ordered = sorted(runs, key=lambda run: run.cell.seed)
    cell, seeds = ordered[0].cell, [run.cell.seed for run in ordered]
    mean = sum(run.metrics["iou"] for run in ordered) / len(ordered)
    summary = f"{_counted(len(ordered), 'run')} (seeds {_ranges(seeds)}), pooled IoU {percent(mean)}"
    if len(ordered) < SEEDS:
        summary += f", {SEEDS - len(ordered)} short of the protocol's {SEEDS}"
    return NetworkRuns(
        anchor(cell.dataset, cell.recipe, cell.network),
        cell.network,
        label,
        summary,
        HEADINGS,
        [_run(run) for run in ordered],
        _common(ordered),
    )


def _run(run: Run) -> list[str]:
    """One line of the table of runs, in the order of HEADINGS."""
    report = run.report
    code, host = report.code or Code(), report.host or Host()
    commit = (code.commit or "no commit")[:10] + (" + changes" if code.dirty else "")
    return [
        str(run.cell.seed),
        percent(run.metrics["iou"]),
        percent(run.metrics["dsc"]),
        f"{report.best_epoch or '?'} of {report.epochs or '?'}",
        _device(run) or "not recorded",
        _number(report.seconds),
        _number(report.images_per_second),
        _number(report.peak_memory_mb),
        _software(report),
        report.python or "not recorded",
        _host(host),
        f"{code.version or ''} {commit}".strip(),
        report.finished_at or "not recorded",
    ]


def _host(host: Host) -> str:
    """ "x86_64, 8 CPUs, 2 usable, 1 thread": of the machine, of the process, of the training."""
    words = [] if host.machine is None else [host.machine]
    words += [] if host.cpus is None else [f"{host.cpus} CPUs"]
    words += [] if host.cores is None else [f"{host.cores} usable"]
    return ", ".join(words + ([] if host.threads is None else [_counted(host.threads, "thread")]))


def _software(report: Report) -> str:
    """torch's version; beside it numba's, where the run was computed by kernels."""
    numba = report.engine and report.engine.numba
    return (report.torch or "not recorded") + (f", numba {numba}" if numba else "")


def _number(value: float | None) -> str:
    return "not recorded" if value is None else f"{value:,.0f}"


def _common(runs: Sequence[Run]) -> list[str]:
    """What holds for all runs of a network: data, split, stored files."""
    facts = [
        f"Data fingerprint {_either(run.config.fingerprint or '' for run in runs)}.",
        f"Split {_either(split_words(run) for run in runs)}.",
        f"Parameters {_either(format(number, ',') for run in runs if (number := run.report.parameters) is not None)}.",
        f"Stored in {runs[0].folder.parent.relative_to(runs[0].folder.parents[4]).as_posix()}/seed-<k>/.",
    ]
    if runs[0].config.identity is not None:
        facts.insert(0, f"Identity of the network {runs[0].identity}.")
    return facts + list(dict.fromkeys(s for run in runs for s in run.config.deviations))


def split_words(run: Run) -> str:
    """The split of a run in words: "paper: 1815 train, 259 validation, 520 test images"."""
    split = run.config.split
    sizes = ", ".join(f"{size} {name}" for name, size in split.sizes.content().items())
    return f"{split.rule}: {sizes} images"
