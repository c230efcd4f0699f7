"""Scores stored weights on another data set, without training: of finished runs, or of a file from elsewhere.

Images that the weights were trained or selected on are left out, whether they have the same id or the same pixels.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

from benchmarks import machine
from benchmarks.datasets import PreparedSet
from benchmarks.datasets.splits import Split
from benchmarks.networks.identity import identity
from benchmarks.prediction.weights import Weights
from benchmarks.protocol import recipe as recipes
from benchmarks.protocol.recipe import Recipe
from benchmarks.runner.evaluate import score
from benchmarks.training import engine
from benchmarks.training.batches import ImageStore
from benchmarks.training.engine import Engine
from benchmarks.training.replicas import Replicas
from results import external, seal
from results.cell import PER_IMAGE
from results.errors import Damaged, RequestError
from results.external import External
from results.installation import code_version
from results.metrics import pooled
from results.runs import Run
from results.schema import Code, EngineRecord, PerImage

SAME_ID, SAME_PIXELS = "same id", "same pixels"


@dataclass(frozen=True)
class Test:
    """What is scored: a prepared data set, or its test part, without images that the weights have seen."""

    prepared: PreparedSet
    part: str = external.WHOLE_SET
    split: str | None = None
    """The rule that cuts the part out."""

    @property
    def positions(self) -> np.ndarray:
        """Of the part's images in the prepared set."""
        if self.split is None:
            return np.arange(len(self.prepared.ids))
        return self.prepared.split(self.split).test

    def without(self, seen: Mapping[str, str], pixels: Mapping[str, str]) -> tuple[list[int], dict[str, str]]:
        """Positions that are scored, and why the others are not.

        seen: ids that the weights know, pixels: checksums of what they know; both with the reason.
        """
        kept, left_out, checksums = [], {}, self.prepared.checksums
        for at in self.positions.tolist():
            name = self.prepared.ids[at]
            reason = seen.get(name) or (pixels.get(checksums[at]) if checksums and checksums[at] else None)
            if reason:
                left_out[name] = reason
            else:
                kept.append(at)
        if not kept:
            raise RequestError(
                f"Every image of {self.prepared.name} was used for training or validation of these weights; nothing is "
                "left to score. Choose another --on."
            )
        return kept, left_out


def known_of(prepared: PreparedSet, split: Split) -> tuple[dict[str, str], dict[str, str]]:
    """Ids and checksums of the images that a run was trained and selected on, each with the reason to leave it out."""
    seen = {at: part for part in ("validation", "train") for at in getattr(split, part).tolist()}
    ids = {prepared.ids[at]: f"{SAME_ID} as in {part}" for at, part in seen.items()}
    if not prepared.checksums:
        return ids, {}
    return ids, {prepared.checksums[at]: f"{SAME_PIXELS} as {prepared.ids[at]} in {part}" for at, part in seen.items()}


def recipe_of(run: Run) -> Recipe:
    """The recipe that a run was trained with."""
    settings = run.config.recipe_settings
    known = {name: value for name, value in settings.items() if name in Recipe.__dataclass_fields__}
    return Recipe(**known) if known else recipes.named("paper")  # type: ignore[arg-type]


def evaluate(
    weights: Weights,
    test: Test,
    recipe: Recipe,
    folder: Path,
    device: torch.device,
    seen: tuple[Mapping[str, str], Mapping[str, str]] = ({}, {}),
    *,
    kernels: bool = True,
) -> External:
    """Score the weights on the test and write the folder; what it held is replaced.

    recipe: the precision and size that the weights were trained with. seen: as `known_of` has it. Raises RequestError
    where no image is left, where the data set turns out to be damaged, and where the folder cannot be written.
    """
    machine.full_precision()
    prepared, (kept, left_out) = test.prepared, test.without(*seen)
    prepared.verification.begin()
    computing = engine.of_new_runs(device, recipe, allowed=kernels)
    replicas = _with(weights, recipe, device, computing)
    rows = np.array(kept)
    store = ImageStore(prepared.images[rows], prepared.masks[rows], device, ids=[prepared.ids[at] for at in kept])
    scores = score(replicas, store)
    prepared.verification.check()
    counts = scores.counts[0]
    PerImage.of(list(scores.ids), counts).write(folder / PER_IMAGE)
    about = External(
        format=External.FORMAT,
        network=weights.network,
        identity=identity(weights.network),
        weights=weights.sha256,
        source=weights.source,
        dataset=prepared.name,
        size=prepared.size,
        fingerprint=prepared.fingerprint,
        part=test.part,
        split=test.split,
        left_out=left_out,
        metrics=pooled(counts),
        engine=EngineRecord(**computing.record()),
        torch=str(torch.__version__),
        device=machine.device_name(device),
        code=Code(**code_version()),
        finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
        files={PER_IMAGE: seal.of_file(folder / PER_IMAGE)},
    ).sealed()
    about.write(folder / external.EXTERNAL)
    return about


def _with(weights: Weights, recipe: Recipe, device: torch.device, computing: Engine) -> Replicas:
    """One replica with these weights, as it is scored."""
    replicas = Replicas(weights.network, (1,), recipe, device, engine=computing)
    with torch.no_grad():
        for name, tensor in weights.tensors.items():
            replicas.best[replicas.stacked_as[name]][0].copy_(tensor)
    return replicas


def done(folder: Path, sha256: str, test: Test) -> External | None:
    """What the folder holds of these weights on this test already. Damaged scores are made again."""
    try:
        about = external.read(folder).about
    except Damaged:
        return None
    known = (about.weights, about.fingerprint, about.part, about.split)
    return about if known == (sha256, test.prepared.fingerprint, test.part, test.split) else None
