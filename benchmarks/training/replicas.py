"""R replicas of a network, trained at once: their tensors, losses and steps.

The R replicas of a network live in one set of tensors with a leading replica axis. One forward pass is
`vmap(functional_call)` over that axis, the R losses are summed, and one AdamW steps the stack: replicas cannot feel
each other, because no operation mixes them and each draws from its own seed and the epoch number alone. With R = 1 the
module is called and its own parameters are trained, which lie in the stack. On CUDA the whole step, from the gather of
its images to the optimizer, is captured and replayed, and the host waits for the device once per epoch. On a CPU the
kernels of `benchmarks.training.kernels` may compute the step instead of torch: layers, batches, loss and optimizer.

Letters: R replicas, B images of a batch, H = W pixels.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.utils._pytree import tree_map

from benchmarks.networks import registry
from benchmarks.networks.seeding import seeded, undisturbed
from benchmarks.objectives import chosen
from benchmarks.objectives.losses import Objective
from benchmarks.protocol.recipe import Recipe
from benchmarks.training import ema
from benchmarks.training.batches import ImageStore, coloured
from benchmarks.training.cuda_graph import Capture, Captured, Step, cuda_graph
from benchmarks.training.engine import TORCH, Engine
from benchmarks.training.folded_depthwise import fold_depthwise
from benchmarks.training.progress import Progress
from benchmarks.training.vmap_layers import fold_replicas

Tensors = dict[str, Tensor]


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
        capture: Capture | None = None,
        engine: Engine = TORCH,
    ) -> None:
        """capture: how the step is captured; on CUDA as a graph by default, elsewhere not at all.

        engine: what computes; the kernels take one replica on a CPU in fp32. Raises ValueError for anything else.
        """
        if engine.kernels and (len(seeds), device.type, recipe.precision, capture) != (1, "cpu", "fp32", None):
            raise ValueError("the CPU kernels train one replica in fp32 on a CPU, uncaptured")
        modules = [initialised(network, recipe.size, seed).to(device, dtype) for seed in seeds]
        self.name, self.recipe, self.device, self.engine = network, recipe, device, engine
        self.progress = [Progress(seed, patience=recipe.patience) for seed in seeds]
        self.module, self.entry = modules[0], registry.entry(network)
        self.parameters, self.buffers = stack_module_state(modules)  # each tensor (R, ...)
        self.stacked_as = _names(self.module)
        """Every name of a parameter or buffer, and the one that it is stacked under: tied ones have several names."""
        self._places = {name: self.stacked_as[name] for name in places(self.module)}
        self.trained = self.parameters if len(self) > 1 else self._unstack()
        """What the optimizer steps and gradients arrive at: the stack or, of one replica, the module's parameters."""
        self.averages = ema.started(self.parameters, recipe.ema)
        """Moving averages of the parameters, each (R, ...), where the recipe wants them."""
        self._layers()
        self.capture = cuda_graph if capture is None and device.type == "cuda" else capture
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
        """The network's objective with the recipe's loss, by kernels where there are some for it."""
        objective = chosen.objective(self.entry.objective, self.recipe.loss)
        if not self.engine.kernels:
            return objective
        from benchmarks.training.kernels.objectives import by_kernels

        return by_kernels(objective)

    def _adamw(self, dtype: torch.dtype) -> torch.optim.Optimizer:
        """The recipe's optimizer of what is trained."""
        recipe, captured = self.recipe, self.capture is not None
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

    def selectable(self) -> Tensors:
        """What is validated and may become the best: the averages where there are some, with the present buffers."""
        return {**self.parameters, **self.averages, **self.buffers} if self.averages else self.tensors()

    def set_rate(self, rate: float) -> None:
        """Learning rate of the steps to come."""
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    def _network(self, tensors: Tensors, images: Tensor) -> Any:
        """What the network makes of images (B, 3, H, W) with these weights of one replica, in float32."""
        placed = {name: tensors[stacked] for name, stacked in self._places.items()}
        return self._called(lambda x: called_with(self.module, placed, x), images)

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
            return self.objective(partial(self._network, {**parameters, **buffers}), images, masks, draws)

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
        ema.move(self.averages, self.parameters, self.recipe.ema)
        return losses.detach()

    def batch(
        self, data: ImageStore, order: Tensor, rot90_flip: Tensor, rotation: Tensor, colour: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Images (R, B, 3, H, W) and masks (R, B, 1, H, W) of what each replica drew: `augmented`, then `coloured`."""
        if self.engine.kernels:
            from benchmarks.training.kernels.batches import augmented

            images, masks = augmented(data, order, rot90_flip, rotation)
        else:
            images, masks = data.augmented(order, rot90_flip, rotation)
        return (coloured(images, colour) if colour is not None and colour.shape[-1] else images), masks

    def step_on(self, data: ImageStore) -> Step:
        """`step` on batches of `data` as a function of what `Drawn` lists, in its order; captured if need be."""

        def step(order: Tensor, rot90_flip: Tensor, rotation: Tensor, objective: Tensor, colour: Tensor) -> Tensor:
            return self.step(*self.batch(data, order, rot90_flip, rotation, colour), objective)

        return Captured(step, self.capture) if self.capture else step

    def keep_best(self, improved: list[bool]) -> None:
        """Copy the present weights of the replicas that improved over their best ones."""
        rows = torch.tensor([k for k, better in enumerate(improved) if better], device=self.device, dtype=torch.int64)
        if len(rows):
            for name, tensor in self.selectable().items():
                self.best[name].index_copy_(0, rows, tensor.detach().index_select(0, rows))


def places(module: nn.Module) -> Tensors:
    """The tensor in each attribute of each module that holds one: a tied parameter has several, a shared module one."""
    owners = [
        (owner, {"prefix": name, "recurse": False, "remove_duplicate": False}) for name, owner in module.named_modules()
    ]
    return dict(each for owner, how in owners for each in (*owner.named_parameters(**how), *owner.named_buffers(**how)))


def called_with(module: nn.Module, placed: Tensors, x: Tensor) -> Any:
    """What a module makes of x with other tensors in its `places`; afterwards it has its own again.

    With `tie_weights`, torch would put a tensor into a shared module twice and take it out once.
    """
    return functional_call(module, placed, (x,), tie_weights=False)


def _names(module: nn.Module) -> dict[str, str]:
    """Every name of a parameter or buffer of a module, and the first one of the same tensor."""
    kinds = (module.named_parameters, module.named_buffers)
    named = [(name, tensor) for kind in kinds for name, tensor in kind(remove_duplicate=False)]
    first = {tensor: name for name, tensor in reversed(named)}
    return {name: first[tensor] for name, tensor in named}


def _unstacked(tensors: Tensors) -> Tensors:
    """The tensors of the only replica, as views."""
    return {name: tensor.squeeze(0) for name, tensor in tensors.items()}
