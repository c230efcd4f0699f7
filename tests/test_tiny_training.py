"""The trainer on a network of 34 numbers, against the field's loop and against arithmetic written out."""

from threading import Event
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks.objectives.losses import DRAWS, bce_dice
from benchmarks.training import cuda_graph, engine, loop
from benchmarks.training.batches import ImageStore, draw_epoch
from benchmarks.training.data import Data
from benchmarks.training.loop import Interrupted, evaluate, steps_of, train, train_epoch
from benchmarks.training.reference_loop import Pictures, ReferenceLoop
from benchmarks.training.replicas import Replicas, initialised
from tests import tiny_network
from tests.tiny_network import RECIPE, SIZE

CPU, META = torch.device("cpu"), torch.device("meta")
IMAGES, MASKS = tiny_network.pictures(22)
KERNELS = pytest.param("kernels", marks=pytest.mark.skipif(engine.installed() is None, reason="needs numba"))


@pytest.fixture(autouse=True)
def tiny():
    with tiny_network.own_registry():
        yield tiny_network.registered()


def nothing(replicas: Replicas) -> None:
    pass


def store(part: slice = slice(None), dtype: torch.dtype = torch.float64) -> ImageStore:
    return ImageStore(IMAGES[part], MASKS[part], CPU, dtype)


def made(how: str, recipe=RECIPE, dtype: torch.dtype = torch.float64, **options) -> Replicas:
    """Seed 2: alone, by kernels, or as the last of three."""
    seeds = (5, 3, 2) if how == "stacked" else (2,)
    options |= {"engine": engine.installed()} if how == "kernels" else {}
    return Replicas("tiny", seeds, recipe, CPU, dtype, **options)


def copy_of(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


OPTIONS = [
    {},
    {"preprocess": tiny_network.scaled, "objective": tiny_network.by_draws},
    {"builder": tiny_network.Tied},
]


@pytest.mark.parametrize("options", OPTIONS, ids=["plain", "preprocessed", "tied"])
@pytest.mark.parametrize("images", [22, 21])  # five batches of four; then two images, or one that is left out
@pytest.mark.parametrize("how", ["alone", "stacked", KERNELS])
def test_a_whole_training_is_the_fields_loop(how, images, options):
    """Every number of the history and the best weights, in float64; the validation split takes two batches."""
    tiny_network.registered(**options)
    parts = slice(0, images), slice(3, 22)
    replicas = made(how)
    train(replicas, Data(store(parts[0]), store(parts[1]), None), nothing, Event())
    fields = ReferenceLoop("tiny", 2, RECIPE, CPU, torch.float64)
    history = fields.train(*(Pictures(IMAGES[part], MASKS[part], torch.float64) for part in parts))
    assert [row["epoch"] for row in replicas.progress[-1].history] == [1, 2, 3, 4]
    for row, found in zip(history, replicas.progress[-1].history, strict=True):
        assert row.train_loss == pytest.approx(found["train_loss"], rel=1e-6)  # the trainer's sum is float32
        assert vars(row) | {"train_loss": 0} == pytest.approx(found | {"train_loss": 0}, rel=1e-9)
    for name, weights in fields.best.items():
        np.testing.assert_allclose(
            weights.numpy(), replicas.best[replicas.stacked_as[name]][-1].numpy(), rtol=1e-7, err_msg=name
        )
    for name, weights in fields.module.state_dict().items():
        now = replicas.tensors()[replicas.stacked_as[name]].detach()[-1].numpy()
        np.testing.assert_allclose(weights.numpy(), now, rtol=1e-7, err_msg=name)
    assert replicas.progress[-1].best_epoch == 1 + int(np.argmin([row.validation_loss for row in history]))


@pytest.mark.parametrize("how", ["alone", "stacked", KERNELS])
def test_the_best_weights_are_a_copy_and_may_be_evaluated_beside_the_present_ones(how):
    """Also in one call after the other: layers must not go on with the weights of the call before."""
    replicas, images = made(how), store()
    before = copy_of(replicas.tensors())
    first, _ = evaluate(replicas, images, replicas.tensors())
    train_epoch(replicas, images, 1, Event())
    trained = copy_of(replicas.tensors())
    for name in ("1.weight", "0.running_mean"):
        assert not torch.equal(trained[name], before[name])
        assert torch.equal(replicas.best[name], before[name])
    seen = [evaluate(replicas, images, tensors)[0] for tensors in (replicas.best, replicas.tensors(), trained)]
    torch.testing.assert_close(seen[0], first, rtol=1e-12, atol=0)
    torch.testing.assert_close(seen[1], seen[2], rtol=1e-12, atol=0)
    assert (seen[0] - seen[1]).abs().max() > 1e-3
    again = copy_of(replicas.tensors())
    assert all(torch.equal(again[name], tensor) for name, tensor in trained.items()), "evaluation changes no statistics"


@pytest.mark.parametrize("how", ["alone", "stacked", KERNELS])
def test_one_image_is_a_batch_of_one_and_a_step_returns_the_loss_before_it(how):
    replicas = made(how)
    count = len(replicas)
    images, masks = (each.expand(count, *each.shape) for each in store().plain(4, 5))
    draws = torch.zeros(count, DRAWS)
    expected = replicas.losses(images, masks, draws)
    assert (expected.shape, expected.requires_grad) == ((count,), True)
    found = replicas.step(images, masks, draws)
    assert (found.shape, found.requires_grad) == ((count,), False)
    torch.testing.assert_close(found, expected.detach(), rtol=1e-12, atol=0)
    evaluated = replicas.logits(images[0], replicas.tensors())
    assert evaluated.shape == (count, 1, 1, SIZE, SIZE)
    for k, progress in enumerate(replicas.progress):
        module = initialised("tiny", SIZE, progress.seed).double()
        torch.testing.assert_close(bce_dice(module(images[0]), masks[0]), expected[k], rtol=1e-9, atol=0)


@pytest.fixture
def another_autocast_type():
    before = torch.get_autocast_dtype("cpu")
    torch.set_autocast_dtype("cpu", torch.float16)
    yield
    torch.set_autocast_dtype("cpu", before)


@pytest.mark.usefixtures("another_autocast_type")
@pytest.mark.parametrize("seeds", [(2,), (3, 2)])
def test_bf16_is_the_network_alone_under_autocast(seeds):
    """Its outputs are cast back, also those inside of lists; the loss of them is float32.

    The type does not follow from autocast's own, which on CUDA is float16; and nothing is kept from one call to the
    next, which a captured step would go on reading.
    """

    class Pair(nn.Sequential):
        def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
            under.append((torch.get_autocast_dtype("cpu"), torch.is_autocast_cache_enabled()))
            y = super().forward(x)
            return y, [y]

    seen, under = [], []

    def objective(forward, images, masks, draws):
        logits, (side,) = forward(images)
        seen.append((logits.dtype, side.dtype, torch.is_autocast_enabled("cpu")))
        return bce_dice(logits, masks) + bce_dice(side, masks)

    tiny_network.registered(builder=lambda: Pair(nn.Conv2d(3, 1, 1)), objective=objective)
    replicas = Replicas("tiny", seeds, RECIPE.changed(precision="bf16"), CPU)
    images, masks = store(dtype=torch.float32).plain(0, 4)
    draws = torch.zeros(len(seeds), DRAWS)
    losses = replicas.losses(images.expand(len(seeds), *images.shape), masks.expand(len(seeds), *masks.shape), draws)
    assert under == [(torch.bfloat16, False)]
    assert seen == [(torch.float32, torch.float32, False)]
    module = initialised("tiny", SIZE, 2)
    with torch.autocast("cpu", torch.bfloat16):
        logits = module(images)[0]
    assert losses[-1].item() == pytest.approx(2 * bce_dice(logits.float(), masks).item(), rel=1e-3)
    assert losses[-1].item() != pytest.approx(2 * bce_dice(module(images)[0], masks).item(), rel=1e-7)


@pytest.mark.parametrize("broken", [(True,), (True, False, True), (True, True)])
def test_training_ends_where_no_replica_is_left_and_only_there(broken):
    replicas = Replicas("tiny", tuple(range(1, 1 + len(broken))), RECIPE, CPU, torch.float64)
    with torch.no_grad():
        for k, each in enumerate(broken):
            if each:
                replicas.trained["1.bias"].view(len(broken), 1)[k] = torch.nan
    epochs = []
    train(replicas, Data(store(), store(), None), lambda group: epochs.append(group.epoch), Event())
    assert epochs == ([1] if all(broken) else [1, 2, 3, 4])
    assert [each.failed_at for each in replicas.progress] == [1 if each else None for each in broken]
    assert [each.best_epoch > 0 for each in replicas.progress] == [not each for each in broken]
    assert [each.images for each in replicas.progress] == [22 * len(epochs)] * len(broken)


def test_training_goes_on_after_the_last_epoch_done():
    replicas = Replicas("tiny", (1, 2), RECIPE, CPU, torch.float64)
    for progress in replicas.progress:
        progress.epoch = 2
    train(replicas, Data(store(), store(), None), nothing, Event())
    assert [row["epoch"] for row in replicas.progress[1].history] == [3, 4]
    assert [row["lr"] for row in replicas.progress[1].history] == [RECIPE.lr_at(3), RECIPE.lr_at(4)]


def test_nothing_is_changed_after_a_stop():
    replicas, stop = Replicas("tiny", (1,), RECIPE, CPU, torch.float64), Event()
    before = copy_of(replicas.tensors())
    stop.set()
    with pytest.raises(Interrupted):
        train(replicas, Data(store(), store(), None), nothing, stop)
    assert all(torch.equal(tensor, before[name]) for name, tensor in replicas.tensors().items())
    assert replicas.progress[0].history == []


def test_the_steps_of_an_epoch_are_each_replicas_own_draws():
    replicas = Replicas("tiny", (4, 9), RECIPE, CPU)
    steps = list(steps_of(replicas, 22, 3))
    assert [tuple(step.order.shape) for step in steps] == [(2, 4)] * 5 + [(2, 2)]
    for k, seed in enumerate((4, 9)):
        groups = draw_epoch(seed, 3, 22, 4, True)
        for name in loop.Drawn._fields:
            expected = [row for group in groups for row in getattr(group, name)]
            for step, row in zip(steps, expected, strict=True):
                np.testing.assert_array_equal(getattr(step, name)[k].numpy(), row)
    plain = list(steps_of(Replicas("tiny", (4,), RECIPE.changed(augment=False), CPU), 22, 3))
    assert not any(step.rot90_flip.any() or step.rotation.any() for step in plain)


@pytest.mark.parametrize("seeds", [(1,), (1, 2)])
def test_all_that_a_step_reads_is_on_its_device(seeds):
    """On the device without values, where a tensor of the host beside one of the device is an error."""
    images = ImageStore(IMAGES, MASKS, META, torch.float64)
    replicas = Replicas("tiny", seeds, RECIPE, META, torch.float64)
    replicas.optimizer.step = lambda: None  # AdamW's fused kernel has no version for this device
    losses = train_epoch(replicas, images, 1, Event())
    assert (losses.shape, losses.device) == ((len(seeds),), META)
    drawn = next(steps_of(replicas, len(images), 1))
    assert {each.device for each in (*drawn, *replicas.tensors().values(), *replicas.best.values())} == {META}
    assert {each.dtype for each in replicas.parameters.values()} == {torch.float64}
    assert replicas.capture is None


def never(step, inputs):
    raise AssertionError


def test_a_captured_step_reads_its_rate_from_a_tensor():
    replicas = Replicas("tiny", (1,), RECIPE, CPU, torch.float64, capture=never)
    assert isinstance(replicas.step_on(store()), cuda_graph.Captured)
    assert replicas.eager_because is None
    (group,) = replicas.optimizer.param_groups
    rate = group["lr"]
    assert (rate.item(), rate.dtype) == (RECIPE.lr, torch.float64)
    assert (group["capturable"], group["fused"]) == (True, True)
    replicas.set_rate(0.25)
    assert group["lr"] is rate
    assert rate.item() == 0.25
    plain = Replicas("tiny", (1,), RECIPE, CPU)
    assert not isinstance(plain.step_on(store()), cuda_graph.Captured)
    (group,) = plain.optimizer.param_groups
    assert (group["lr"], group["capturable"], group["fused"]) == (RECIPE.lr, False, True)
    plain.set_rate(0.25)
    assert group["lr"] == 0.25


def test_that_tensor_is_float32_on_the_device_of_the_step(monkeypatch):
    """CUDA's kernel takes nothing else; and no warning comes of the steps before the capture."""
    monkeypatch.setattr(torch.optim, "AdamW", lambda parameters, **options: SimpleNamespace(**options))
    made = Replicas("tiny", (1,), RECIPE, META, torch.float64, capture=never).optimizer
    assert (made.lr.device, made.lr.dtype, made.capturable) == (META, torch.float32, True)
    assert made._warned_capturable_if_run_uncaptured is True


def test_a_step_is_captured_on_cuda_and_nowhere_else(monkeypatch):
    """Without such a device: a module that stays where it is, and no optimizer."""

    class Anywhere(nn.Conv2d):
        def to(self, *where: object) -> "Anywhere":
            asked.append(where)
            return self

    asked: list[tuple] = []
    monkeypatch.setattr(Replicas, "_adamw", lambda self, dtype: None)
    tiny_network.registered(builder=lambda: Anywhere(3, 1, 1))
    cuda = torch.device("cuda")
    assert Replicas("tiny", (1,), RECIPE, cuda).capture is cuda_graph.cuda_graph
    assert Replicas("tiny", (1,), RECIPE, cuda, capture=nothing).capture is nothing
    assert Replicas("tiny", (1,), RECIPE, CPU).capture is None
    assert asked == [(cuda, torch.float32)] * 2 + [(CPU, torch.float32)]


@pytest.mark.parametrize(
    ("seeds", "precision", "how", "layer"),
    [
        ((1,), "fp32", "torch", "FoldedDepthwise"),
        ((1,), "bf16", "torch", "Conv2d"),
        ((1, 2), "fp32", "torch", "FoldedConv2d"),
        ((1, 2), "bf16", "torch", "FoldedConv2d"),
        pytest.param((1,), "fp32", "kernels", "KernelDepthwise", marks=KERNELS.marks),
    ],
)
def test_the_layers_are_those_that_are_fast_here(seeds, precision, how, layer):
    """They have the same results; the speed of each is in docs/performance.md."""
    tiny_network.registered(builder=lambda: nn.Sequential(nn.Conv2d(3, 3, 3, padding=1, groups=3)))
    options = {"engine": engine.installed()} if how == "kernels" else {}
    recipe = RECIPE.changed(precision=precision)
    replicas = Replicas("tiny", seeds, recipe, CPU, **options)
    assert type(replicas.module[0]).__name__ == layer
    assert replicas.module.training
    if how == "torch":
        assert type(Replicas("tiny", (1,), recipe, META).module[0]).__name__ == "Conv2d"


@pytest.mark.skipif(engine.installed() is None, reason="needs numba")
def test_kernels_are_refused_in_one_sentence():
    for seeds, device, precision, capture in (
        ((1, 2), CPU, "fp32", None),
        ((1,), META, "fp32", None),
        ((1,), CPU, "bf16", None),
        ((1,), CPU, "fp32", nothing),
    ):
        with pytest.raises(ValueError, match=r"^the CPU kernels train one replica in fp32 on a CPU, uncaptured$"):
            Replicas(
                "tiny",
                seeds,
                RECIPE.changed(precision=precision),
                device,
                capture=capture,
                engine=engine.installed(),
            )


@pytest.mark.skipif(engine.installed() is None, reason="needs numba")
def test_with_kernels_batches_loss_and_optimizer_are_theirs(monkeypatch):
    """Batches are the same to the last bit, so that only the call tells."""
    from benchmarks.training.kernels import batches, objectives, optimizer

    calls = []
    real = batches.augmented

    def noted(*arguments):
        calls.append(arguments)
        return real(*arguments)

    monkeypatch.setattr(batches, "augmented", noted)
    images, draws = store(), [torch.tensor([[3, 1]]), torch.tensor([[2, 0]]), torch.tensor([[0, 5]])]
    replicas = made("kernels")
    found = replicas.batch(images, *draws)
    assert [each[0] for each in calls] == [images]
    assert all(one is other for one, other in zip(calls[0][1:], draws, strict=True))
    for one, other in zip(found, images.augmented(*draws), strict=True):
        assert torch.equal(one, other)
    made("alone").batch(images, *draws)
    assert len(calls) == 1
    assert isinstance(replicas.optimizer, optimizer.AdamW)
    assert replicas.objective is objectives.by_kernels(replicas.entry.objective)
    (group,) = replicas.optimizer.param_groups
    assert (group["lr"], group["betas"], group["eps"], group["weight_decay"]) == (0.03, (0.9, 0.999), 1e-8, 0.05)


def test_only_the_replicas_that_improved_are_kept():
    replicas = Replicas("tiny", (1, 2, 3), RECIPE, CPU, torch.float64)
    before = copy_of(replicas.best)
    train_epoch(replicas, store(), 1, Event())
    replicas.keep_best([False, False, False])
    assert all(torch.equal(tensor, before[name]) for name, tensor in replicas.best.items())
    replicas.keep_best([True, False, True])
    for name, tensor in replicas.tensors().items():
        for k in range(3):
            assert torch.equal(replicas.best[name][k], before[name][k] if k == 1 else tensor[k]), (name, k)


def test_the_best_are_kept_on_their_device():
    replicas = Replicas("tiny", (1, 2), RECIPE, META)
    replicas.keep_best([False, True])
    assert {each.device for each in replicas.best.values()} == {META}


def test_time_is_that_of_training_and_validation(monkeypatch):
    """A clock that only training and validation move."""
    now = [100.0]

    def takes(function, seconds):
        def timed(*arguments, **options):
            now[0] += seconds
            return function(*arguments, **options)

        return timed

    monkeypatch.setattr(loop, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    monkeypatch.setattr(loop, "train_epoch", takes(loop.train_epoch, 4.0))
    monkeypatch.setattr(loop, "evaluate", takes(loop.evaluate, 0.5))
    replicas = Replicas("tiny", (1, 2), RECIPE, CPU, torch.float64)

    def slow(group: Replicas) -> None:
        now[0] += 1000

    train(replicas, Data(store(), store(), None), slow, Event())
    assert [(each.seconds, each.images) for each in replicas.progress] == [(18.0, 88)] * 2
