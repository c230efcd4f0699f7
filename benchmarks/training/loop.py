"""The training loop: all seeds of one network at once.

The R replicas of a network live in one set of tensors with a leading replica axis. One forward pass is
`vmap(functional_call)` over that axis, the R losses are summed, and one AdamW steps the stack: replicas cannot feel
each other, because no operation mixes them and each draws from its own seed and the epoch number alone. With R = 1 the
module is called and its own parameters are trained, which lie in the stack. On CUDA the whole step, from the gather of
its images to the optimizer, is captured and replayed, and the host waits for the device once an epoch. On a CPU the
kernels of `benchmarks.training.kernels` may compute the step instead of torch: layers, batches, loss and optimizer.

Letters: R replicas, B images of a batch, N images of a split, H = W pixels.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from math import isfinite
from threading import Event
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.utils._pytree import tree_map

from benchmarks.networks import registry
from benchmarks.networks.seeding import seeded, undisturbed
from benchmarks.objectives.losses import Objective, bce_dice_per_image
from benchmarks.protocol.recipe import Recipe
from benchmarks.training.batches import ImageStore, draw_epoch
from benchmarks.training.cuda_graph import Captured, Recorder, Step, cuda_graph
from benchmarks.training.engine import TORCH, Engine
from benchmarks.training.folded_depthwise import fold_depthwise
from benchmarks.training.pixel_counts import counts
from benchmarks.training.vmap_layers import fold_replicas
from results.metrics import pooled

Tensors = dict[str, Tensor]
EVALUATED = {"cpu": 16, "cuda": 64}  # images at a time: what fits the caches of a core, and what fills a GPU


class Interrupted(Exception):
    """The stop event was set; the last checkpoint stands."""


@dataclass(frozen=True)
class Data:
    """One data set on the device, cut into its splits."""

    train: ImageStore
    validation: ImageStore
    test: ImageStore


class Drawn(NamedTuple):
    """All that one step of R replicas draws: positions, rows of the turns and of the rotations, (R, B), and the
    objective's uniform numbers, (R, DRAWS)."""

    order: Tensor
    turn: Tensor
    rotation: Tensor
    objective: Tensor


@dataclass(frozen=True)
class EpochRecord:
    """One row of history.csv."""

    epoch: int
    lr: float
    train_loss: float
    validation_loss: float
    validation_miou: float
    validation_dsc: float


@dataclass
class Progress:
    """What one replica has been through: enough, with its tensors, to go on as if nothing had happened."""

    seed: int
    epoch: int = 0
    best_epoch: int = 0
    best_loss: float = float("inf")
    seconds: float = 0.0
    """Wall time of training and validation, with the replicas beside it."""
    images: int = 0
    """Training images seen."""
    history: list[dict] = field(default_factory=list)
    failed_at: int | None = None

    def record(self, row: EpochRecord) -> bool:
        """Take note of an epoch; True where its validation loss is the lowest so far."""
        self.epoch = row.epoch
        self.history.append(asdict(row))
        improved = row.validation_loss < self.best_loss  # False for NaN
        if improved:
            self.best_epoch, self.best_loss = row.epoch, row.validation_loss
        if self.failed_at is None and not (isfinite(row.train_loss) and isfinite(row.validation_loss)):
            self.failed_at = row.epoch
        return improved


def initialised(network: str, size: int, seed: int) -> nn.Module:
    """A network with the initial weights of this seed, whatever else was drawn before."""
    with seeded(seed):
        return registry.build_for_training(network, size)


def scored_network(network: str) -> nn.Module:
    """`registry.build` for any thread: drawing its initial weights disturbs no other thread's."""
    with undisturbed():
        return registry.build(network)


class Replicas:
    """R replicas of one network on one device: stacked parameters, buffers and AdamW's moments, and the best so far."""

    def __init__(
        self,
        network: str,
        seeds: tuple[int, ...],
        recipe: Recipe,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        *,
        record: Recorder | None = None,
        engine: Engine = TORCH,
    ) -> None:
        """record: how the step is captured; on CUDA as a graph by default, elsewhere not at all.

        engine: what computes; the kernels take one replica on a CPU in fp32. Raises ValueError for anything else.
        """
        if engine.kernels and (len(seeds), device.type, recipe.precision, record) != (1, "cpu", "fp32", None):
            raise ValueError("the CPU kernels train one replica in fp32 on a CPU, uncaptured")
        modules = [initialised(network, recipe.size, seed).to(device, dtype) for seed in seeds]
        self.name, self.recipe, self.device, self.engine = network, recipe, device, engine
        self.progress = [Progress(seed) for seed in seeds]
        self.module, self.entry = modules[0], registry.entry(network)
        self.parameters, self.buffers = stack_module_state(modules)  # each tensor (R, ...)
        self.trained = self.parameters if len(self) > 1 else self._unstack()
        """What the optimizer steps and gradients arrive at: the stack or, of one replica, the module's parameters."""
        self._layers()
        self.record = cuda_graph if record is None and device.type == "cuda" else record
        self.optimizer = self._adamw(dtype)
        self.best = {name: tensor.detach().clone() for name, tensor in self.tensors().items()}
        self.eager_because: str | None = None
        """Why the step could not be captured, where one was to be."""

    def _unstack(self) -> Tensors:
        """Lay the module's own tensors into the stack of one, so that both are the same memory; its parameters."""
        for own, stack in (
            (self.module.named_parameters(), self.parameters),
            (self.module.named_buffers(), self.buffers),
        ):
            for name, tensor in own:
                tensor.data = stack[name].detach()[0]
        return dict(self.module.named_parameters())

    def _layers(self) -> None:
        """Have the layers computed in the way that is fast here: same names, same weights, same mathematics."""
        self.module.train()
        if len(self) > 1:
            fold_replicas(self.module)
            return
        if self.engine.kernels:
            from benchmarks.training.kernels import swap

            swap(self.module)
        if self.device.type == "cpu" and self.recipe.precision == "fp32":
            fold_depthwise(self.module)

    @property
    def objective(self) -> Objective:
        """The network's objective, by kernels where there are some for it."""
        if not self.engine.kernels:
            return self.entry.objective
        from benchmarks.training.kernels.objectives import by_kernels

        return by_kernels(self.entry.objective)

    def _adamw(self, dtype: torch.dtype) -> torch.optim.Optimizer:
        """The recipe's optimizer of what is trained."""
        recipe, captured = self.recipe, self.record is not None
        options: dict[str, Any] = {
            "betas": (recipe.beta1, recipe.beta2),
            "eps": recipe.eps,
            "weight_decay": recipe.weight_decay,
        }
        if self.engine.kernels:
            from benchmarks.training.kernels.optimizer import AdamW

            return AdamW(self.trained.values(), lr=recipe.lr, **options)
        precise = dtype if self.device.type == "cpu" else torch.float32  # all that the CUDA kernel takes
        # A captured step reads its rate from the device.
        rate = torch.tensor(recipe.lr, device=self.device, dtype=precise) if captured else recipe.lr
        optimizer = torch.optim.AdamW(self.trained.values(), lr=rate, fused=True, capturable=captured, **options)
        optimizer._warned_capturable_if_run_uncaptured = True  # type: ignore[attr-defined]  # the first steps do
        return optimizer

    def __len__(self) -> int:
        return len(self.progress)

    @property
    def epoch(self) -> int:
        """Epochs done; the same for all replicas of a group."""
        return self.progress[0].epoch

    def tensors(self) -> Tensors:
        """Stacked parameters and buffers, each (R, ...), by name."""
        return {**self.parameters, **self.buffers}

    def set_rate(self, rate: float) -> None:
        """Learning rate of the steps to come."""
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    def _network(self, tensors: Any, images: Tensor) -> Any:
        """What the network makes of images (B, 3, H, W) with these weights of one replica, in float32."""
        return self._called(lambda x: functional_call(self.module, tensors, (x,)), images)

    def _called(self, module: Callable[[Tensor], Any], images: Tensor) -> Any:
        """What the module makes of images (B, 3, H, W) as its entry and the recipe want it called, in float32."""
        x = images if self.entry.preprocess is None else self.entry.preprocess(images)
        if self.recipe.precision == "fp32":
            return module(x)
        with torch.autocast(self.device.type, torch.bfloat16, cache_enabled=False):
            return tree_map(Tensor.float, module(x))

    def _mode(self, *, training: bool) -> None:
        """Put the module into this mode, if it is in the other: to tell all its layers takes half a millisecond."""
        if self.module.training is not training:
            self.module.train(training)

    def losses(self, images: Tensor, masks: Tensor, draws: Tensor) -> Tensor:
        """Training losses (R,) of images (R, B, 3, H, W), masks (R, B, 1, H, W) and draws (R, DRAWS)."""
        self._mode(training=True)
        if len(self) == 1:
            forward = partial(self._called, self.module)
            return self.objective(forward, images.squeeze(0), masks.squeeze(0), draws.squeeze(0)).unsqueeze(0)

        def one(parameters: Tensors, buffers: Tensors, images: Tensor, masks: Tensor, draws: Tensor) -> Tensor:
            return self.objective(partial(self._network, (parameters, buffers)), images, masks, draws)

        return vmap(one)(self.parameters, self.buffers, images, masks, draws)

    def logits(self, images: Tensor, tensors: Tensors) -> Tensor:
        """Evaluation logits (R, B, 1, H, W) of images (B, 3, H, W) under stacked `tensors`."""
        self._mode(training=False)
        if len(self) == 1:
            if all(tensors[name] is tensor for name, tensor in self.tensors().items()):
                return self._called(self.module, images).unsqueeze(0)
            return self._network(_unstacked(tensors), images).unsqueeze(0)
        return vmap(self._network, in_dims=(0, None))(tensors, images)

    def step(self, images: Tensor, masks: Tensor, draws: Tensor) -> Tensor:
        """One optimizer step; returns the losses (R,) before it."""
        self.optimizer.zero_grad()
        losses = self.losses(images, masks, draws)
        losses.sum().backward()
        self.optimizer.step()
        return losses.detach()

    def batch(self, data: ImageStore, order: Tensor, turn: Tensor, rotation: Tensor) -> tuple[Tensor, Tensor]:
        """`ImageStore.augmented`: images (R, B, 3, H, W) and masks (R, B, 1, H, W) of what each replica drew."""
        if not self.engine.kernels:
            return data.augmented(order, turn, rotation)
        from benchmarks.training.kernels.batches import augmented

        return augmented(data, order, turn, rotation)

    def step_on(self, data: ImageStore) -> Step:
        """`step` on batches of `data` as a function of what `Drawn` lists, in its order; captured if need be."""

        def step(order: Tensor, turn: Tensor, rotation: Tensor, objective: Tensor) -> Tensor:
            return self.step(*self.batch(data, order, turn, rotation), objective)

        return Captured(step, self.record) if self.record else step

    def keep_best(self, improved: list[bool]) -> None:
        """Copy the present weights of the replicas that improved over their best ones."""
        rows = torch.tensor([k for k, better in enumerate(improved) if better], device=self.device, dtype=torch.int64)
        if len(rows):
            for name, tensor in self.tensors().items():
                self.best[name].index_copy_(0, rows, tensor.detach().index_select(0, rows))


def _unstacked(tensors: Tensors) -> Tensors:
    """The tensors of the only replica, as views."""
    return {name: tensor.squeeze(0) for name, tensor in tensors.items()}


def steps_of(replicas: Replicas, images: int, epoch: int) -> Iterator[Drawn]:
    """What each step of an epoch over so many images draws, on the device: full batches, then the rest."""
    recipe = replicas.recipe
    draws = [draw_epoch(each.seed, epoch, images, recipe.batch, recipe.augment) for each in replicas.progress]
    for same_width in zip(*draws, strict=True):
        stacked = (np.stack([getattr(each, name) for each in same_width], axis=1) for name in Drawn._fields)
        yield from map(Drawn, *(torch.from_numpy(each).to(replicas.device) for each in stacked))


def train_epoch(replicas: Replicas, data: ImageStore, epoch: int, stop: Event, step: Step | None = None) -> Tensor:
    """One pass of every replica over its own shuffling of the training split; mean loss of each, (R,).

    step: `replicas.step_on(data)` of the epochs before, so that it is captured once and not in each.
    """
    replicas.set_rate(replicas.recipe.lr_at(epoch))
    total, seen, step = torch.zeros(len(replicas), device=replicas.device), 0, step or replicas.step_on(data)
    for drawn in steps_of(replicas, len(data), epoch):
        if stop.is_set():
            raise Interrupted
        width = drawn.order.shape[1]
        total += step(*drawn) * width
        seen += width
    return total / seen


@torch.no_grad()
def evaluate(
    replicas: Replicas, data: ImageStore, tensors: Tensors, *, batch: int | None = None, limit: int | None = None
) -> tuple[Tensor, Tensor]:
    """BCE + Dice of each image, (R, N), and its tp, fp, fn, tn in pixels, (R, N, 4) int64, in eval mode.

    tensors: stacked weights and buffers to evaluate. batch: images at a time, `EVALUATED` of the device by default.
    limit: only so many images, from the first.
    """
    batch = batch or EVALUATED[replicas.device.type]
    losses, pixel_counts = [], []
    end = len(data) if limit is None else limit
    for start in range(0, end, batch):
        stop = min(start + batch, end)
        images, masks = data.plain(start, stop)
        logits = replicas.logits(images, tensors)  # (R, B, 1, H, W)
        losses.append(torch.stack([bce_dice_per_image(each, masks) for each in logits]))
        pixel_counts.append(counts(logits, data.truth(start, stop)))
    return torch.cat(losses, dim=1), torch.cat(pixel_counts, dim=1)


def train(replicas: Replicas, data: Data, after_epoch: Callable[[Replicas], None], stop: Event) -> None:
    """Train from where the replicas stand to the recipe's last epoch, keeping each one's best weights.

    The best epoch is the one of lowest validation loss. A replica whose loss is not finite is marked in its progress
    and the others go on, until none is left. Raises Interrupted when `stop` is set.
    """
    step = replicas.step_on(data.train)
    for epoch in range(replicas.epoch + 1, replicas.recipe.epochs + 1):
        started = time.perf_counter()
        train_losses = train_epoch(replicas, data.train, epoch, stop, step).tolist()
        replicas.eager_because = getattr(step, "refusal", None)
        losses, pixel_counts = evaluate(replicas, data.validation, replicas.tensors())
        validation_losses, metrics = losses.mean(dim=1).tolist(), [pooled(each) for each in pixel_counts.cpu().numpy()]
        seconds = time.perf_counter() - started
        improved = []
        for k, progress in enumerate(replicas.progress):
            lr, (miou, dsc) = replicas.recipe.lr_at(epoch), (metrics[k]["miou"], metrics[k]["dsc"])
            row = EpochRecord(epoch, lr, train_losses[k], validation_losses[k], miou, dsc)
            progress.seconds += seconds
            progress.images += len(data.train)
            improved.append(progress.record(row))
        replicas.keep_best(improved)
        after_epoch(replicas)
        if all(progress.failed_at for progress in replicas.progress):
            return
