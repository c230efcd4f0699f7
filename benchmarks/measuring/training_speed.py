"""The trainer against the field's loop, in one process and in turns: the same images, seeds and steps.

Machines are shared and drift, so a rate here means little alone; the ratio of two that were measured one after the
other means something, and its spread over the rounds says how much.

* The trainer trains as `runner` has it: on CUDA all seeds stacked in a captured step, on CPU each on a thread, a thread
  per core, and with the CPU kernels where numba is installed.
* One seed alone is the trainer too: what the seeds side by side are worth is the ratio of both.
* Where the trainer has kernels, one seed alone with torch instead: what the kernels are worth.
* The reference loop trains the seeds one after another, on CPU with the threads that torch takes by itself.

A round is an epoch over `steps` batches of the training split, and for each seed alone the evaluation of a batch.

Letters: R replicas (seeds) of a group, B images of a batch, S sides.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.profiler import ProfilerActivity

from benchmarks.datasets import PreparedSet
from benchmarks.machine import settings_of_a_run
from benchmarks.measuring import memory_traffic
from benchmarks.measuring.sides import Sides, groups, pictures, train_by_phase
from benchmarks.protocol.recipe import Recipe
from benchmarks.training.batches import ImageStore
from benchmarks.training.cuda_graph import WARM_UP
from benchmarks.training.engine import TORCH, Engine
from results import files
from results.spread import Quartiles

TRACED_STEPS = 3  # a trace of more is slow to open


@dataclass(frozen=True)
class KernelGain:
    """The CPU kernels against torch: one seed alone on one thread, both in the same round."""

    torch: Quartiles
    """Training images per second with torch."""
    step: Quartiles
    """Rate of the kernels' steps to torch's."""
    evaluation: Quartiles
    """The same of evaluating images."""


@dataclass(frozen=True)
class Speed:
    """Training images per second of the sides, and what a step of the trainer is made of."""

    network: str
    device: str
    engine: Engine
    size: int
    """Side of the images, pixels."""
    batch: int
    seeds: tuple[int, ...]
    steps: int
    """Of each seed in a round."""
    trainer: Quartiles
    """Images per second, all seeds together."""
    alone: Quartiles
    """Images per second of the trainer with the first seed only."""
    reference: Quartiles
    """Images per second."""
    ratio: Quartiles
    """Trainer to reference of the same round."""
    side_by_side: Quartiles
    """Trainer to one seed alone of the same round."""
    kernels: KernelGain | None
    """None where the trainer computes with torch."""
    shares: dict[str, float]
    """Of PHASES in a trainer step, run phase by phase and not captured; they sum to 1."""
    loss_difference: float
    """Largest relative difference between trainer's and reference's mean losses of the first, untimed, round."""
    traffic: memory_traffic.Traffic
    """Bytes of a step of one group: on CUDA of all seeds, on CPU of one."""
    bandwidth: float
    """Bytes per second of a large copy on this device."""
    step: Quartiles
    """Seconds of a step of that group, where nothing runs beside it."""


def measure(
    network: str,
    prepared: PreparedSet,
    recipe: Recipe,
    seeds: tuple[int, ...],
    steps: int,
    rounds: int,
    device: torch.device,
    engine: Engine = TORCH,
) -> Speed:
    """Train all sides for `rounds` timed rounds of `steps` steps, after some that warm up, changing who goes first.

    engine: of the trainer. Raises RequestError where the network does not take the recipe's size.
    """
    with settings_of_a_run() as threads:
        sides = Sides(network, recipe, seeds, *pictures(prepared, recipe, steps), device, threads, engine)
        untimed = math.ceil((WARM_UP + 1) / steps) if device.type == "cuda" else 1  # until the step is captured
        first, *_ = (sides.train(epoch)[0] for epoch in range(1, 1 + untimed))
        timed = [sides.train(1 + untimed + k)[1] for k in range(rounds)]
        shares, copied = sides.shares(1 + untimed + rounds), memory_traffic.bandwidth(device)
    seconds = {side: np.array([each[side] for each in timed]) for side in timed[0]}  # each (rounds,)
    images = steps * recipe.batch
    trainer, reference = (len(seeds) * images / seconds[side] for side in ("trainer", "reference"))
    alone = images / seconds["alone"]
    group, side = (seeds, "trainer") if device.type == "cuda" else (seeds[:1], "alone")
    return Speed(
        network=network,
        device=device.type,
        engine=engine,
        size=recipe.size,
        batch=recipe.batch,
        seeds=seeds,
        steps=steps,
        trainer=Quartiles.of(trainer),
        alone=Quartiles.of(alone),
        reference=Quartiles.of(reference),
        ratio=Quartiles.of(trainer / reference),
        side_by_side=Quartiles.of(trainer / alone),
        kernels=_kernel_gain(seconds, images) if engine.kernels else None,
        shares=shares,
        loss_difference=float(np.abs(np.divide(first["trainer"], first["reference"]) - 1).max()),
        traffic=memory_traffic.of_step(network, group, recipe),
        bandwidth=copied,
        step=Quartiles.of(seconds[side] / steps),
    )


def _kernel_gain(seconds: dict[str, np.ndarray], images: int) -> KernelGain:
    """seconds: of each round, by side; images: of a round."""
    return KernelGain(
        Quartiles.of(images / seconds["torch"]),
        Quartiles.of(seconds["torch"] / seconds["alone"]),
        Quartiles.of(seconds["evaluation, torch"] / seconds["evaluation"]),
    )


def write_trace(
    network: str,
    prepared: PreparedSet,
    recipe: Recipe,
    seeds: tuple[int, ...],
    device: torch.device,
    path: Path,
    engine: Engine = TORCH,
) -> None:
    """A few steps of the trainer's first group as a Chrome trace (chrome://tracing), its phases marked."""
    store = ImageStore(*pictures(prepared, recipe, TRACED_STEPS), device)
    group = groups(network, recipe, seeds, device, engine)[0]
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if device.type == "cuda" else [])
    with settings_of_a_run():
        torch.set_num_threads(1)
        train_by_phase(group, store, 1, device)  # loads kernels
        with torch.profiler.profile(activities=activities, acc_events=True) as profiler:
            train_by_phase(group, store, 2, device)
    with files.replacing(path) as partial:
        profiler.export_chrome_trace(str(partial))


def render(speed: Speed) -> str:
    """The measurement in a few lines of text."""

    def spread(of: Quartiles, unit: str, digits: int) -> str:
        return f"{of.median:.{digits}f}{unit} ({of.low:.{digits}f} to {of.high:.{digits}f})"

    shares = ", ".join(f"{phase} {share * 100:.0f} %" for phase, share in speed.shares.items())
    floor, eager = speed.traffic.floor / speed.bandwidth, speed.traffic.eager / speed.bandwidth
    seeds = f"{len(speed.seeds)} seeds" if len(speed.seeds) > 1 else "one seed"
    group, gain = seeds if speed.device == "cuda" else "one seed", speed.kernels
    return "\n".join(
        [
            f"{speed.network}, {speed.size} px, batch {speed.batch}, {speed.device}: {speed.engine}",
            f"{seeds}, {speed.steps} steps each per round; median (quartiles) of {speed.ratio.n} rounds",
            f"trainer         {spread(speed.trainer, ' images/s', 1)}",
            f"one seed alone  {spread(speed.alone, ' images/s', 1)}",
            *([f"  with torch    {spread(gain.torch, ' images/s', 1)}"] if gain else []),
            f"reference loop  {spread(speed.reference, ' images/s', 1)}",
            f"ratio           {spread(speed.ratio, '', 2)} of trainer to reference loop",
            f"side by side    {spread(speed.side_by_side, '', 2)} of trainer to one seed alone",
            *(
                [f"kernels         {spread(gain.step, '', 2)} of kernels to torch, one seed alone on one thread"]
                if gain
                else []
            ),
            *([f"evaluation      {spread(gain.evaluation, '', 2)} of kernels to torch, on one thread"] if gain else []),
            f"step of {group:7} {speed.step.median * 1e3:.2f} ms; phase by phase {shares}",
            f"memory floor    {floor * 1e3:.2f} ms, of which a step takes {speed.step.median / floor:.1f} times: "
            f"{speed.traffic.floor / 1e9:.3g} GB at the {speed.bandwidth / 1e9:.0f} GB/s of a large copy",
            f"unfused         {eager * 1e3:.2f} ms: {speed.traffic.eager / 1e9:.3g} GB operation by operation",
            f"mean losses of the first round differ by at most {speed.loss_difference:.1e} of themselves",
        ]
    )
