"""A plan of cells on this machine: groups are planned, and run in threads; what fails does not stop the others.

On CUDA the seeds of a network train stacked, one group after another. On CPU the stacked pass is slower than single
ones, because grouped convolutions are; there each cell is its own group on one thread, and as many run side by side as
there are cores. Either way the numbers of a seed do not depend on the others, on CPU to the last bit.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import torch

from benchmarks.datasets import PreparedSet
from benchmarks.machine import full_precision, or_cpu, workers
from benchmarks.networks import registry
from benchmarks.networks.plugins import Unfit, described
from benchmarks.objectives import chosen
from benchmarks.protocol.recipe import Recipe
from benchmarks.runner import save_run
from benchmarks.runner.backlog import Backlog
from benchmarks.runner.claims import ClaimLost, Claims
from benchmarks.runner.group import Control, GroupSpec, Resources, run_group
from benchmarks.runner.probe import probe
from benchmarks.training.data import Data
from benchmarks.training.engine import TORCH, Engine, announcing, require
from benchmarks.training.loop import Interrupted
from results.cell import CONFIG, Cell
from results.errors import RequestError, Unwritable
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

    def add(self, network: str, error: BaseException) -> None:
        """What a group raised; the groups of other networks go on."""
        if isinstance(error, RequestError):  # perhaps of a plugin that is not here, of which the registry knows nothing
            what = str(error)
        else:
            plugin = registry.entry(network).plugin
            what = described(error, plugin.files if plugin else ())
        self.errors.append((network, what.removesuffix(".")))
        self.causes.append(error)


@dataclass(frozen=True)
class Job:
    """What the groups of one data set and recipe share: what is asked for, what they train on, and who watches."""

    recipe: Recipe
    root: Path
    resources: Resources
    control: Control
    engine: Engine = TORCH
    """Of the cells of which nothing was trained yet."""
    deadline: float | None = None
    """When to pause, at the end of an epoch: seconds since 1970; None: when all is done."""
    steal: frozenset[str] = frozenset()
    """Claims of others that are taken over, as `claims.held_now` found them."""

    @property
    def prepared(self) -> PreparedSet:
        """The data set."""
        return self.resources.prepared

    @property
    def device(self) -> torch.device:
        """That the groups train on."""
        return self.resources.device

    @property
    def data(self) -> Data:
        """That the groups train on."""
        return self.resources.data


def execute(cells: list[Cell], job: Job) -> Outcome:
    """Train and score the cells of one data set and recipe, writing their folders, until all are done by whomever.

    Other processes may work on the same folder: each cell is trained by one of them. Ctrl-C stops all groups of this
    one at their next step; what is on disk can be continued. Raises RequestError where a folder was begun with other
    data or settings, as another network, or with an engine that is not here, and where the results cannot be written:
    then as after Ctrl-C.
    """
    outcome = Outcome()
    work_through(checked_groups(cells, job, outcome), job, outcome)
    return stored(outcome, cells, job.root)


def checked_groups(cells: list[Cell], job: Job, outcome: Outcome) -> list[GroupSpec]:
    """The groups of cells that can be begun or gone on with; networks that cannot train become errors of the outcome.

    Raises RequestError as `execute` does. Nothing is stored.
    """
    cells = fit_to_train(cells, job, outcome)
    for cell in cells:
        engine = save_run.engine_of(cell, job.root, job.engine)
        require(engine, job.device, cell.folder(job.root) / CONFIG)
        save_run.can_begin(cell, job.prepared, job.recipe, job.root, engine)
    return planned_groups(cells, job)


def work_through(groups: list[GroupSpec], job: Job, outcome: Outcome) -> None:
    """Train groups that were checked, until all are done by whomever; what goes wrong becomes part of the outcome."""
    full_precision()
    _ = job.data  # loaded once, before the workers ask for it
    try:
        with announcing(job.control.reporter.note), Claims(job.root, steal=job.steal) as claims:
            _work_side_by_side(Backlog(groups, claims), job, claims, outcome)
    except KeyboardInterrupt:
        outcome.interrupted = True


def stored(outcome: Outcome, cells: list[Cell], root: Path) -> Outcome:
    """The outcome with what is on disk of its cells."""
    outcome.finished = [cell for cell in cells if is_finished(cell, root)]
    outcome.failed = [failure for cell in cells if (failure := failure_of(cell, root)) is not None]
    return outcome


def _work_side_by_side(backlog: Backlog, job: Job, claims: Claims, outcome: Outcome) -> None:
    """All workers of this process, until nothing is left. Whatever ends it early stops them at their next step."""
    count = workers(job.device)
    with ThreadPoolExecutor(count) as pool:
        try:
            for each in [pool.submit(_work, backlog, job, claims, outcome) for _ in range(count)]:
                each.result()
        except BaseException:
            job.control.stop.set()
            raise


def _work(backlog: Backlog, job: Job, claims: Claims, outcome: Outcome) -> None:
    """What one worker does: groups of the backlog, one after another, until none is left."""
    while (group := backlog.take(job.control, job.deadline)) is not None:
        try:
            run_group(group, job.resources, job.control, claims)
        except ClaimLost as lost:
            job.control.reporter.note(f"{lost}: another process has taken over")
            backlog.put_back(group)
        except Interrupted:
            outcome.interrupted = True
            return
        except Unwritable:  # the other groups write to the same place
            job.control.stop.set()
            raise
        except BaseException as error:  # no Ctrl-C comes to a worker: whatever is raised here is the network's own
            outcome.add(group.network, error)
    outcome.interrupted |= backlog.was_stopped


def fit_to_train(cells: list[Cell], job: Job, outcome: Outcome) -> list[Cell]:
    """The cells of networks that take the size and pass the probe; the others become errors of the outcome.

    Nothing is stored for those. The networks of this project are not probed here: the tests do that. Raises
    RequestError where the probe leaves no network to train, and where the library of the recipe's loss is absent.
    """
    fit = []
    rest = len(job.prepared.split(job.recipe.split).train) % job.recipe.batch or job.recipe.batch
    device = or_cpu(job.device)
    for name in dict.fromkeys(cell.network for cell in cells):
        mine, entry = [cell for cell in cells if cell.network == name], registry.entry(name)
        if not entry.accepts(job.recipe.size):
            outcome.errors.append((name, f"it takes {entry.sizes}, not --size {job.recipe.size}"))
            continue
        if wrong := chosen.fault(entry.objective, job.recipe.loss):
            outcome.errors.append((name, wrong))
            continue
        chosen.objective(entry.objective, job.recipe.loss)  # raises RequestError where its library is not installed
        try:
            stacked = job.device.type == "cuda" and len(mine) > 1
            notes = probe(name, job.recipe, device, narrowest=rest, stacked=stacked) if entry.foreign else []
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
    """Cells that train together: one by one on CPU; on CUDA all seeds of a network."""
    if job.device.type == "cpu":
        return [_spec([cell], job) for cell in cells]
    networks = dict.fromkeys(cell.network for cell in cells)
    return [_spec([cell for cell in cells if cell.network == name], job) for name in networks]


def _spec(cells: list[Cell], job: Job) -> GroupSpec:
    """Of cells of one network."""
    return GroupSpec(
        wanted=registry.specification(cells[0].network),
        seeds=tuple(cell.seed for cell in cells),
        dataset=job.prepared.name,
        fingerprint=job.prepared.fingerprint,
        recipe=job.recipe,
        root=job.root.absolute(),
        engine=job.engine,
        deadline=job.deadline,
    )
