"""What a cell leaves behind: config.json before the first step; results, and report.json last, after the final one."""

import platform
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import torch
from PIL import Image
from safetensors.torch import save_file

from benchmarks import machine
from benchmarks.datasets import PreparedSet
from benchmarks.networks import registry
from benchmarks.networks.identity import identity
from benchmarks.objectives import losses
from benchmarks.protocol.recipe import Recipe
from benchmarks.runner.evaluate import Scores
from benchmarks.training.checkpoint import CHECKPOINT
from benchmarks.training.engine import TORCH, Engine
from benchmarks.training.replicas import Replicas, scored_network
from results import files
from results.cell import Cell
from results.errors import RequestError
from results.installation import code_version
from results.metrics import COUNT_COLUMNS, per_image_mean, pooled
from results.runs import FORMAT

PRECISIONS = {"fp32": "fp32, TF32 off", "bf16": "bf16 autocast; weights, loss and AdamW fp32, TF32 off"}


def begin(cell: Cell, prepared: PreparedSet, recipe: Recipe, root: Path, engine: Engine = TORCH) -> None:
    """Write config.json, or check that the one from before says the same. Raises RequestError where it does not.

    engine: of a cell of which nothing was trained yet. One that was goes on with its own.
    """
    entry, split = registry.entry(cell.network), prepared.split(recipe.split)
    sizes = {"train": len(split.train), "validation": len(split.validation), "test": len(split.test)}
    config = {
        "format": FORMAT,
        **asdict(cell),
        "label": entry.label,
        "venue": entry.venue,
        "paper": entry.paper,
        "upstream": entry.upstream,
        "identity": identity(cell.network),
        "deviations": list(entry.deviations),
        "base_recipe": recipe.base,
        "recipe_settings": asdict(recipe),
        "cross_entropy": losses.CROSS_ENTROPY,
        "fingerprint": prepared.fingerprint,
        "size": prepared.size,
        "data": prepared.data,
        "split": {"rule": recipe.split, "selected_on": "validation", "scored_on": "test", "sizes": sizes},
        "engine": engine_of(cell, root, engine).record(),
        "code": code_version(),
    }
    one_identity(cell, root)
    path = cell.folder(root) / "config.json"
    if not path.exists():
        files.write_json(path, config)
        return
    before = files.read_json(path)
    for key in ("recipe_settings", "cross_entropy", "fingerprint", "split"):
        if before.get(key) != config[key]:
            raise RequestError(
                f"{path} was begun with another {key.replace('_', ' ')}; move its folder away, or name another results "
                "folder with --results."
            )
    if before.get("engine") != config["engine"]:
        files.write_json(path, before | {"engine": config["engine"]})


def engine_of(cell: Cell, root: Path, new: Engine) -> Engine:
    """The engine that a cell was begun with, or `new` where there is no checkpoint, so that nothing can change."""
    folder = cell.folder(root)
    if not (folder / CHECKPOINT).exists():
        return new
    try:
        return Engine.of_record(files.read_json(folder / "config.json").get("engine"))
    except ValueError as error:
        raise RequestError(f"{folder / 'config.json'} cannot be continued ({error}); move its folder away.") from None


def one_identity(cell: Cell, root: Path, *, finished: bool = False) -> None:
    """Raises RequestError where a seed of this network was begun when the network of that name was another one.

    finished: this cell needs no more training, so that runs from before identities were recorded are fine.
    """
    now = identity(cell.network)
    for path in sorted(cell.folder(root).parent.glob("seed-*/config.json")):
        before = files.read_json(path).get("identity")
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


def finish(replicas: Replicas, cells: list[Cell], scores: Scores, root: Path) -> None:
    """Write each replica's folder: what it scored on the test split and with which weights, or why it failed."""
    _write_masks(replicas, cells, scores, root)
    network = scored_network(replicas.name)
    for k, (cell, progress) in enumerate(zip(cells, replicas.progress, strict=True)):
        folder = cell.folder(root)
        files.write_csv(folder / "history.csv", pd.DataFrame(progress.history))
        if progress.failed_at is not None:
            reason = f"the loss of epoch {progress.failed_at} is not finite"
            files.write_json(folder / "failed.json", {"epoch": progress.failed_at, "reason": reason})
            continue
        table = pd.DataFrame(scores.counts[k], columns=list(COUNT_COLUMNS))
        files.write_csv(folder / "per_image.csv", table.assign(id=list(scores.ids))[["id", *COUNT_COLUMNS]])
        weights = {name: replicas.best[name][k].contiguous().cpu() for name in network.state_dict()}
        save_file(weights, folder / "weights.safetensors")
        report = _report(replicas, k, table, sum(p.numel() for p in network.parameters()))
        config = files.read_json(folder / "config.json")
        begun = {name: config.get(name) for name in ("split", "identity")}
        files.write_json(folder / "report.json", {"format": FORMAT, **asdict(cell), **begun, **report})


def _report(replicas: Replicas, k: int, table: pd.DataFrame, parameters: int) -> dict:
    """The measured part of report.json for replica k."""
    progress, counts = replicas.progress[k], table[list(COUNT_COLUMNS)].to_numpy()
    peak = machine.peak_memory_mb(replicas.device)
    return {
        "metrics": pooled(counts),
        "per_image_mean": per_image_mean(counts),
        "best_epoch": progress.best_epoch,
        "epochs": progress.epoch,
        "validation_loss": progress.best_loss,
        "parameters": parameters,
        "seconds": round(progress.seconds, 3),
        "seeds_side_by_side": len(replicas),
        "images_per_second": round(progress.images / progress.seconds, 3),
        "peak_memory_mb": None if peak is None else round(peak, 1),
        "code": code_version(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "device": machine.device_name(replicas.device),
        "engine": replicas.engine.record(),
        "precision": PRECISIONS[replicas.recipe.precision],
        "eager_because": replicas.eager_because,
        "host": machine.host(),
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _write_masks(replicas: Replicas, cells: list[Cell], scores: Scores, root: Path) -> None:
    """1-bit PNG predictions of the pictured test images, for the seeds that did not fail."""
    for name, masks in scores.masks.items():
        for cell, progress, mask in zip(cells, replicas.progress, masks, strict=True):
            if progress.failed_at is None:
                path = cell.folder(root) / "masks" / f"{name}.png"
                path.parent.mkdir(exist_ok=True)
                Image.fromarray(mask).save(path, optimize=True)
