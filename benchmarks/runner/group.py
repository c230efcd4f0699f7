"""One group: the seeds of a network that train together, from a specification that pickles to its finished folders.

Four things, because they travel differently:

* `GroupSpec`, what to train: names, settings and hashes, which any process on any machine can be given.
* `Resources`, what it trains on: the device of this process and the data set on it.
* `Control`, who watches and stops it.
* `Claims`, which of its cells this process holds, so that no other works on them.

A fresh process needs nothing but a specification: `run_alone` loads the plugin and the data set that it names, and
refuses others under the same names.
"""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from threading import Event

import torch

from benchmarks import datasets
from benchmarks.datasets import split_files
from benchmarks.machine import device_named, full_precision, work_on
from benchmarks.networks import registry
from benchmarks.protocol.recipe import Recipe
from benchmarks.runner import litter, save_run
from benchmarks.runner.claims import Claims
from benchmarks.runner.console import Watcher
from benchmarks.runner.evaluate import score
from benchmarks.runner.rhythm import Rhythm
from benchmarks.training import checkpoint
from benchmarks.training.data import Data
from benchmarks.training.engine import Engine, require
from benchmarks.training.loop import Interrupted, train
from benchmarks.training.replicas import Replicas
from results.cell import CONFIG, Cell
from results.errors import RequestError, Unwritable
from results.metrics import pooled
from results.runs import is_done


@dataclass(frozen=True)
class GroupSpec:
    """What one group trains. Plain data: equal specifications give equal numbers, in whatever process."""

    wanted: registry.Specification
    """The network by name, and its plugin by source and hash."""
    seeds: tuple[int, ...]
    dataset: str
    fingerprint: str
    """Of the prepared set, hex SHA-256."""
    recipe: Recipe
    root: Path
    """Results folder."""
    engine: Engine
    """What computes cells of which nothing was trained yet; others go on as their config.json says."""
    deadline: float | None = None
    """When to pause, at the end of an epoch: seconds since 1970; None: when all is done."""

    @property
    def network(self) -> str:
        """Its name."""
        return self.wanted.name

    @property
    def cells(self) -> list[Cell]:
        """One per seed."""
        return [Cell(self.dataset, self.recipe.name, self.network, seed) for seed in self.seeds]

    @property
    def left(self) -> list[Cell]:
        """Those that are neither finished nor given up, as the results folder has it now."""
        return [cell for cell in self.cells if not is_done(cell, self.root)]

    @property
    def checkpoints(self) -> list[Path]:
        """Where each cell's checkpoint lies while it is not finished."""
        return [checkpoint.path_of(cell, self.root) for cell in self.cells]


@dataclass(frozen=True)
class Resources:
    """What a process lends to the groups of one data set: its device, and the data set on it."""

    device: torch.device
    prepared: datasets.PreparedSet
    """Nothing that was computed on it is stored before its verification has passed."""
    rule: str
    """Of the split."""

    @cached_property
    def data(self) -> Data:
        """The data set on the device, cut by the rule; loaded when it is first asked for. Its verification begins."""
        self.prepared.verification.begin()
        return Data.of(self.prepared, self.rule, self.device)

    @classmethod
    def of(cls, prepared: datasets.PreparedSet, recipe: Recipe, device: torch.device) -> "Resources":
        """The prepared set, cut as the recipe wants it."""
        return cls(device, prepared, recipe.split)

    @classmethod
    def found(cls, spec: GroupSpec, device: torch.device) -> "Resources":
        """The data set of a specification, as this machine has prepared it; the last one is kept for the next group.

        Raises RequestError where it is not prepared, or is another one than the specification was made for.
        """
        return _found(spec.dataset, spec.fingerprint, spec.recipe, device, spec.root)


@lru_cache(maxsize=1)
def _found(dataset: str, fingerprint: str, recipe: Recipe, device: torch.device, root: Path) -> Resources:
    prepared = datasets.load(dataset, recipe.size)
    if prepared.fingerprint != fingerprint:
        raise RequestError(
            f"{prepared.folder} holds {dataset} with fingerprint {prepared.fingerprint[:12]}, but the group was "
            f"planned on {fingerprint[:12]}; prepare it from the same originals."
        )
    split_files.cut(prepared, recipe.split, root)
    return Resources.of(prepared, recipe, device)


@dataclass(frozen=True)
class Control:
    """Who is told of the progress of groups, and what ends them early."""

    reporter: Watcher
    stop: Event = field(default_factory=Event)
    """At the next step: what came after the last checkpoint is lost."""
    pause: Event = field(default_factory=Event)
    """At the end of the epoch, with a checkpoint."""


def run_alone(
    spec: GroupSpec, control: Control, device: str = "auto", *, job: str | None = None, steal: Collection[str] = ()
) -> None:
    """Train and store a group in a process that knows nothing of it yet: load its plugin and its data, then run it.

    device: as `machine.device_named` takes it. job, steal: whose claims it may take over, as `Claims` takes them.
    Cells that another process holds are left to it. Raises what `run_group` and `Resources.found` raise, and
    RequestError where the plugin cannot be loaded or was changed since the group was planned.
    """
    registry.from_specification(spec.wanted)
    resources = Resources.found(spec, device_named(device))
    with Claims(spec.root, job=job, steal=steal) as claims:
        run_group(spec, resources, control, claims)


def run_group(spec: GroupSpec, resources: Resources, control: Control, claims: Claims) -> None:
    """Train what is left of one group and write its folders, of the cells that this process can hold.

    Seeds whose checkpoints stand at different epochs, as after a kill between two of them, train one after another.

    Raises Interrupted where it was stopped or paused, with what can be gone on with on disk, ClaimLost where another
    process took over, and RequestError for what was begun otherwise, cannot be gone on with, or is a damaged data set.
    """
    full_precision()
    work_on(resources.device)
    held = [cell for cell in spec.cells if claims.take(cell)]
    try:
        for cell in held:
            litter.clean(cell.folder(spec.root))
        engines: dict[Engine, list[int]] = {}
        for cell in held:
            if not is_done(cell, spec.root):
                engines.setdefault(_begun(cell, spec, resources), []).append(cell.seed)
        for engine, seeds in engines.items():
            part = replace(spec, seeds=tuple(seeds), engine=engine)
            _train_in_parts(part, resources, control, claims)
    except Unwritable:
        claims.check(held)  # who takes a cell over cleans its folder, and with it the file that is being written
        raise
    finally:
        for cell in held:
            claims.release(cell)


def _begun(cell: Cell, spec: GroupSpec, resources: Resources) -> Engine:
    """Write the cell's config.json where there is none; the engine that trains it."""
    engine = save_run.begin(cell, resources.prepared, spec.recipe, spec.root, spec.engine)
    require(engine, resources.device, cell.folder(spec.root) / CONFIG)
    return engine


def _train_in_parts(spec: GroupSpec, resources: Resources, control: Control, claims: Claims) -> None:
    """Train one group in as few passes as can be: several where seeds stand apart, or where memory is too small."""
    try:
        return _train_and_store(spec, resources, control, claims)
    except checkpoint.Uneven as uneven:
        parts = [tuple(spec.seeds[k] for k in part) for part in uneven.parts]
    except torch.cuda.OutOfMemoryError:
        if len(spec.seeds) == 1:
            raise
        count, middle = len(spec.seeds), len(spec.seeds) // 2
        control.reporter.note(f"{spec.network}: {count} seeds together need more memory than there is; halving")
        parts = [spec.seeds[:middle], spec.seeds[middle:]]
    # Only here, behind the exception and its traceback, is the memory of the group free again.
    torch.cuda.empty_cache()
    for part in parts:
        _train_in_parts(replace(spec, seeds=part), resources, control, claims)


def _train_and_store(spec: GroupSpec, resources: Resources, control: Control, claims: Claims) -> None:
    rhythm = Rhythm(spec.recipe.epochs, spec.deadline)
    if control.stop.is_set() or control.pause.is_set() or rhythm.overdue:
        raise Interrupted
    verification = resources.prepared.verification
    verification.check(wait=False)
    replicas = Replicas(spec.network, spec.seeds, spec.recipe, resources.device, engine=spec.engine)
    identities = [checkpoint.identity(cell, spec.fingerprint) for cell in spec.cells]
    for note in checkpoint.restore(replicas, spec.checkpoints, identities):
        control.reporter.note(note)

    def after_epoch(replicas: Replicas) -> None:
        due = rhythm.after_epoch(replicas.epoch, pause=control.pause.is_set())
        control.reporter.epoch(replicas)
        verification.check(wait=due.save)
        if due.save:
            claims.check(spec.cells)
            checkpoint.save(replicas, spec.checkpoints, identities)
            save_run.write_histories(replicas, spec.cells, spec.root)
            rhythm.saved()
        if due.pause:
            raise Interrupted

    with control.reporter.showing(replicas):
        train(replicas, resources.data, after_epoch, control.stop, control.reporter.within_epoch(replicas))
        scores = score(replicas, resources.data.test)
        verification.check()
        claims.check(spec.cells)
        save_run.finish(replicas, spec.cells, scores, spec.root)
    for cell in spec.cells:
        checkpoint.remove(cell, spec.root)
    control.reporter.closing(replicas, [pooled(counts)["iou"] for counts in scores.counts])
