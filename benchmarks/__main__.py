"""python -m benchmarks ...: the one room that knows all others. Heavy imports stay in the command that needs them."""

import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from traceback import print_exception
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks.protocol.settings import NAMES, changed
from results import data_sets, files
from results.cell import Cell
from results.errors import RequestError
from results.metrics import METRICS
from results.runs import load_runs, of_one_identity
from results.spread import mean_and_sd

if TYPE_CHECKING:
    import numpy as np

    from benchmarks.datasets import PreparedSet
    from benchmarks.protocol.recipe import Recipe
    from benchmarks.protocol.suites import Suite
    from benchmarks.runner.local import Job
    from benchmarks.runner.plan import Plan

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Reproduce AULUNet and the networks it is compared with, from raw ISIC data to tables. "
    "Exit codes: 0 fine, 1 a check or a training failed, 2 the request or the data is wrong, 130 stopped or paused.",
)
tracebacks = False  # whether --debug was given
console = Console(width=None if sys.stdout.isatty() else 120)

Results = Annotated[
    Path | None,
    typer.Option("--results", help="Folder that holds runs/ (default: results/ of this checkout).", file_okay=False),
]
Networks = Annotated[
    list[str] | None,
    typer.Option("--network", help="Only this network; may be repeated. Also smp:<architecture>/<encoder>."),
]
Plugins = Annotated[
    list[str] | None,
    typer.Option("--plugin", help="Python file or module with a list NETWORKS of your own networks; may be repeated."),
]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help=f"Change the recipe: any setting by name, as --set lr=3e-4; may be repeated. One of {', '.join(NAMES)}.",
    ),
]


@app.command()
def run(
    suite: Annotated[str, typer.Option(help="What to run; `list suites` shows them.")] = "quick",
    network: Networks = None,
    seeds: Annotated[
        str | None, typer.Option(help="How many seeds (5 means 1 to 5), or which: 2,4. Default: the suite's.")
    ] = None,
    recipe: Annotated[str | None, typer.Option(help="Training settings by name. Default: the suite's.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Change the recipe: passes over the training split.")] = None,
    size: Annotated[int | None, typer.Option(help="Change the recipe: side of the images, pixels.")] = None,
    batch: Annotated[int | None, typer.Option(help="Change the recipe: images a step.")] = None,
    split: Annotated[str | None, typer.Option(help="Change the recipe: paper or sorted.")] = None,
    changes: Settings = None,
    device: Device = "auto",
    minutes: Annotated[
        float | None,
        typer.Option(
            help="Pause cleanly before so many minutes are over; the same command goes on, here or elsewhere."
        ),
    ] = None,
    no_kernels: Annotated[
        bool,
        typer.Option(
            "--no-kernels",
            help="Begin runs on a CPU with torch alone, even where numba is installed; a run that was begun goes on as "
            "it was begun.",
        ),
    ] = False,
    plugin: Plugins = None,
    results: Results = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and its cost; train nothing.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Also show the tracebacks of what failed.")] = False,
) -> None:
    """Train and score the cells of a suite: skips what is finished, resumes what was interrupted."""
    global tracebacks
    tracebacks = debug
    until = _deadline(minutes)
    from benchmarks.networks import registry
    from benchmarks.protocol import recipe as recipes
    from benchmarks.protocol import suites

    _load(plugin)
    chosen = suites.named(suite)
    settings = changed(
        recipes.named(recipe or chosen.recipe), changes or [], epochs=epochs, size=size, batch=batch, split=split
    )
    names = tuple(dict.fromkeys(network or chosen.networks))
    for name in names:
        registry.entry(name)
    cells = suites.cells(chosen, settings.name, names, _seeds(seeds, chosen))
    root = results or files.results_root()
    from benchmarks.runner import save_run
    from benchmarks.runner.plan import plan_of

    plan = plan_of(cells, root)
    for cell in plan.done:
        save_run.one_identity(cell, root, finished=True)
    _show_plan(plan, settings.name)
    problems = _run_data_sets(plan, settings, root, device, until, dry_run, kernels=not no_kernels)
    for failure in plan.failed:
        problems.append(f"{failure.cell} failed before: {failure.reason}; delete {failure.folder} to try again.")
    if not dry_run:
        _show_means(cells, root)
    for problem in problems:
        console.print(f"[red]Failed:[/] {escape(problem)}", highlight=False)
    if problems:
        raise typer.Exit(1)


def _load(plugins: list[str] | None) -> None:
    """Register the networks of the user's own files and modules."""
    from benchmarks.networks import registry

    for source in plugins or []:
        registry.load_plugin(source)


def _seeds(text: str | None, suite: "Suite") -> tuple[int, ...]:
    """ "5" is 1 to 5; "2,4" is just these; None is the suite's. Raises RequestError for anything else."""
    if text is None:
        return suite.seeds
    try:
        numbers = [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 1:
        raise RequestError(f"--seeds is {text!r}; give how many (5) or which (2,4), as positive whole numbers.")
    return tuple(dict.fromkeys(numbers)) if "," in text else tuple(range(1, numbers[0] + 1))


def _show_plan(plan: "Plan", recipe: str) -> None:
    console.print(
        f"Recipe {recipe}: {len(plan.todo)} cells to do, {len(plan.done)} done, {len(plan.failed)} failed before.",
        highlight=False,
    )


def _deadline(minutes: float | None) -> float | None:
    """When to pause, on the clock of `time.monotonic`. Raises RequestError for a time that is over already."""
    if minutes is not None and not minutes > 0:
        raise RequestError(f"--minutes is {minutes:g}; give a number above 0.")
    return None if minutes is None else time.monotonic() + 60 * minutes


def _run_data_sets(
    plan: "Plan", recipe: "Recipe", root: Path, device: str, until: float | None, dry_run: bool, *, kernels: bool
) -> list[str]:
    """Run, or only estimate, what is to do, data set by data set; sentences about what failed."""
    from benchmarks import datasets
    from benchmarks.machine import device_named
    from benchmarks.runner import local
    from benchmarks.runner.console import Reporter
    from benchmarks.training import engine

    problems = []
    for name in dict.fromkeys(cell.dataset for cell in plan.todo):
        cells = [cell for cell in plan.todo if cell.dataset == name]
        prepared = datasets.load(name, recipe.size)
        if prepared.data.originals is None:
            console.print(
                f"{name} was prepared by an earlier version, which did not record its originals: its runs will say so. "
                f"`python -m benchmarks data {name} --from PATH` records them and leaves the pixels as they are.",
                highlight=False,
            )
        chosen = device_named(device)
        begun_with = engine.of_new_runs(chosen, recipe, allowed=kernels)
        with Reporter(console) as reporter:
            stores = local.on_device(prepared, recipe, chosen)
            job = local.Job(prepared, stores, recipe, root, chosen, reporter, begun_with, until=until)
            outcome = local.Outcome()
            reporter.note(engine.announcement(job.engine, chosen, recipe, asked=kernels))
            if dry_run:
                _show_costs(local.fit_to_train(cells, job, outcome), job)
            else:
                signal.signal(signal.SIGTERM, signal.default_int_handler)
                outcome = local.execute(cells, job)
        for cause in outcome.causes:
            _show_traceback(cause)
        problems += [f"{network}: {what}." for network, what in outcome.errors]
        problems += [f"{failure.cell}: {failure.reason}." for failure in outcome.failed]
        if outcome.interrupted:
            console.print("Stopped. Run the same command again to go on from the last checkpoints.", highlight=False)
            raise typer.Exit(130)
    return problems


def _show_costs(cells: list[Cell], job: "Job") -> None:
    from benchmarks.runner import cost

    if not cells:
        return
    title = f"{cells[0].dataset}, {job.recipe.name}, {job.device}"
    table = Table("network", "engine", "cells", "images/s", "time", title=title)
    groups, costs = cost.groups(cells, job), {}
    for (name, engine), number in groups.items():
        costs[name, engine] = measured = cost.measure(name, engine, number, job)
        alone = _clock(cost.makespan({(name, engine): number}, costs, job))
        table.add_row(name, engine.name, str(number), f"{measured.images_per_second:.0f}", alone)
    console.print(table)
    console.print(f"Estimated time of all: {_clock(cost.makespan(groups, costs, job))}", highlight=False)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def _show_means(cells: list[Cell], root: Path) -> None:
    """Mean and standard deviation over seeds of what this request now has, one line per network."""
    wanted = set(cells)
    runs, _ = of_one_identity([run for run in load_runs(root).runs if run.cell in wanted])
    if not runs:
        return
    table = Table("data set", "network", "n", *(f"{metric.heading} %" for metric in METRICS))
    for key in dict.fromkeys((cell.dataset, cell.network) for cell in cells):
        mine = [run.metrics for run in runs if (run.cell.dataset, run.cell.network) == key]
        if mine:
            spreads = [mean_and_sd([100 * metrics[metric.name] for metrics in mine]) for metric in METRICS]
            shown = [f"{mean:.2f}" + ("" if sd is None else f" ±{sd:.2f}") for mean, sd in spreads]
            table.add_row(*key, str(len(mine)), *shown)
    console.print(table)
    console.print("`python -m benchmarks report` puts them beside the published numbers.", highlight=False)


@app.command()
def report(
    formats: Annotated[
        str, typer.Option("--format", help="Any of html, md, latex, csv, figures (SVG and PNG).")
    ] = "html,md,latex,csv,figures",
    output: Annotated[Path, typer.Option(help="Folder to write to.", file_okay=False)] = Path("reports/rendered"),
    pictures: Annotated[
        bool, typer.Option(help="Show predictions on photographs, where the data set is prepared on this machine.")
    ] = True,
    results: Results = None,
) -> None:
    """Render tables, figures and the page from published numbers and stored runs. Needs no torch."""
    from reports import render

    chosen = {each.strip() for each in formats.split(",")}
    written = render.render(results or files.results_root(), output, chosen, _pictures if pictures else None)
    for path in written:
        console.print(str(path), highlight=False)


def _pictures(dataset: str, ids: "Sequence[str]") -> "dict[str, tuple[np.ndarray, np.ndarray]]":
    """Photographs (H, W, 3) uint8 and truths (H, W) bool by id. Raises RequestError where they cannot be had here."""
    from benchmarks import datasets

    try:
        prepared = datasets.load(dataset)
    except ImportError as error:
        raise RequestError(f"The pictures of {dataset} need the library {error.name}; install it with pip.") from None
    rows = {name: row for row, name in enumerate(prepared.ids)}
    return {name: (prepared.images[rows[name]], prepared.masks[rows[name]] >= 128) for name in ids if name in rows}


@app.command()
def check(
    junit: Annotated[Path | None, typer.Option(help="Also write the outcome as JUnit XML.", dir_okay=False)] = None,
    baseline: Annotated[
        Path | None, typer.Option(help="CSV of accepted measured values; one that moved fails.", dir_okay=False)
    ] = None,
    accept: Annotated[bool, typer.Option("--accept", help="Record the stored values in --baseline instead.")] = False,
    results: Results = None,
) -> None:
    """Hold counts and stored runs against the published numbers and accepted values; exit 1 where one contradicts."""
    from reports.check import accepted as baselines
    from reports.check.check import check as held
    from reports.evidence import load_everything

    root = results or files.results_root()
    if accept:
        if baseline is None:
            raise RequestError("--accept needs --baseline FILE, the file to record the values in.")
        for sentence in baselines.accept(load_everything(root).runs, baseline):
            console.print(sentence, highlight=False, markup=False)
        return
    result = held(root, _live_counts(), baseline)
    console.print(result.text(), highlight=False, markup=False, soft_wrap=True)
    if os.environ.get("GITHUB_ACTIONS") == "true":
        for annotation in result.annotations():
            typer.echo(annotation)
    if junit is not None:
        files.write_text(junit, result.junit())
    raise typer.Exit(result.exit_status)


def _live_counts() -> dict[str, dict[str, int]] | None:
    """What the networks count now, by name and column; None where torch is absent. Says what it does on stderr."""
    from benchmarks.measuring.live_counts import live_counts

    with Console(stderr=True).status("Counting the networks") as status:
        return live_counts(
            lambda name, position, number: status.update(f"Counting {escape(name)}, {position} of {number}")
        )


@app.command()
def count(network: Networks = None, plugin: Plugins = None, results: Results = None) -> None:
    """Count parameters and operations, by four counters. Alone: of every network, into complexity.csv.

    With --network or --plugin only those are counted and shown, and of them only the suite's own networks are stored.
    """
    from pandas import NA

    from benchmarks.measuring import complexity
    from benchmarks.networks import registry
    from results.complexity import update

    own = registry.names()
    _load(plugin)
    added = [name for name in registry.names() if name not in own]
    names = list(dict.fromkeys(network or (added if plugin else own)))
    path = (results or files.results_root()) / "complexity.csv"
    with Console(stderr=True).status("Counting") as status:
        counted = complexity.table(names, lambda name: status.update(f"Counting {escape(name)}"))
    table = Table("network", "parameters", "thop parameters", "thop MACs", "fvcore MACs", "true FLOPs")
    for row in counted.itertuples():
        numbers = (row.parameters, row.thop_parameters, row.thop_macs, row.fvcore_macs, row.flops)
        table.add_row(str(row.network), *("-" if number is NA else f"{number:,}" for number in numbers))
    console.print(table)
    for row in counted[counted["notes"] != ""].itertuples():
        console.print(f"{row.network}: {row.notes}", highlight=False, markup=False)
    if any(name in own for name in names):
        update(path, counted, own)
        console.print(str(path), highlight=False)


@app.command()
def profile(
    network: Networks = None,
    device: Device = "auto",
    size: Annotated[int, typer.Option(help="Side of the images, pixels.")] = 256,
    threads: Annotated[int | None, typer.Option(help="CPU threads; default: all cores.")] = None,
    machine: Annotated[str | None, typer.Option(help="Name of this machine in the report.")] = None,
    plugin: Plugins = None,
    results: Results = None,
) -> None:
    """Measure latency, throughput, memory and weights of networks on this machine. Run it on an idle one."""
    from benchmarks.machine import device_named
    from benchmarks.measuring import inference
    from benchmarks.protocol import suites
    from benchmarks.training import engine
    from results.profiles import Row

    _load(plugin)
    headings = ("latency ms (batch 1)", "with CPU kernels", "images/s (batch 32)", "peak MB", "weights kB")
    table = Table("network", *headings)

    def announce(row: Row) -> None:
        spreads = (row.latency_ms, row.kernels_latency_ms, row.throughput_ips)
        medians = ("-" if each is None else f"{each.median:.1f}" for each in spreads)
        table.add_row(row.network, *medians, f"{row.peak_memory_mb:.0f}", f"{row.weights_kb:.0f}")

    with engine.announcing(console.print):
        path = inference.profile(
            network or list(suites.TABLE_1),
            device_named(device),
            results or files.results_root(),
            size=size,
            threads=threads,
            machine=machine,
            announce=announce,
        )
    console.print(table)
    console.print(str(path), highlight=False)


@app.command()
def speed(
    network: Annotated[str, typer.Option(help="The network to train.")] = "aulunet_v3",
    dataset: Annotated[str, typer.Option(help="The data set to train on.")] = "synthetic",
    size: Annotated[int, typer.Option(help="Side of the images, pixels.")] = 128,
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds.")] = 5,
    steps: Annotated[int, typer.Option(min=1, help="Steps of each seed in a round.")] = 4,
    rounds: Annotated[int, typer.Option(min=1, help="Timed rounds of both sides.")] = 5,
    device: Device = "auto",
    trace: Annotated[
        Path | None, typer.Option("--profile", help="Also write a Chrome trace of a few trainer steps.", dir_okay=False)
    ] = None,
    plugin: Plugins = None,
) -> None:
    """Time the trainer against the field's usual loop, in turns, on the same images, seeds and steps."""
    from benchmarks import datasets
    from benchmarks.machine import device_named
    from benchmarks.measuring import training_speed as side_by_side
    from benchmarks.networks import registry
    from benchmarks.protocol import recipe
    from benchmarks.training import engine

    _load(plugin)
    registry.entry(network)
    settings, chosen = recipe.named("paper").changed(size=size), device_named(device)
    prepared, numbers = datasets.load(dataset, size), tuple(range(1, seeds + 1))
    computing = engine.of_new_runs(chosen, settings)
    with engine.announcing(console.print):
        measured = side_by_side.measure(network, prepared, settings, numbers, steps, rounds, chosen, computing)
    console.print(side_by_side.render(measured), highlight=False, markup=False)
    if trace is not None:
        side_by_side.write_trace(network, prepared, settings, numbers, chosen, trace, computing)
        console.print(str(trace), highlight=False)


@app.command()
def data(
    name: Annotated[str, typer.Argument(help="isic2018, isic2017 or synthetic.")],
    source: Annotated[
        Path | None, typer.Option("--from", help="Official zips or folders, or a zip or folder of images/ and masks/.")
    ] = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch the official archives (several GB).")] = False,
    size: Annotated[int, typer.Option(help="Side of the prepared images, pixels.")] = 256,
    near_duplicates: Annotated[
        bool,
        typer.Option(
            "--near-duplicates", help="Count test images that training or validation also shows; needs a prepared set."
        ),
    ] = False,
    results: Results = None,
) -> None:
    """Prepare a data set once: verify, decode, resize and store it in the cache folder."""
    from benchmarks import datasets

    if near_duplicates and source is None and not download:
        prepared = datasets.load(name, size)
    else:
        prepared = datasets.prepare(name, source, download=download, size=size)
    split = prepared.split("paper")
    console.print(
        f"{name}: {len(prepared.ids)} images at {prepared.size} px "
        f"({len(split.train)} / {len(split.validation)} / {len(split.test)}), fingerprint {prepared.fingerprint[:12]}, "
        f"in {prepared.folder}",
        highlight=False,
    )
    facts = prepared.data
    console.print(
        f"Originals: {data_sets.originals_in_words(facts)}; masks: {data_sets.masks_in_words(facts)} in the originals, "
        f"{data_sets.trained_masks_in_words(facts)} at {prepared.size} px.",
        highlight=False,
    )
    if near_duplicates:
        _show_near_duplicates(prepared, results or files.results_root())


def _show_near_duplicates(prepared: "PreparedSet", root: Path) -> None:
    """Search, write and show the pairs of one data set, and write which ids the data sets share."""
    from benchmarks.datasets import leakage as search
    from results import leakage

    rows = search.near_duplicates(prepared)
    table = Table("split", "test image", "also in", "as", "kind", "distance", "correlation", "detail", "orientation")
    for row in rows:
        if row["kind"] != leakage.NONE:
            numbers = (str(row["distance"]), f"{row['correlation']:.4f}", f"{row['detail']:.4f}", row["orientation"])
            table.add_row(row["split"], row["test_id"], row["other_part"], row["other_id"], row["kind"], *numbers)
    console.print(table)
    for sentence in search.counted(prepared, rows):
        console.print(sentence, highlight=False)
    for path in (leakage.write_pairs(root, prepared.name, rows), leakage.write_shared(root, search.shared_ids())):
        console.print(str(path), highlight=False)


@app.command("list")
def list_(
    what: Annotated[str, typer.Argument(help="networks, suites or runs.")],
    plugin: Plugins = None,
    results: Results = None,
) -> None:
    """Show what there is: networks with their true parameter counts, suites, or stored runs."""
    shown = {"networks": _list_networks, "suites": _list_suites, "runs": _list_runs}
    if what not in shown:
        raise RequestError(f"There is no list of {what!r}; `list` takes networks, suites or runs.")
    if what == "networks":
        _load(plugin)
    console.print(shown[what](results or files.results_root()))


def _list_networks(root: Path) -> Table:
    import torch

    from benchmarks.networks import registry

    table = Table("name", "label", "parameters", "venue", "compared with", "sizes")
    for name in registry.names():
        entry = registry.entry(name)
        with torch.device("meta"):
            parameters = sum(parameter.numel() for parameter in registry.build(name).parameters())
        table.add_row(name, entry.label, f"{parameters:,}", entry.venue, entry.upstream or "-", entry.sizes)
    return table


def _list_suites(root: Path) -> Table:
    from benchmarks.protocol.suites import SUITES

    table = Table("suite", "what", "data", "networks", "seeds", "recipe")
    for suite in SUITES.values():
        sets, networks = ", ".join(suite.datasets), ", ".join(suite.networks)
        table.add_row(suite.name, suite.description, sets, networks, str(len(suite.seeds)), suite.recipe)
    return table


def _list_runs(root: Path) -> Table:
    stored = load_runs(root)
    table = Table("data set", "recipe", "network", "seed", "mIoU %", "best epoch", "device", "finished")
    for each in stored.runs:
        cell, record = each.cell, each.report
        best, device, when = (str(told or "-") for told in (record.best_epoch, record.device, record.finished_at))
        shown = f"{each.metrics['miou'] * 100:.2f}"
        table.add_row(cell.dataset, cell.recipe, cell.network, str(cell.seed), shown, best, device, when)
    for failure in stored.failures:
        cell = failure.cell
        table.add_row(cell.dataset, cell.recipe, cell.network, str(cell.seed), "failed", f"{failure.epoch}", "-", "-")
    for problem in stored.problems:
        console.print(f"[red]Damaged:[/] {escape(str(problem))}", highlight=False)
    return table


def _show_traceback(error: BaseException) -> None:
    """Of what lies behind an error, on stderr, where --debug asks for it."""
    cause = error.__cause__ if isinstance(error, RequestError) else error
    if tracebacks and cause is not None:
        print_exception(cause)


def main() -> None:
    """The command line; a user's mistake ends in one sentence and exit code 2."""
    try:
        app()
    except RequestError as error:
        _show_traceback(error)
        Console(stderr=True, soft_wrap=True).print(f"[red]Error:[/] {escape(str(error))}", highlight=False)
        sys.exit(2)
    except KeyboardInterrupt:
        Console(stderr=True).print("Stopped.")
        sys.exit(130)


if __name__ == "__main__":
    main()
