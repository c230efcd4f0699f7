"""A plan of cells on this machine: groups are planned, and run in threads; what fails does not stop the others.

On CUDA the seeds of a network train stacked, one group after another. On CPU the stacked pass is slower than single
ones, because grouped convolutions are; there each cell is its own group on one thread, and as many run side by side as
there are cores. Either way the numbers of a seed do not depend on the others, on CPU to the last bit.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import torch

from benchmarks.datasets import PreparedSet
from benchmarks.machine import full_precision, workers
from benchmarks.networks import registry
from benchmarks.networks.plugins import Unfit, described
from benchmarks.protocol.recipe import Recipe
from benchmarks.runner import save_run
from benchmarks.runner.group import Control, GroupSpec, Resources, run_group
from benchmarks.runner.probe import probe
from benchmarks.training import checkpoint
from benchmarks.training.data import Data
from benchmarks.training.engine import TORCH, Engine, announcing, require
from benchmarks.training.loop import Interrupted
from results.cell import Cell
from results.errors import RequestError
from results.runs import Failure, failure_of, is_finished


@dataclass
class Outcome:
    """What `execute` did. `errors` are pairs (network, what went wrong)."""

    finished: list[Cell] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    errors: list[tuple[str, str]] = field(default_factory=list)
    causes: list[BaseException] = field(default_factory=list)
    """What raised the errors, for those who want the tracebacks."""
    interrupted: bool = False


@dataclass(frozen=True)
class Job:
    """What the groups of one data set and recipe share: what is asked for, what they train on, and who watches."""

    prepared: PreparedSet
    recipe: Recipe
    root: Path
    resources: Resources
    control: Control
    engine: Engine = TORCH
    """Of the cells of which nothing was trained yet."""
    deadline: float | None = None
    """When to pause, at the end of an epoch: seconds since 1970; None: when all is done."""

    @property
    def device(self) -> torch.device:
        """That the groups train on."""
        return self.resources.device

    @property
    def data(self) -> Data:
        """That the groups train on."""
        return self.resources.data


def execute(cells: list[Cell], job: Job) -> Outcome:
    """Train and score the cells of one data set and recipe, writing their folders.

    Ctrl-C stops all groups at their next step; what is on disk can be continued. Raises RequestError where a folder was
    begun with other data or settings, as another network, or with an engine that is not here.
    """
    outcome = Outcome()
    cells = fit_to_train(cells, job, outcome)
    for cell in cells:
        require(save_run.engine_of(cell, job.root, job.engine), job.device, cell.folder(job.root) / "config.json")
    for cell in cells:
        save_run.begin(cell, job.prepared, job.recipe, job.root, job.engine)
    full_precision()
    with announcing(job.control.reporter.note), ThreadPoolExecutor(workers(job.device)) as pool:
        futures = [
            (group.network, pool.submit(run_group, group, job.resources, job.control))
            for group in planned_groups(cells, job)
        ]
        try:
            for network, future in futures:
                _collect(network, future, outcome)
        except KeyboardInterrupt:
            job.control.stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            outcome.interrupted = True
    outcome.finished = [cell for cell in cells if is_finished(cell, job.root)]
    outcome.failed = [failure for cell in cells if (failure := failure_of(cell, job.root)) is not None]
    return outcome


def fit_to_train(cells: list[Cell], job: Job, outcome: Outcome) -> list[Cell]:
    """The cells of networks that take the size and pass the probe; the others become errors of the outcome.

    Nothing is stored for those. The networks of this project are not probed here: the tests do that. Raises
    RequestError where the probe leaves no network to train.
    """
    fit = []
    rest = len(job.data.train) % job.recipe.batch or job.recipe.batch
    for name in dict.fromkeys(cell.network for cell in cells):
        mine, entry = [cell for cell in cells if cell.network == name], registry.entry(name)
        if not entry.accepts(job.recipe.size):
            outcome.errors.append((name, f"it takes {entry.sizes}, not --size {job.recipe.size}"))
            continue
        try:
            stacked = job.device.type == "cuda" and len(mine) > 1
            notes = probe(name, job.recipe, job.device, narrowest=rest, stacked=stacked) if entry.foreign else []
        except Unfit as unfit:
            outcome.errors.append((name, unfit.what))
            outcome.causes.append(unfit)
            continue
        for note in notes:
            job.control.reporter.note(f"{name}: {note}")
        fit += mine
    if outcome.causes and not fit:
        faults = " ".join(f"{name}: {what}." for name, what in outcome.errors)
        raise RequestError(f"{faults} Nothing was stored.") from outcome.causes[0]
    return fit


def planned_groups(cells: list[Cell], job: Job) -> list[GroupSpec]:
    """Cells that train together: one by one on CPU; on CUDA all seeds of a network that stand at the same epoch.

    The cells were begun, so that their folders tell what computes them.
    """

    def stage(cell: Cell) -> tuple[str, int]:
        identity = checkpoint.identity(cell, job.prepared.fingerprint)
        return cell.network, checkpoint.epochs_done(checkpoint.path_of(cell, job.root), identity)

    if job.device.type == "cpu":
        return [_spec([cell], job) for cell in cells]
    networks = list(dict.fromkeys(cell.network for cell in cells))
    stages = {cell: stage(cell) for cell in cells}
    ordered = sorted(cells, key=lambda cell: (networks.index(cell.network), stages[cell], cell.seed))
    return [_spec(list(group), job) for _, group in groupby(ordered, key=stages.__getitem__)]


def _spec(cells: list[Cell], job: Job) -> GroupSpec:
    """Of cells of one network."""
    return GroupSpec(
        wanted=registry.specification(cells[0].network),
        seeds=tuple(cell.seed for cell in cells),
        dataset=job.prepared.name,
        fingerprint=job.prepared.fingerprint,
        recipe=job.recipe,
        root=job.root.absolute(),
        engine=save_run.engine_of(cells[0], job.root, job.engine),
        deadline=job.deadline,
    )


def _collect(network: str, future: Future, outcome: Outcome) -> None:
    """Wait for a group. What it raised becomes an error of the outcome; the groups of other networks go on."""
    error = future.exception()  # a value, also where a network called sys.exit(); only Ctrl-C is raised here
    if isinstance(error, Interrupted):
        outcome.interrupted = True
    elif error is not None:
        plugin = registry.entry(network).plugin
        what = str(error) if isinstance(error, RequestError) else described(error, plugin.files if plugin else ())
        outcome.errors.append((network, what.removesuffix(".")))
        outcome.causes.append(error)
