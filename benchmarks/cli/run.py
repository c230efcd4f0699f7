"""`run`: train and score the cells of a suite, or show the plan and its cost."""

import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from benchmarks.cli import completion
from benchmarks.cli.options import Device, Networks, Plugins, Results, Settings, load_plugins
from benchmarks.cli.session import Session, session_of
from results.errors import RequestError

if TYPE_CHECKING:
    from benchmarks.datasets import PreparedSet
    from benchmarks.protocol.recipe import Recipe
    from benchmarks.protocol.suites import Suite
    from benchmarks.runner.local import Job, Outcome
    from benchmarks.runner.plan import Plan
    from results.cell import Cell


def run(
    context: typer.Context,
    suite: Annotated[
        str, typer.Option(help="What to run; `list suites` shows them.", autocompletion=completion.suites)
    ] = "quick",
    network: Networks = None,
    seeds: Annotated[
        str | None, typer.Option(help="How many seeds (5 means 1 to 5), or which: 2,4. Default: the suite's.")
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(help="Training settings by name. Default: the suite's.", autocompletion=completion.recipes),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Change the recipe: passes over the training split.")] = None,
    size: Annotated[int | None, typer.Option(help="Change the recipe: side of the images, pixels.")] = None,
    batch: Annotated[int | None, typer.Option(help="Change the recipe: images per step.")] = None,
    split: Annotated[
        str | None, typer.Option(help="Change the recipe: paper or sorted.", autocompletion=completion.splits)
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
    plugin: Plugins = None,
    results: Results = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and its cost; train nothing.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Also show the tracebacks of what failed.")] = False,
) -> None:
    """Train and score the cells of a suite: skips what is finished, resumes what was interrupted."""
    from results.installation import results_root

    session, root = session_of(context), results_root(results)
    session.tracebacks = debug
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    until = _deadline(minutes)
    load_plugins(plugin)
    cells, settings = _request(
        suite, recipe, network, seeds, changes, epochs=epochs, size=size, batch=batch, split=split
    )
    plan = _plan(cells, root)
    session.say_whole(f"Results folder: {root}")
    _show_plan(plan, settings.name, session)
    problems = _run_data_sets(
        plan, settings, root, device, until, dry_run, session, kernels=not no_kernels, steal=steal
    )
    for failure in plan.failed:
        problems.append(f"{failure.cell} failed before: {failure.reason}; delete {failure.folder} to try again.")
    problems += map(str, plan.damaged)
    if not dry_run:
        _show_means(cells, root, session)
    for problem in problems:
        session.warn("Failed", problem)
    if problems:
        raise typer.Exit(1)


def _request(
    suite: str,
    recipe: str | None,
    networks: list[str] | None,
    seeds: str | None,
    changes: list[str] | None,
    **options: int | str | None,
) -> "tuple[list[Cell], Recipe]":
    """The cells that are asked for, and their recipe. Raises RequestError for what there is not."""
    from benchmarks.networks import registry
    from benchmarks.protocol import recipe as recipes
    from benchmarks.protocol import settings, suites

    chosen = suites.named(suite)
    changed = settings.changed(recipes.named(recipe or chosen.recipe), changes or [], **options)
    names = tuple(dict.fromkeys(networks or chosen.networks))
    for name in names:
        registry.entry(name)
    return suites.cells(chosen, changed.name, names, _seeds(seeds, chosen)), changed


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


def _deadline(minutes: float | None) -> float | None:
    """When to pause, in seconds since 1970. Raises RequestError for a time that is over already."""
    if minutes is not None and not minutes > 0:
        raise RequestError(f"--minutes is {minutes:g}; give a number above 0.")
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


def _run_data_sets(
    plan: "Plan",
    recipe: "Recipe",
    root: Path,
    device: str,
    until: float | None,
    dry_run: bool,
    session: Session,
    *,
    kernels: bool,
    steal: bool,
) -> list[str]:
    """Run, or only estimate, what is to do, data set by data set; sentences about what failed."""
    from benchmarks import datasets
    from benchmarks.datasets import judging
    from benchmarks.machine import device_named
    from benchmarks.runner import local
    from benchmarks.runner.console import Reporter
    from benchmarks.runner.group import Control, Resources
    from benchmarks.training import engine

    problems = []
    for name in dict.fromkeys(cell.dataset for cell in plan.todo):
        cells = [cell for cell in plan.todo if cell.dataset == name]
        prepared = datasets.load(name, recipe.size)
        _say_what_is_unknown(prepared, session)
        if vanished := judging.vanished_in_words(prepared.vanished, prepared.size):
            session.say(f"{name}: {vanished}.")
        chosen = device_named(device)
        begun_with = engine.of_new_runs(chosen, recipe, allowed=kernels)
        with Reporter(session.console) as reporter:
            resources, control = Resources.of(prepared, recipe, chosen), Control(reporter)
            job = local.Job(recipe, root, resources, control, begun_with, until, steal)
            outcome = local.Outcome()
            reporter.note(engine.announcement(job.engine, chosen, recipe, asked=kernels))
            if dry_run:
                show_costs(local.fit_to_train(cells, job, outcome), job, session)
            else:
                outcome = local.execute(cells, job)
                prepared.verification.check()
        problems += _faults(outcome, session)
    return problems


def _say_what_is_unknown(prepared: "PreparedSet", session: Session) -> None:
    """Where an earlier version prepared the data set."""
    if prepared.data.originals is None:
        session.say(
            f"{prepared.name} was prepared by an earlier version, which did not record its originals: its runs will "
            f"say so. `python -m benchmarks data {prepared.name} --from PATH` records them and leaves the pixels as "
            "they are."
        )


def _faults(outcome: "Outcome", session: Session) -> list[str]:
    """Sentences about what failed. Ends the command where it was interrupted."""
    for cause in outcome.causes:
        session.show_traceback(cause)
    if outcome.interrupted:
        session.say("Stopped. Run the same command again to go on from the last checkpoints.")
        raise typer.Exit(130)
    errors = [f"{network}: {what}." for network, what in outcome.errors]
    return errors + [f"{failure.cell}: {failure.reason}." for failure in outcome.failed]


def show_costs(cells: "list[Cell]", job: "Job", session: Session) -> None:
    """Time the training of each network and engine for a moment, and tell what all will take."""
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
    session.show(table)
    session.say(f"Estimated time of all: {_clock(cost.makespan(groups, costs, job))}")


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def _show_means(cells: "list[Cell]", root: Path, session: Session) -> None:
    """Mean and standard deviation over seeds of what this request now has, one line per network."""
    from results.metrics import METRICS
    from results.runs import load_runs, of_one_identity

    wanted = set(cells)
    runs, _ = of_one_identity([run for run in load_runs(root, large=False).runs if run.cell in wanted])
    if not runs:
        return
    table = Table("data set", "network", "n", *(f"{metric.own_heading} %" for metric in METRICS))
    for key in dict.fromkeys((cell.dataset, cell.network) for cell in cells):
        mine = [run.metrics for run in runs if (run.cell.dataset, run.cell.network) == key]
        if mine:
            shown = (_mean_and_spread([metrics[metric.name] for metrics in mine]) for metric in METRICS)
            table.add_row(*key, str(len(mine)), *shown)
    session.show(table)
    session.say("`python -m benchmarks report` puts them beside the published numbers.")


def _mean_and_spread(fractions: list[float]) -> str:
    """Percent: "79.12 ±0.34", the spread being the standard deviation of at least two seeds."""
    from results.spread import mean_and_sd

    mean, sd = mean_and_sd([100 * fraction for fraction in fractions])
    return f"{mean:.2f}" + ("" if sd is None else f" ±{sd:.2f}")
