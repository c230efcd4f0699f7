"""A plan of cells -> run folders: skips what is finished, resumes what was interrupted, isolates what fails.

On CUDA the seeds of a network train stacked, one group after another. On CPU the stacked pass is slower than single
ones, because grouped convolutions are; there each cell is its own group on one thread, and as many run side by side as
there are cores. Either way the numbers of a seed do not depend on the others, on CPU to the last bit.
"""

import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from threading import Event

import torch

from benchmarks.datasets import PreparedSet
from benchmarks.machine import full_precision, one_thread, workers
from benchmarks.networks import registry
from benchmarks.networks.plugins import described
from benchmarks.protocol.recipe import Recipe
from benchmarks.runner import save_run
from benchmarks.runner.console import Reporter
from benchmarks.runner.probe import Unfit, probe
from benchmarks.training import checkpoint
from benchmarks.training.batches import ImageStore
from benchmarks.training.engine import TORCH, Engine, announcing, require
from benchmarks.training.loop import Data, Interrupted, train
from benchmarks.training.replicas import Replicas
from results.cell import Cell
from results.errors import RequestError
from results.runs import Failure, failure_of, is_finished

CHECKPOINT_EVERY = 30.0  # seconds; after the last epoch always


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
    """All that the groups of one data set and recipe share."""

    prepared: PreparedSet
    data: Data
    recipe: Recipe
    root: Path
    device: torch.device
    reporter: Reporter
    engine: Engine = TORCH
    """Of the cells of which nothing was trained yet."""
    stop: Event = field(default_factory=Event)
    until: float | None = None
    """Time of `time.monotonic` before which to stop, at the end of an epoch; None: whenever all is done."""


def on_device(prepared: PreparedSet, recipe: Recipe, device: torch.device) -> Data:
    """The data set of a recipe on the device, cut into its splits."""
    split = prepared.split(recipe.split)
    rows = (split.train, split.validation, split.test)
    return Data(*(ImageStore(prepared.images[each], prepared.masks[each], device) for each in rows))


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
    with (
        announcing(job.reporter.note),
        ThreadPoolExecutor(workers(job.device), initializer=one_thread, initargs=(job.device,)) as pool,
    ):
        futures = [(group[0].network, pool.submit(_run_group, group, job)) for group in _groups(cells, job)]
        try:
            for network, future in futures:
                _collect(network, future, outcome)
        except KeyboardInterrupt:
            job.stop.set()
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
            job.reporter.note(f"{name}: {note}")
        fit += mine
    if outcome.causes and not fit:
        faults = " ".join(f"{name}: {what}." for name, what in outcome.errors)
        raise RequestError(f"{faults} Nothing was stored.") from outcome.causes[0]
    return fit


def _collect(network: str, future: Future, outcome: Outcome) -> None:
    """Wait for a group; its fault must not cost the other networks their night."""
    try:
        future.result()
    except Interrupted:
        outcome.interrupted = True
    except Exception as error:
        plugin = registry.entry(network).plugin
        what = str(error) if isinstance(error, RequestError) else described(error, plugin.files if plugin else ())
        outcome.errors.append((network, what.removesuffix(".")))
        outcome.causes.append(error)


def _groups(cells: list[Cell], job: Job) -> list[list[Cell]]:
    """Cells that train together: one by one on CPU; on CUDA all seeds of a network that stand at the same epoch."""
    if job.device.type == "cpu":
        return [[cell] for cell in cells]

    def stage(cell: Cell) -> tuple[str, int]:
        return cell.network, checkpoint.epochs_done(
            _checkpoint(cell, job), checkpoint.identity(cell, job.prepared.fingerprint)
        )

    networks = list(dict.fromkeys(cell.network for cell in cells))
    stages = {cell: stage(cell) for cell in cells}
    ordered = sorted(cells, key=lambda cell: (networks.index(cell.network), stages[cell], cell.seed))
    return [list(group) for _, group in groupby(ordered, key=stages.__getitem__)]


def _run_group(cells: list[Cell], job: Job) -> None:
    """Train one group and write its folders; halve it where the device's memory does not suffice."""
    try:
        return _train_group(cells, job)
    except torch.cuda.OutOfMemoryError:
        if len(cells) == 1:
            raise
    # Only here, behind the exception and its traceback, is the memory of the group free again.
    torch.cuda.empty_cache()
    job.reporter.note(f"{cells[0].network}: {len(cells)} seeds together need more memory than there is; halving")
    middle = len(cells) // 2
    for half in (cells[:middle], cells[middle:]):
        _run_group(half, job)


def _train_group(cells: list[Cell], job: Job) -> None:
    begun = time.monotonic()
    if job.stop.is_set() or (job.until is not None and begun >= job.until):
        raise Interrupted
    paths = [_checkpoint(cell, job) for cell in cells]
    identities = [checkpoint.identity(cell, job.prepared.fingerprint) for cell in cells]
    engine = save_run.engine_of(cells[0], job.root, job.engine)
    replicas = Replicas(cells[0].network, tuple(cell.seed for cell in cells), job.recipe, job.device, engine=engine)
    if paths[0].exists():
        checkpoint.restore(replicas, paths, identities)
    saved = ended = begun

    def after_epoch(replicas: Replicas) -> None:
        nonlocal saved, ended
        before, ended = ended, time.monotonic()
        last = replicas.epoch == job.recipe.epochs
        pause = job.until is not None and not last and ended + (ended - before) > job.until  # the next is as long
        job.reporter.epoch(replicas)
        if replicas.eager_because and replicas.epoch == 1:
            job.reporter.note(
                f"{replicas.name}: its step cannot be captured ({replicas.eager_because}) and runs eagerly"
            )
        if ended - saved >= CHECKPOINT_EVERY or last or pause:
            checkpoint.save(replicas, paths, identities)
            saved = ended
        if pause:
            raise Interrupted

    with job.reporter.showing(replicas):
        train(replicas, job.data, after_epoch, job.stop)
        save_run.finish(replicas, cells, job.prepared, job.data, job.root)
    for path in paths:
        path.unlink(missing_ok=True)
    job.reporter.finish(replicas)


def _checkpoint(cell: Cell, job: Job) -> Path:
    return cell.folder(job.root) / checkpoint.CHECKPOINT
