"""`count`, `profile` and `speed`: what a network costs, in operations and on this machine."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks.cli import completion
from benchmarks.cli.options import Device, Networks, Plugins, Results, at_home, load_plugins
from benchmarks.cli.session import Session, session_of

if TYPE_CHECKING:
    import pandas as pd


def count(context: typer.Context, network: Networks = None, plugin: Plugins = None, results: Results = None) -> None:
    """Count parameters and operations, by five counters. Alone: of every network, into complexity.csv.

    With --network or --plugin only those are counted and shown, and of them only the suite's own networks are stored.
    """
    from benchmarks.measuring import complexity
    from benchmarks.networks import registry
    from results.complexity import update
    from results.installation import results_root

    session, own = session_of(context), registry.names()
    load_plugins(plugin)
    added = [name for name in registry.names() if name not in own]
    names = list(dict.fromkeys(network or (added if plugin else own)))
    _probe(names, complexity.SIZE)
    with Console(stderr=True).status("Counting") as status:
        counted = complexity.table(names, lambda name: status.update(f"Counting {escape(name)}"))
    _show_counts(counted, session)
    if any(name in own for name in names):
        path = results_root(results) / "complexity.csv"
        update(path, counted, own)
        session.say_path(path)


def _probe(networks: Iterable[str], size: int, device: str = "cpu") -> None:
    """Raises Unfit for a user's own network that nothing can be measured of, and RequestError for one that is not."""
    from benchmarks.machine import device_named
    from benchmarks.networks import registry
    from benchmarks.runner.probe import probe_evaluation

    for entry in [registry.entry(name) for name in networks]:
        if entry.foreign and entry.accepts(size):
            probe_evaluation(entry.name, size, device_named(device))


def _show_counts(counted: "pd.DataFrame", session: Session) -> None:
    from pandas import NA

    table = Table("network", "parameters", "thop parameters", "thop MACs", "ptflops MACs", "fvcore MACs", "true FLOPs")
    for row in counted.itertuples():
        numbers = (row.parameters, row.thop_parameters, row.thop_macs, row.ptflops_macs, row.fvcore_macs, row.flops)
        table.add_row(str(row.network), *("-" if number is NA else f"{number:,}" for number in numbers))
    session.show(table)
    for row in counted[counted["notes"] != ""].itertuples():
        session.say(f"{row.network}: {row.notes}")


def profile(
    context: typer.Context,
    network: Networks = None,
    device: Device = "auto",
    size: Annotated[int, typer.Option(help="Side of the images, pixels.")] = 256,
    threads: Annotated[int | None, typer.Option(min=1, max=1024, help="CPU threads; default: all cores.")] = None,
    machine: Annotated[str | None, typer.Option(help="Name of this machine in the report.")] = None,
    onnx: Annotated[
        bool,
        typer.Option(
            help="Also measure in onnxruntime, where it is installed. To export a network first takes half a minute, "
            "one with long scans (Mamba) many."
        ),
    ] = True,
    plugin: Plugins = None,
    results: Results = None,
) -> None:
    """Measure latency, throughput, memory and weights of networks on this machine. Run it on an idle one.

    Without --network: those of Table 1.
    """
    from benchmarks.machine import device_named
    from benchmarks.measuring import inference
    from benchmarks.protocol import recipe
    from benchmarks.training import engine
    from results.catalogue import TABLE_1
    from results.installation import results_root
    from results.profiles import Row

    session, names = session_of(context), list(dict.fromkeys(network or TABLE_1))
    load_plugins(plugin)
    size = recipe.named("paper").changed(size=size).size  # within its bounds
    _probe(names, size, device)
    headings = (
        "latency ms (batch 1)",
        "in onnxruntime",
        "with CPU kernels",
        "images/s (batch 32)",
        "peak MB",
        "weights kB",
    )
    table = Table("network", *headings)

    def announce(row: Row) -> None:
        spreads = (row.latency_ms, row.onnx_latency_ms, row.kernels_latency_ms, row.throughput_ips)
        medians = ("-" if each is None else f"{each.median:.1f}" for each in spreads)
        table.add_row(row.network, *medians, f"{row.peak_memory_mb:.0f}", f"{row.weights_kb:.0f}")

    with engine.announcing(session.say):
        path = inference.profile(
            names,
            device_named(device),
            results_root(results),
            size=size,
            threads=threads,
            machine=machine,
            onnx=onnx,
            announce=announce,
        )
    session.show(table)
    session.say_path(path)


def speed(
    context: typer.Context,
    network: Annotated[
        str, typer.Option(help="The network to train.", autocompletion=completion.networks)
    ] = "aulunet_v3",
    dataset: Annotated[
        str, typer.Option(help="The data set to train on.", autocompletion=completion.datasets)
    ] = "synthetic",
    size: Annotated[int, typer.Option(help="Side of the images, pixels.")] = 128,
    seeds: Annotated[int, typer.Option(min=1, max=100, help="How many seeds.")] = 5,
    steps: Annotated[int, typer.Option(min=1, max=1000, help="Steps of each seed per round.")] = 4,
    rounds: Annotated[int, typer.Option(min=1, max=1000, help="Timed rounds of each of the two loops.")] = 5,
    device: Device = "auto",
    trace: Annotated[
        Path | None,
        typer.Option(
            "--profile", help="Also write a Chrome trace of a few trainer steps.", dir_okay=False, callback=at_home
        ),
    ] = None,
    plugin: Plugins = None,
) -> None:
    """Time the trainer against the field's usual loop, in turns, on the same images, seeds and steps."""
    from benchmarks import datasets
    from benchmarks.machine import device_named
    from benchmarks.measuring import training_speed as side_by_side
    from benchmarks.networks import registry
    from benchmarks.networks.plugins import blamed
    from benchmarks.protocol import recipe
    from benchmarks.runner.probe import probe
    from benchmarks.training import engine

    session = session_of(context)
    load_plugins(plugin)
    entry = registry.entry(network)
    settings, chosen = recipe.named("paper").changed(size=size), device_named(device)
    if entry.foreign:
        for note in probe(network, settings, chosen):
            session.say(f"{network}: {note}")
    prepared, numbers = datasets.load(dataset, size), tuple(range(1, seeds + 1))
    computing = engine.of_new_runs(chosen, settings)
    with engine.announcing(session.say), blamed(entry, "its training"):
        measured = side_by_side.measure(network, prepared, settings, numbers, steps, rounds, chosen, computing)
    session.say(side_by_side.render(measured))
    if trace is not None:
        side_by_side.write_trace(network, prepared, settings, numbers, chosen, trace, computing)
        session.say_path(trace)
