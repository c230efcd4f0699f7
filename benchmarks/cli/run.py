"""`run`: train and score the cells of a suite, or show the plan and its cost."""

import re
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.cli import completion
from benchmarks.cli.execution import Work, chosen, run_data_sets
from benchmarks.cli.options import (
    Address,
    Device,
    Executor,
    Networks,
    Plugins,
    PrintScript,
    Results,
    Settings,
    ShardOption,
    SlurmOptions,
    load_plugins,
)
from benchmarks.cli.session import Session, session_of
from results.errors import RequestError

if TYPE_CHECKING:
    from benchmarks.protocol.recipe import Recipe
    from benchmarks.protocol.suites import Suite
    from benchmarks.runner.plan import Plan
    from results.cell import Cell

MOST_SEEDS = 1000  # of one network: more than any study has, and few enough to plan
A_YEAR = 60 * 24 * 366  # minutes


def run(
    context: typer.Context,
    suite: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SUITE|FILE",
            help="What to run, by name (`list suites` shows them) or as a TOML file; may be repeated. Default: quick.",
            autocompletion=completion.suites,
        ),
    ] = None,
    dataset: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="On this data set instead of the suite's, also one of your own; may be repeated.",
            autocompletion=completion.datasets,
        ),
    ] = None,
    network: Networks = None,
    seeds: Annotated[
        str | None, typer.Option(help="How many seeds (5 means 1 to 5), or which: 2,4. Default: the suite's.")
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            metavar="RECIPE|FILE",
            help="Training settings by name (`list recipes` shows them) or as a TOML file. Default: the suite's.",
            autocompletion=completion.recipes,
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Change the recipe: passes over the training split.")] = None,
    size: Annotated[int | None, typer.Option(help="Change the recipe: side of the images, pixels.")] = None,
    batch: Annotated[int | None, typer.Option(help="Change the recipe: images per step.")] = None,
    split: Annotated[
        str | None,
        typer.Option(
            metavar="SPLIT|FILE",
            help="Change the recipe: a split by name (`list splits` shows them), a CSV or JSON file of ids per part, "
            "or all of five folds as 'fold-*-of-5'.",
            autocompletion=completion.splits,
        ),
    ] = None,
    changes: Settings = None,
    device: Device = "auto",
    minutes: Annotated[
        float | None,
        typer.Option(
            help="Pause cleanly before this many minutes are over; the same command continues, here or elsewhere."
        ),
    ] = None,
    no_kernels: Annotated[
        bool,
        typer.Option(
            "--no-kernels",
            help="Begin runs on a CPU with torch alone, even where numba is installed; a run that was interrupted "
            "continues as it was begun.",
        ),
    ] = False,
    steal: Annotated[
        bool,
        typer.Option(
            "--steal",
            help="Take over cells that other processes hold now. Without it, those of dead processes only; `list runs` "
            "shows who holds what.",
        ),
    ] = False,
    executor: Executor = "local",
    address: Address = None,
    slurm: SlurmOptions = None,
    print_script: PrintScript = False,
    shard: ShardOption = None,
    plugin: Plugins = None,
    results: Results = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and its cost; train nothing.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Also show the tracebacks of what failed.")] = False,
) -> None:
    """Train and score the cells of a suite: skips what is finished, resumes what was interrupted."""
    with Console(stderr=True).status("Loading torch and the networks, a few seconds"):
        from benchmarks.runner import litter
        from benchmarks.runner.shard import Shard
        from results.installation import results_root

    session, root = session_of(context), results_root(results)
    session.tracebacks = debug
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    work = Work(root, _deadline(minutes), kernels=not no_kernels, steal=steal, dry_run=dry_run, script=print_script)
    part = Shard.of(shard) if shard else Shard(1, 1)
    load_plugins(plugin)
    requests = _requests(
        Asked(suite or ["quick"], dataset, network, seeds, recipe, split, changes),
        {"epochs": epochs, "size": size, "batch": batch},
    )
    problems = []
    with chosen(executor, device, address, slurm, print_script) as workers:
        requests = [(settings, part.part(cells, workers.device)) for settings, cells in requests]
        plans = [(settings, _plan(cells, root)) for settings, cells in requests]
        if not print_script:
            session.say_whole(f"Results folder: {root}")
        for settings, plan in plans:
            if not print_script:
                _show_plan(plan, settings.name, session)
            if not (dry_run or print_script):
                litter.sweep([*plan.done, *(failure.cell for failure in plan.failed)], root)
            problems += run_data_sets(plan.todo, settings, workers, work, session)
    for _, plan in plans:
        for failure in plan.failed:
            problems.append(f"{failure.cell} failed before: {failure.reason}; delete {failure.folder} to try again.")
        problems += map(str, plan.damaged)
    if not (dry_run or print_script):
        _show_means([cell for _, cells in requests for cell in cells], root, session)
    for problem in problems:
        session.warn("Failed", problem)
    if problems:
        raise typer.Exit(1)


@dataclass(frozen=True)
class Asked:
    """The options of `run` that say which cells; None where one was not given."""

    suites: list[str]
    datasets: list[str] | None
    networks: list[str] | None
    seeds: str | None
    recipe: str | None
    split: str | None
    changes: list[str] | None


def _requests(asked: Asked, options: "dict[str, int | None]") -> "list[tuple[Recipe, list[Cell]]]":
    """What is asked for: each recipe with its cells. Raises RequestError for what there is not."""
    from benchmarks.protocol import files, settings, suites

    found: dict[Recipe, dict[Cell, None]] = {}
    for name in asked.suites:
        suite = suites.on(files.suite(name), asked.datasets)
        load_plugins(list(suite.plugins))
        names = _networks(asked.networks, suite)
        start = files.recipe(suite.recipe if asked.recipe is None else asked.recipe)
        for rule in _splits(asked.split):
            recipe = settings.changed(start, asked.changes or [], split=rule, **options)
            cells = suites.cells(suite, recipe.name, names, _seeds(asked.seeds, suite))
            found.setdefault(recipe, {}).update(dict.fromkeys(cells))
    return [(recipe, list(cells)) for recipe, cells in found.items()]


def _networks(asked: list[str] | None, suite: "Suite") -> tuple[str, ...]:
    """By name, each once. Raises RequestError for one that there is not."""
    from benchmarks.networks import registry

    names = tuple(dict.fromkeys(asked or suite.networks))
    for name in names:
        registry.entry(name)
    return names


def _splits(asked: str | None) -> list[str | None]:
    """The rules that a --split names: of a file its frozen name, of `fold-*-of-N` all N folds."""
    from benchmarks.datasets import split_files

    if asked is None:
        return [None]
    if folds := re.fullmatch(r"fold-\*-of-([1-9]\d{0,2})", asked, re.ASCII):
        return [f"fold-{number}-of-{folds[1]}" for number in range(1, int(folds[1]) + 1)]
    return [split_files.read(asked) if split_files.is_file(asked) else asked]


def _seeds(text: str | None, suite: "Suite") -> tuple[int, ...]:
    """ "5" is 1 to 5; "2,4" is just these; None is the suite's. Raises RequestError for anything else."""
    if text is None:
        return suite.seeds
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(re.fullmatch("0*[1-9][0-9]{0,8}", part, re.ASCII) for part in parts):
        raise RequestError(
            f"--seeds is {text[:40]!r}; give how many (5, which are 1 to 5) or which (2,4), as whole numbers from 1 to "
            "999999999."
        )
    numbers = tuple(dict.fromkeys(int(part) for part in parts))
    many = len(numbers) if "," in text else numbers[0]
    if many > MOST_SEEDS:
        raise RequestError(f"--seeds asks for {many} seeds; give {MOST_SEEDS} at most, or one of them as {numbers[0]},")
    return numbers if "," in text else tuple(range(1, many + 1))


def _deadline(minutes: float | None) -> float | None:
    """When to pause, in seconds since 1970. Raises RequestError for a time that is over already."""
    if minutes is not None and not 0 < minutes <= A_YEAR:
        raise RequestError(f"--minutes is {minutes:g}; give a number above 0 and up to {A_YEAR}, or leave it away.")
    return None if minutes is None else time.time() + 60 * minutes


def _plan(cells: "list[Cell]", root: Path) -> "Plan":
    """What is left to do. Raises RequestError where the network of a finished cell was another one of that name."""
    from benchmarks.runner import save_run
    from benchmarks.runner.plan import plan_of

    plan = plan_of(cells, root)
    for cell in {cell.folder(root).parent: cell for cell in plan.done}.values():  # one per network: it looks at all
        save_run.one_identity(cell, root, finished=True)
    return plan


def _show_plan(plan: "Plan", recipe: str, session: Session) -> None:
    damaged = f", {len(plan.damaged)} damaged" if plan.damaged else ""
    session.say(
        f"Recipe {recipe}: {len(plan.todo)} cells to do, {len(plan.done)} done, {len(plan.failed)} failed "
        f"before{damaged}."
    )


def _show_means(cells: "list[Cell]", root: Path, session: Session) -> None:
    """Mean and standard deviation over seeds of what this request now has, one line per network and recipe."""
    from results.metrics import METRICS
    from results.runs import load_runs, of_one_identity

    wanted = set(cells)
    runs, _ = of_one_identity([run for run in load_runs(root, large=False).runs if run.cell in wanted])
    if not runs:
        return
    several = len({cell.recipe for cell in cells}) > 1
    names = ("data set", "recipe", "network") if several else ("data set", "network")
    table = Table(*names, "n", *(f"{metric.own_heading} %" for metric in METRICS))
    for key in dict.fromkeys((cell.dataset, cell.recipe, cell.network) for cell in cells):
        mine = [run.metrics for run in runs if (run.cell.dataset, run.cell.recipe, run.cell.network) == key]
        if mine:
            shown = (_mean_and_spread([metrics[metric.name] for metrics in mine]) for metric in METRICS)
            table.add_row(*(key if several else (key[0], key[2])), str(len(mine)), *shown)
    session.show(table)
    session.say("`python -m benchmarks report` puts them beside the published numbers.")


def _mean_and_spread(fractions: list[float]) -> str:
    """Percent: "79.12 ±0.34", the spread being the standard deviation of at least two seeds."""
    from results.spread import mean_and_sd

    mean, sd = mean_and_sd([100 * fraction for fraction in fractions])
    return f"{mean:.2f}" + ("" if sd is None else f" ±{sd:.2f}")
