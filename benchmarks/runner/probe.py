"""A network is tried before it trains: what would be wrong, irreproducible or crash an hour later is one sentence now.

Networks of this project are held to the same by its tests (`tests/test_networks.py`); a user's own and those of a
library are probed at the start of every run, at the recipe's size, on two drawn images.

Letters: B images, H = W pixels.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.networks import registry
from benchmarks.networks.entry import Entry
from benchmarks.networks.plugins import Unfit, blamed
from benchmarks.networks.seeding import reseed, states, undisturbed
from benchmarks.objectives import losses
from benchmarks.protocol.recipe import RECIPES, Recipe
from benchmarks.runner.module_state import (
    bindings,
    fault_of_forward,
    fault_of_memory,
    fault_of_pair,
    fault_of_tensors,
    remembered,
)
from benchmarks.training.replicas import Replicas, Tensors, called_with, initialised, places, scored_network

SEED, ANOTHER = 1, 20_251_124
STREAMS = (
    "use nn.Dropout modules, which get streams of their own, leave the dropout of nn.MultiheadAttention and nn.LSTM at "
    "0, or draw when the network is built"
)


def probe_evaluation(name: str, size: int, device: torch.device) -> None:
    """Raises Unfit for a network whose logits of images of this size, px, in eval mode nobody can use."""
    with undisturbed():
        network = _Probe(registry.entry(name), RECIPES["paper"].changed(size=size), device)
        network.evaluates(registry.build(name).to(device))


def probe(name: str, recipe: Recipe, device: torch.device, *, narrowest: int = 2, stacked: bool = False) -> list[str]:
    """Raises Unfit, with a user's own error as its cause, for a network that must not train; returns notes on it.

    narrowest: images of the narrowest batch of an epoch. stacked: whether several seeds will train in one pass.
    """
    return _Probe(registry.entry(name), recipe, device).run(min(narrowest, 2), stacked)


class _Probe:
    """One network at one size on one device."""

    def __init__(self, entry: Entry, recipe: Recipe, device: torch.device) -> None:
        self.entry, self.recipe, self.device = entry, recipe, device
        generator = torch.Generator().manual_seed(SEED)
        spots = F.interpolate(torch.rand(2, 3, 8, 8, generator=generator), recipe.size, mode="bilinear")
        self.images = (255 * spots).to(device)  # (2, 3, H, W)
        self.masks = (self.images[:, :1] > 128).float()
        self.draws = torch.rand(losses.DRAWS, generator=generator).to(device)

    def run(self, width: int, stacked: bool) -> list[str]:
        with undisturbed():
            module = self.built()
            self.evaluates(module)
            self.follows_from_its_tensors(module)
            self.is_what_is_scored(module)
            self.returns_logits_in_training(module, width)
            notes = self.trains(width)
            if stacked:
                self.stacks(width)
            self.ends_in_no_sigmoid(module)
        return notes

    def unfit(self, what: str) -> Unfit:
        return Unfit(self.entry.name, what)

    def refuse(self, fault: str) -> None:
        """Raises Unfit where there is a fault."""
        if fault:
            raise self.unfit(fault)

    @property
    def files(self) -> tuple[Path, ...]:
        return self.entry.plugin.files if self.entry.plugin else ()

    def built(self) -> nn.Module:
        """The network in training; from one seed twice the same."""
        pair = [initialised(self.entry.name, self.recipe.size, SEED) for _ in range(2)]
        states = [dict((*each.named_parameters(), *each.named_buffers())) for each in pair]
        if not states[0]:
            raise self.unfit("it has no parameters, so there is nothing to train; give it some")
        self.refuse(fault_of_tensors(pair[0]))
        self.refuse(fault_of_pair(*pair))
        if states[0].keys() != states[1].keys() or not all(map(_same, states[0].values(), states[1].values())):
            raise self.unfit(
                "its builder gives other weights each time under one seed; draw them from the global generator of "
                "torch, numpy or random, which the suite seeds"
            )
        return pair[0].to(self.device)

    def forward(self, module: nn.Module, images: Tensor, tensors: Tensors | None = None) -> Any:
        """Its output, with other tensors than its own where some are given.

        Raises Unfit where it changes the images, or where its tensors lie, on the way.
        """
        before, given = bindings(module), images.clone()
        x = given if self.entry.preprocess is None else self.entry.preprocess(given)
        output = module(x) if tensors is None else called_with(module, tensors, x)
        self.refuse(fault_of_forward(before, module))
        self.left_alone(images, given)
        return output

    def left_alone(self, images: Tensor, given: Tensor) -> None:
        if not torch.equal(images, given):
            raise self.unfit("its forward changes the images in place; make new ones, as x = x / 255 does")

    def evaluates(self, module: nn.Module) -> None:
        """Logits, finite, and the same twice."""
        module.eval()
        with torch.no_grad():
            first = self.without_draws(lambda: self.forward(module, self.images))
            self.are_logits(first, "in eval mode", len(self.images))
            if not first.isfinite().all():
                raise self.unfit("its logits are not finite on images in [0, 255]; normalise them inside the network")
            reseed(ANOTHER)
            second = self.forward(module, self.images)
        self.alike(first, second, "output")

    def follows_from_its_tensors(self, module: nn.Module) -> None:
        """With the parameters and buffers of another network of the same builder, its logits are that one's."""
        generator = torch.Generator().manual_seed(SEED)
        other = initialised(self.entry.name, self.recipe.size, ANOTHER).to(self.device).eval()
        with torch.no_grad():
            for parameter in other.parameters():  # where all seeds begin alike
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator).to(parameter))
            with blamed(self.entry, "its forward"):
                logits, found = self.forward(other, self.images), self.forward(module, self.images, places(other))
        if not torch.allclose(logits, found, rtol=1e-3, atol=1e-4, equal_nan=True):
            raise self.unfit(
                "its logits do not follow from its parameters and buffers alone: it has modules or tensors in a list, "
                "as plain attributes or outside of itself; register them (nn.ModuleList, nn.ParameterList, "
                "register_buffer)"
            )

    def is_what_is_scored(self, module: nn.Module) -> None:
        """All weights of `builder()` are in the module that is trained, and make the same logits."""
        if self.entry.training_builder is None:
            return
        with blamed(self.entry, "its builder"):
            scored = scored_network(self.entry.name).to(self.device).eval()
        ours, theirs = module.state_dict(), scored.state_dict()
        absent = [name for name in theirs if name not in ours or ours[name].shape != theirs[name].shape]
        if absent:
            raise self.unfit(
                f"its training_builder lacks {len(absent)} of the {len(theirs)} weights of its builder ({absent[0]}); "
                "all of those must be in it, under the same names and with the same shapes"
            )
        with blamed(self.entry, "its builder"), torch.no_grad():
            scored.load_state_dict({name: ours[name] for name in theirs})
            logits, trained = (self.forward(each, self.images) for each in (scored, module))
        if logits.shape != trained.shape or not torch.allclose(logits, trained, rtol=1e-3, atol=1e-4):
            raise self.unfit(
                "what its training_builder and its builder make of the same weights differs in eval mode; let only "
                "training mode use the additional parts"
            )

    def are_logits(self, output: Any, when: str, images: int) -> None:
        wanted = (images, 1, self.recipe.size, self.recipe.size)
        if not isinstance(output, Tensor):
            raise self.unfit(
                f"it returns a {type(output).__name__} {when}; return the tensor of logits alone, (B, 1, H, W), or for "
                "training more with an objective of its own"
            )
        if tuple(output.shape) != wanted or not output.is_floating_point():
            raise self.unfit(
                f"it returns {output.dtype} of shape {tuple(output.shape)} {when} for images "
                f"{(images, 3, *wanted[2:])}; return float logits {wanted}, one per pixel"
            )

    def without_draws(self, function: Callable[[], Any]) -> Any:
        """What the function returns. Raises Unfit where it draws from a generator that all seeds share, or fails."""
        before = states()
        with blamed(self.entry, "its forward"), _Draws(self.files) as draws:
            result = function()
        if states() != before:
            raise self.unfit(f"it draws random numbers in its forward ({draws.first or 'numpy or random'}); {STREAMS}")
        return result

    def alike(self, first: Tensor, second: Tensor, what: str) -> None:
        """To the last bit on CPU; CUDA adds in an order that changes."""
        exact = self.device.type == "cpu"
        if not (torch.equal(first, second) if exact else torch.allclose(first, second, rtol=1e-3, atol=1e-4)):
            raise self.unfit(
                f"its {what} changes from call to call with the same weights and images: it keeps a state, or draws, "
                f"outside of parameters and buffers; keep it in a buffer, and {STREAMS}"
            )

    def returns_logits_in_training(self, module: nn.Module, width: int) -> None:
        """Where the suite's own loss takes them."""
        module.train()
        with torch.no_grad():
            output = self.without_draws(lambda: self.forward(module, self.images[:width]))
        if self.entry.objective is losses.plain:
            self.are_logits(output, "in training mode", width)

    def trains(self, width: int) -> list[str]:
        """The same finite losses twice from the same state and draws, and a gradient; names what it does not reach."""
        with blamed(self.entry, "its preparation for training"):
            replicas = Replicas(self.entry.name, (SEED,), self.recipe, self.device)
        start = {name: tensor.detach().clone() for name, tensor in replicas.tensors().items()}
        loss = self.without_draws(lambda: self.losses(replicas, width))
        known = remembered(replicas.module)
        if loss.shape != (1,):
            raise self.unfit(f"its objective returns a tensor of shape {tuple(loss.shape[1:])}; return one number")
        if not loss.isfinite().all():
            raise self.unfit("its loss is not finite on the first step; check its objective")
        if not loss.requires_grad:
            raise self.unfit("no gradient reaches its parameters; detach nothing, and no torch.no_grad in its forward")
        with blamed(self.entry, "the backward pass of its loss"):
            loss.sum().backward()
        with torch.no_grad():
            for name, tensor in replicas.tensors().items():
                tensor.copy_(start[name])
            reseed(ANOTHER)
            again = self.losses(replicas, width)
        self.refuse(fault_of_memory(known, remembered(replicas.module), replicas.module))
        self.alike(loss, again, "loss")
        missed = [name for name, parameter in replicas.trained.items() if parameter.grad is None]
        if not missed:
            return []
        shown = ", ".join(missed[:4]) + (" and others" if len(missed) > 4 else "")
        return [f"no gradient reaches {len(missed)} of its {len(replicas.trained)} parameters: {shown}"]

    def losses(self, replicas: Replicas, width: int) -> Tensor:
        before, count = bindings(replicas.module), len(replicas)
        given = self.images[:width].clone()
        images, masks, draws = (each.expand(count, *each.shape) for each in (given, self.masks[:width], self.draws))
        losses = replicas.losses(images, masks, draws)
        self.refuse(fault_of_forward(before, replicas.module))
        self.left_alone(self.images[:width], given)
        return losses

    def stacks(self, width: int) -> None:
        """Two seeds in one pass have the losses that they have alone."""
        cure = (
            "write it without .item(), branches on values and state outside of buffers, or train its seeds one by one "
            "(--seeds 1, and --seeds 2,)"
        )
        with blamed(self.entry, "its forward for two seeds in one pass", cure), torch.no_grad():
            together = self.losses(Replicas(self.entry.name, (SEED, SEED + 1), self.recipe, self.device), width)
        for k in range(2):
            alone = self.losses(Replicas(self.entry.name, (SEED + k,), self.recipe, self.device), width)
            if not torch.allclose(together[k], alone[0], rtol=1e-2, atol=1e-3):
                raise self.unfit(f"a seed's loss changes with the seeds trained beside it; {cure}")

    def ends_in_no_sigmoid(self, module: nn.Module) -> None:
        """Changes the weights of the module.

        Logits of an untrained network may lie in [0, 1] by chance, on a picture and its negative; those of the same
        network under other weights do not, unless something bounds them.
        """
        tiles = torch.arange(self.recipe.size, device=self.device) // 8 % 2
        board = (255.0 * (tiles[:, None] ^ tiles)).expand(1, 3, -1, -1)
        views = torch.cat([self.images, 255 - self.images, board, 255 - board])
        generator, conclusive = torch.Generator().manual_seed(SEED), False
        module.eval()
        with torch.no_grad():
            if not _bounded(self.forward(module, views)):
                return
            for noise in (0.1, 0.3, 1.0, 3.0) * 2:
                for parameter in (each for each in module.parameters() if each.is_floating_point()):
                    parameter.add_(noise * torch.randn(parameter.shape, generator=generator).to(parameter))
                output = self.forward(module, views)
                finite = output[output.isfinite()]
                conclusive |= len(finite) > 0
                if not _bounded(finite):
                    return
        if conclusive:
            raise self.unfit(
                "its outputs lie in [0, 1] on images and on their negatives, whatever its weights: it ends in a "
                "sigmoid, a softmax or a clamp; leave that away and return logits"
            )


def _same(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.equal(a.nan_to_num(), b.nan_to_num())


def _bounded(output: Tensor) -> bool:
    return bool(((output >= 0) & (output <= 1)).all())


class _Draws(TorchDispatchMode):
    """Notes the first operation that draws: which, in which module, and where in the user's files."""

    def __init__(self, files: tuple[Path, ...]) -> None:
        super().__init__()
        self.files = {str(file) for file in files}
        self.first = ""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        draws = torch.Tag.nondeterministic_seeded in func.tags and "scaled_dot_product" not in func.name()
        if draws and not self.first:
            self.first = self._told(func.name().removeprefix("aten::").partition(".")[0])
        return func(*args, **(kwargs or {}))

    def _told(self, operation: str) -> str:
        frame, module, place = sys._getframe(2), "", ""
        while frame is not None and not (module and place):
            code, owner = frame.f_code, frame.f_locals.get("self")
            if not module and isinstance(owner, nn.Module):
                module = f" in {type(owner).__name__}"
            if not place and code.co_filename in self.files:
                place = f", {Path(code.co_filename).name} line {frame.f_lineno}"
            frame = frame.f_back  # type: ignore[assignment]
        return f"{operation}{module}{place}"
