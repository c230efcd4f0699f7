"""What `run` does once it knows what is asked for: who trains it, or what it would cost; and what went wrong."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.table import Table

from benchmarks.cli import completion
from benchmarks.cli.session import Session
from results.errors import RequestError, unknown

if TYPE_CHECKING:
    from benchmarks.datasets import PreparedSet, Split
    from benchmarks.protocol.recipe import Recipe
    from benchmarks.runner.executors.executor import Executor
    from benchmarks.runner.local import Job, Outcome
    from results.cell import Cell


@dataclass(frozen=True)
class Work:
    """How the cells of a request are to be worked on."""

    root: Path
    deadline: float | None
    """When to pause, seconds since 1970."""
    kernels: bool
    """Whether runs may be begun with the CPU kernels."""
    steal: bool
    dry_run: bool
    script: bool
    """Whether to show what Slurm would be given, and train nothing."""


def chosen(name: str, device: str, address: str | None, slurm: list[str] | None, script: bool) -> "Executor":
    """The executor of this name. Raises RequestError for an option that is not its own."""
    if name not in completion.executors():
        raise unknown("executor", name, completion.executors(), "--executor takes one of: {names}")
    for option, given, owner in (
        ("--address", address, "ray"),
        ("--slurm", slurm, "slurm"),
        ("--print", script, "slurm"),
    ):
        if given and name != owner:
            raise RequestError(f"{option} goes with --executor {owner}; add that, or leave {option} out.")
    if name == "ray":
        from benchmarks.runner.executors.ray import Ray

        return Ray(device, address)
    if name == "slurm":
        from benchmarks.runner.executors.slurm import Slurm

        return Slurm.asked(slurm or [], device)
    from benchmarks.machine import devices_named
    from benchmarks.runner.executors.here import Processes, Threads

    devices = devices_named(device)
    return Threads(devices[0]) if len(devices) == 1 else Processes(devices)


def run_data_sets(
    cells: "list[Cell]", recipe: "Recipe", executor: "Executor", work: Work, session: Session
) -> list[str]:
    """Run, or only estimate, data set by data set; sentences about what failed."""
    from benchmarks import datasets
    from benchmarks.datasets import judging, split_files
    from benchmarks.datasets.splits import FILE
    from benchmarks.machine import or_cpu
    from benchmarks.runner import local, memory
    from benchmarks.runner.claims import held_now
    from benchmarks.runner.console import Reporter
    from benchmarks.runner.executors.here import Threads
    from benchmarks.runner.executors.slurm import Slurm
    from benchmarks.runner.group import Control, Resources
    from benchmarks.training import engine

    problems = []
    for name in dict.fromkeys(cell.dataset for cell in cells):
        mine = [cell for cell in cells if cell.dataset == name]
        if isinstance(executor, Threads):
            memory.require(mine, recipe, executor.device, session.say)
        prepared = datasets.load(name, recipe.size)
        if FILE.fullmatch(recipe.split):
            _say_of_file(split_files.use(prepared, recipe.split, work.root), prepared, session)
        if not (work.dry_run or work.script):
            split_files.freeze(recipe.split, work.root)
        _say_what_is_unknown(prepared, session)
        if vanished := judging.vanished_in_words(prepared.vanished, prepared.size):
            session.say(f"{name}: {vanished}.")
        device = or_cpu(executor.device) if work.dry_run else executor.device
        begun_with = engine.of_new_runs(device, recipe, allowed=work.kernels)
        whole = 0 if work.dry_run or work.script else len(mine) * recipe.epochs
        with Reporter(session.console, plan=f"{name}, {len(mine)} cells", epochs=whole) as reporter:
            resources, control = Resources.of(prepared, recipe, device), Control(reporter)
            stolen = held_now(mine, work.root) if work.steal else frozenset()
            job = local.Job(recipe, work.root, resources, control, begun_with, work.deadline, stolen)
            outcome = local.Outcome()
            if work.script:
                assert isinstance(executor, Slurm)
                session.say_whole(executor.script(len(local.planned_groups(mine, job)), work.root))
                continue
            reporter.note(engine.announcement(job.engine, device, recipe, asked=work.kernels))
            if work.dry_run:
                show_costs(local.fit_to_train(mine, job, outcome), job, session, executor.side_by_side)
            else:
                outcome = executor.execute(mine, job)
        problems += _faults(outcome, session)
    return problems


def _say_of_file(split: "Split", prepared: "PreparedSet", session: Session) -> None:
    """What a split of the user's own leaves out, and that its test part also selects the epoch, where it does."""
    from benchmarks.datasets.split_files import left_out

    if rest := left_out(prepared, split):
        session.say(f"The split {split.rule} leaves out {rest} of the {len(prepared.ids)} images of {prepared.name}.")
    if split.selected_on == "test":
        session.say(f"The split {split.rule} has no validation part: the part that is scored also selects the epoch.")


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


def show_costs(cells: "list[Cell]", job: "Job", session: Session, devices: int) -> None:
    """Time the training of each network and engine for a moment, and tell what all will take on so many devices."""
    from benchmarks.runner import cost

    if not cells:
        return
    title = f"{cells[0].dataset}, {job.recipe.name}, {job.device}"
    table = Table("network", "engine", "cells", "images/s", "time", title=title)
    groups, costs = cost.groups(cells, job), {}
    for (name, engine), number in groups.items():
        costs[name, engine] = measured = cost.measure(name, engine, number, job)
        alone = _clock(cost.makespan({(name, engine): number}, costs, job, devices))
        table.add_row(name, engine.name, str(number), f"{measured.images_per_second:.0f}", alone)
    session.show(table)
    seconds = cost.makespan(groups, costs, job, devices)
    session.say(f"Estimated time of all: {_clock(seconds)}, {_measured_on(job, devices)}.")
    if others := _instead(job.recipe, seconds):
        session.say(f"The same cells would take about {others}.")


def _measured_on(job: "Job", devices: int) -> str:
    """What the estimate speaks of, in words."""
    from benchmarks import machine

    name = machine.device_name(job.resources.device)
    where = f"{devices} cores, one thread each" if name == "cpu" else name
    return f"from a few steps of each network just now on {where}; other work on this machine makes it longer"


def _instead(recipe: "Recipe", seconds: float) -> str:
    """ "12 min 05 s under half": the same under the recipes that ask for fewer pixels, from pixels alone."""
    from benchmarks.protocol.recipe import RECIPES

    def pixels(each: "Recipe") -> int:
        return each.epochs * each.size**2

    smaller = {name: pixels(each) for name, each in RECIPES.items() if pixels(each) < pixels(recipe) / 2}
    ordered = sorted(smaller, key=lambda name: -smaller[name])
    return ", ".join(f"{_clock(seconds * smaller[name] / pixels(recipe))} under {name}" for name in ordered)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
