"""What a cell leaves behind: config.json before the first step; results, and report.json last, after the final one.

report.json holds the checksums of all other files, as they are when training has ended.
"""

import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save
from torch import Tensor

from benchmarks import machine
from benchmarks.datasets import PreparedSet
from benchmarks.networks import registry
from benchmarks.networks.identity import identity
from benchmarks.objectives import losses
from benchmarks.protocol.recipe import Recipe
from benchmarks.runner.evaluate import Scores
from benchmarks.training import checkpoint
from benchmarks.training.engine import TORCH, Engine
from benchmarks.training.replicas import Replicas, scored_network
from results import files, predictions, seal
from results.cell import (
    CONFIG,
    FAILED,
    HISTORY,
    PER_IMAGE,
    PREDICTIONS,
    PROBABILITIES,
    REPORT,
    WEIGHTS,
    Cell,
)
from results.errors import Damaged, RequestError
from results.installation import code_version
from results.metrics import per_image_mean, pooled
from results.probabilities import Probabilities
from results.schema import Code, Config, EngineRecord, GivenUp, History, Host, PerImage, Report, Sizes, Split

PRECISIONS = {"fp32": "fp32, TF32 off", "bf16": "bf16 autocast; weights, loss and AdamW fp32, TF32 off"}


def begin(cell: Cell, prepared: PreparedSet, recipe: Recipe, root: Path, engine: Engine = TORCH) -> Engine:
    """Write config.json, or find that the one from before says the same. Returns the engine that goes on with the cell.

    engine: of a cell of which nothing was trained yet. One that was goes on with its own. Raises RequestError where the
    cell was begun otherwise.
    """
    path, chosen = cell.folder(root) / CONFIG, engine_of(cell, root, engine)
    config = can_begin(cell, prepared, recipe, root, chosen)
    if not path.exists():
        config.write(path)
        return chosen
    before = Config.read(path)
    if before.engine != config.engine:
        before.changed(engine=config.engine).write(path)
    return chosen


def can_begin(cell: Cell, prepared: PreparedSet, recipe: Recipe, root: Path, engine: Engine = TORCH) -> Config:
    """What config.json of the cell is to say; nothing is written.

    Raises RequestError where the one from before says something else that matters to the numbers.
    """
    one_identity(cell, root)
    path, config = cell.folder(root) / CONFIG, _config(cell, prepared, recipe, engine)
    if not path.exists():
        return config
    before = _completed(Config.read(path), config)
    for key in ("recipe_settings", "cross_entropy", "fingerprint", "split"):
        if getattr(before, key) != getattr(config, key):
            raise RequestError(
                f"{path} was begun with another {key.replace('_', ' ')}; move its folder away, or name another results "
                "folder with --results."
            )
    return config


def _completed(before: Config, now: Config) -> Config:
    """A config of an earlier version with what it did not record: settings that it did not have, and the fingerprint
    of its split, which follows from the images."""
    split = before.split
    if split.fingerprint is None:
        split = split.changed(fingerprint=now.split.fingerprint)
    return before.changed(recipe_settings=_all_settings(before.recipe_settings), split=split)


def _all_settings(recorded: dict[str, Any]) -> dict[str, Any]:
    """Those of a recipe that were recorded, and the defaults of those that there were not yet."""
    return asdict(Recipe()) | recorded if recorded else recorded


def _config(cell: Cell, prepared: PreparedSet, recipe: Recipe, engine: Engine) -> Config:
    """Every field of it."""
    entry, split = registry.entry(cell.network), prepared.split(recipe.split)
    sizes = Sizes(train=len(split.train), validation=len(split.validation), test=len(split.test))
    return Config(
        format=Config.FORMAT,
        **asdict(cell),
        label=entry.label,
        venue=entry.venue,
        paper=entry.paper,
        upstream=entry.upstream,
        identity=identity(cell.network),
        deviations=tuple(entry.deviations),
        base_recipe=recipe.base,
        recipe_settings=asdict(recipe),
        cross_entropy=losses.CROSS_ENTROPY,
        fingerprint=prepared.fingerprint,
        size=prepared.size,
        data=prepared.data,
        split=Split(
            rule=split.rule,
            fingerprint=split.fingerprint,
            selected_on=split.selected_on,
            scored_on="test",
            sizes=sizes,
        ),
        engine=EngineRecord(**engine.record()),
        code=Code(**code_version()),
    )


def engine_of(cell: Cell, root: Path, new: Engine) -> Engine:
    """The engine that a cell was begun with, or `new` where there is no checkpoint, so that nothing can change."""
    if not checkpoint.exists(cell, root):
        return new
    path = cell.folder(root) / CONFIG
    try:
        begun = Config.read(path).engine
        return Engine.of_record(None if begun is None else begun.content())
    except ValueError as error:
        raise RequestError(f"{path} cannot be continued ({error}); move its folder away.") from None


def one_identity(cell: Cell, root: Path, *, finished: bool = False) -> None:
    """Raises RequestError where a seed of this network was begun when the network of that name was another one.

    finished: this cell needs no more training, so that runs from before identities were recorded are fine.
    """
    now = identity(cell.network)
    for path in sorted(cell.folder(root).parent.glob(f"seed-*/{CONFIG}")):
        try:
            before = Config.read(path).identity
        except Damaged:
            if path.parent == cell.folder(root):
                raise
            continue  # another seed, which no report counts in: whoever asks for it is told
        if before == now or (finished and before is None):
            continue
        cure = f"move {path.parents[1]} away, or name another results folder with --results."
        if before is None:
            raise RequestError(
                f"{path} was begun before the identity of a network was recorded, so that nothing can stand beside it "
                f"as another seed; {cure}"
            )
        raise RequestError(
            f"{path} was begun as another network named {cell.network!r} (identity {before}, now {now}: its source, "
            f"modules or its weights changed); give the new one another name, {cure}"
        )


def write_histories(replicas: Replicas, cells: Sequence[Cell], root: Path) -> None:
    """The history of each replica as far as it goes, for who watches it."""
    for cell, progress in zip(cells, replicas.progress, strict=True):
        if progress.own_history:
            History(pd.DataFrame(progress.own_history)).write(cell.folder(root) / HISTORY)


def finish(replicas: Replicas, cells: list[Cell], scores: Scores, root: Path) -> None:
    """Write each replica's folder: what it scored on the test split and with which weights, or why it failed."""
    write_histories(replicas, cells, root)
    network = scored_network(replicas.name)
    for k, (cell, progress) in enumerate(zip(cells, replicas.progress, strict=True)):
        folder = cell.folder(root)
        if progress.failed_at is not None:
            reason = f"the loss of epoch {progress.failed_at} is not finite"
            given_up = GivenUp(epoch=progress.failed_at, reason=reason, files=seal.of_folder(folder))
            given_up.sealed().write(folder / FAILED)
            continue
        counts = scores.counts[k]
        PerImage.of(list(scores.ids), counts).write(folder / PER_IMAGE)
        predictions.write(folder / PREDICTIONS, scores.masks[k])
        Probabilities.of(list(scores.ids), scores.spread[k]).write(folder / PROBABILITIES)
        files.write_bytes(folder / WEIGHTS, save(_weights(replicas, k, network.state_dict())))
        parameters = sum(parameter.numel() for parameter in network.parameters())
        report = _report(Config.read(folder / CONFIG), replicas, k, counts, parameters)
        report.changed(files=seal.of_folder(folder)).sealed().write(folder / REPORT)


def _weights(replicas: Replicas, k: int, names: Iterable[str]) -> dict[str, Tensor]:
    """The best weights of replica k under these names; a tied tensor once for each, as `load_state_dict` takes it."""
    best = {name: replicas.best[replicas.stacked_as[name]][k] for name in names}
    return {name: tensor.clone(memory_format=torch.contiguous_format).cpu() for name, tensor in best.items()}


def _report(config: Config, replicas: Replicas, k: int, counts: np.ndarray, parameters: int) -> Report:
    """What was measured of replica k; counts: (N, 4)."""
    progress = replicas.progress[k]
    return Report(
        format=Report.FORMAT,
        **asdict(config.cell),
        split=config.split,
        identity=config.identity,
        metrics=pooled(counts),
        per_image_mean=per_image_mean(counts),
        best_epoch=progress.best_epoch,
        epochs=len(progress.own_history),
        validation_loss=progress.best_loss,
        parameters=parameters,
        seconds=round(progress.seconds, 3),
        seeds_side_by_side=len(replicas),
        images_per_second=round(progress.images / progress.seconds, 3),
        peak_memory_mb=round(machine.peak_memory_mb(replicas.device), 1),
        code=Code(**code_version()),
        torch=str(torch.__version__),
        python=platform.python_version(),
        device=machine.device_name(replicas.device),
        engine=EngineRecord(**replicas.engine.record()),
        precision=PRECISIONS[replicas.recipe.precision],
        eager_because=replicas.eager_because,
        host=Host(**machine.host()),
        finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
