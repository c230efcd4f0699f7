"""The trainer: independence of seeds, resuming, failing replicas, and the recipe against PyTorch's own pieces."""

from threading import Event, Thread

import numpy as np
import pytest
import torch
from torch.func import functional_call, stack_module_state, vmap

from baselines.drop_path import DropPath
from benchmarks.networks import registry
from benchmarks.objectives.losses import DRAWS
from benchmarks.protocol.recipe import RECIPES, Recipe
from benchmarks.training import checkpoint
from benchmarks.training.batches import ImageStore
from benchmarks.training.data import Data
from benchmarks.training.loop import Interrupted, train, train_epoch
from benchmarks.training.replicas import Replicas, initialised, scored_network
from results.errors import RequestError

CPU = torch.device("cpu")
RECIPE = RECIPES["paper"].changed(size=64, epochs=4)
IDENTITY = {"network": "aulunet_v3", "seed": "1"}


def discs_on_noise(dtype: torch.dtype = torch.float32) -> Data:
    """Bright discs to find; 22 of them to train on are two full batches of eight and a rest of six."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:64, :64]
    centres = rng.integers(16, 48, (26, 2))
    discs = np.stack([(x - cx) ** 2 + (y - cy) ** 2 < 160 for cx, cy in centres])
    images = rng.integers(0, 90, (26, 64, 64, 3)) + 120 * discs[..., None]
    pixels, masks = images.astype(np.uint8), (255 * discs).astype(np.uint8)
    parts = (slice(0, 22), slice(20, 24), slice(22, 26))
    return Data(*(ImageStore(pixels[part], masks[part], CPU, dtype) for part in parts))


@pytest.fixture(scope="module")
def data() -> Data:
    return discs_on_noise()


def trained(
    seeds: tuple[int, ...], data: Data, recipe: Recipe = RECIPE, dtype: torch.dtype = torch.float32
) -> Replicas:
    replicas = Replicas("aulunet_v3", seeds, recipe, CPU, dtype=dtype)
    train(replicas, data, lambda replicas: None, Event())
    return replicas


def same(one: Replicas, other: Replicas) -> bool:
    return all(torch.equal(tensor, other.tensors()[key]) for key, tensor in one.tensors().items()) and all(
        torch.equal(tensor, other.best[key]) for key, tensor in one.best.items()
    )


def test_training_finds_the_discs(data):
    replicas = trained((1,), data, RECIPE.changed(epochs=20, lr=1e-2))
    losses = [row["train_loss"] for row in replicas.progress[0].history]
    assert min(losses) < 0.6 * losses[0]
    assert replicas.progress[0].history[replicas.progress[0].best_epoch - 1]["validation_dsc"] > 0.6


def test_seed_trained_alone_equals_seed_trained_beside_others():
    """Twenty steps in float64, where only the order of rounding differs: every weight to 1e-7 of its own change."""
    data, recipe = discs_on_noise(torch.float64), RECIPE.changed(epochs=7)  # three steps an epoch
    alone = trained((2,), data, recipe, torch.float64)
    beside = trained((1, 2, 3), data, recipe, torch.float64)
    start = Replicas("aulunet_v3", (2,), recipe, CPU, dtype=torch.float64)
    for key, weights in alone.parameters.items():
        moved = (weights - start.parameters[key]).abs().max().item()
        assert (weights[0] - beside.parameters[key][1]).abs().max().item() < 1e-7 * moved, key
    rows = zip(alone.progress[0].history, beside.progress[1].history, strict=True)
    assert all(a["validation_loss"] == pytest.approx(b["validation_loss"], rel=1e-9) for a, b in rows)


def test_float32_weights_stay_close_after_twenty_steps(data):
    """The stated tolerance of the stacked path in float32: losses to 1 % after 21 steps of AdamW at three times the
    recipe's rate, which turns the rounding of gradients near zero into whole steps."""
    recipe = RECIPE.changed(epochs=7)
    alone, beside = trained((2,), data, recipe), trained((1, 2), data, recipe)
    for a, b in zip(alone.progress[0].history, beside.progress[1].history, strict=True):
        assert a["train_loss"] == pytest.approx(b["train_loss"], rel=1e-2)


def test_resumed_training_is_bit_identical(data, tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    stop = Event()

    def pause_after_two(replicas: Replicas) -> None:
        if replicas.epoch == 2:
            checkpoint.save(replicas, [path], [IDENTITY])
            stop.set()

    with pytest.raises(Interrupted):
        train(Replicas("aulunet_v3", (1,), RECIPE, CPU), data, pause_after_two, stop)
    assert checkpoint.epochs_done(path, IDENTITY) == 2
    resumed = Replicas("aulunet_v3", (1,), RECIPE, CPU)
    checkpoint.restore(resumed, [path], [IDENTITY])
    train(resumed, data, lambda replicas: None, Event())
    unbroken = trained((1,), data)
    assert same(resumed, unbroken)
    assert [row["train_loss"] for row in resumed.progress[0].history] == [
        row["train_loss"] for row in unbroken.progress[0].history
    ]


def test_stacked_replicas_resume_from_their_own_files(data, tmp_path):
    paths = [tmp_path / "1.safetensors", tmp_path / "2.safetensors"]
    identities = [IDENTITY, IDENTITY | {"seed": "2"}]
    first = Replicas("scr_net", (1, 2), RECIPE.changed(epochs=1), CPU)  # has parameters without moments
    train(first, data, lambda replicas: None, Event())
    checkpoint.save(first, paths, identities)
    second = Replicas("scr_net", (1, 2), RECIPE, CPU)
    assert checkpoint.restore(second, paths, identities) == []
    assert second.epoch == 1
    losses = [train_epoch(each, data.train, 2, Event()).tolist() for each in (first, second)]
    assert losses[0] == losses[1]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:1000]), "not a checkpoint of this version"),
        (lambda path: path.write_text("no"), "not a checkpoint of this version"),
    ],
)
def test_a_damaged_checkpoint_is_named(data, tmp_path, damage, message):
    path = tmp_path / "checkpoint.safetensors"
    checkpoint.save(Replicas("aulunet_v3", (1,), RECIPE, CPU), [path], [IDENTITY])
    damage(path)
    with pytest.raises(RequestError, match=message) as caught:
        checkpoint.epochs_done(path, IDENTITY)
    assert str(path) in str(caught.value)


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    checkpoint.save(Replicas("aulunet_v3", (1,), RECIPE, CPU), [path], [IDENTITY])
    with pytest.raises(RequestError, match="seed '1'"):
        checkpoint.epochs_done(path, IDENTITY | {"seed": "2"})


def test_a_replica_with_infinite_loss_is_marked_and_the_others_go_on(data):
    replicas = Replicas("aulunet_v3", (1, 2), RECIPE, CPU)
    with torch.no_grad():
        replicas.parameters["head.weight"][0] = torch.nan
    train(replicas, data, lambda replicas: None, Event())
    assert [each.failed_at for each in replicas.progress] == [1, None]
    assert replicas.progress[1].epoch == RECIPE.epochs
    assert np.isfinite(replicas.progress[1].best_loss)


def test_training_stops_when_no_replica_is_left(data):
    replicas = Replicas("aulunet_v3", (1,), RECIPE, CPU)
    with torch.no_grad():
        replicas.parameters["head.weight"][0] = torch.nan
    train(replicas, data, lambda replicas: None, Event())
    assert replicas.epoch == replicas.progress[0].failed_at == 1


def test_best_weights_are_those_of_the_lowest_validation_loss(data):
    kept = {}

    def keep(replicas: Replicas) -> None:
        kept[replicas.epoch] = {key: tensor.detach().clone() for key, tensor in replicas.tensors().items()}

    replicas = Replicas("aulunet_v3", (1,), RECIPE.changed(epochs=8, lr=0.05), CPU)
    train(replicas, data, keep, Event())
    losses = [row["validation_loss"] for row in replicas.progress[0].history]
    best = 1 + int(np.argmin(losses))
    assert replicas.progress[0].best_epoch == best
    assert all(torch.equal(tensor, kept[best][key]) for key, tensor in replicas.best.items())


def test_learning_rate_is_the_oscillating_cosine_of_pytorch():
    recipe = Recipe()
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=recipe.lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, recipe.t_max, recipe.eta_min)
    for epoch in range(1, recipe.epochs + 1):
        assert recipe.lr_at(epoch) == pytest.approx(schedule.get_last_lr()[0], rel=1e-6), epoch
        optimizer.step()
        schedule.step()
    assert recipe.lr_at(400) == pytest.approx(9.99e-4, rel=1e-3)


def test_initial_weights_follow_from_the_seed_alone():
    one = Replicas("aulunet_v3", (7,), RECIPE, CPU)
    torch.rand(5)
    beside = Replicas("aulunet_v3", (1, 7), RECIPE, CPU)
    assert all(torch.equal(tensor[0], beside.parameters[key][1]) for key, tensor in one.parameters.items())
    assert not torch.equal(beside.parameters["head.weight"][0], beside.parameters["head.weight"][1])


def test_initial_weights_do_not_depend_on_what_other_threads_build():
    """One worker may write its results, which builds a network, while another starts a seed."""
    expected = initialised("aulunet_v3", 64, 3).state_dict()
    stop = Event()

    def build() -> None:
        while not stop.is_set():
            scored_network("aulunet_v3")

    other = Thread(target=build)
    other.start()
    try:
        for _ in range(20):
            again = initialised("aulunet_v3", 64, 3).state_dict()
            assert all(torch.equal(tensor, again[key]) for key, tensor in expected.items())
    finally:
        stop.set()
        other.join()


@pytest.mark.parametrize("seeds", [(1,), (1, 2)])
def test_bf16_is_a_recipe_of_its_own(seeds):
    """The network in bfloat16: close to float32 and not equal to it; weights, moments and logits stay float32."""
    images, masks = (each.expand(len(seeds), *each.shape) for each in discs_on_noise().train.plain(0, 8))
    draws, losses = torch.full((len(seeds), DRAWS), 0.5), {}
    for name in ("paper", "paper-bf16"):
        replicas = Replicas("aulunet_v3", seeds, RECIPES[name].changed(size=64), CPU)
        losses[name] = torch.stack([replicas.step(images, masks, draws) for _ in range(3)])
        assert replicas.logits(images[0], replicas.tensors()).dtype == torch.float32
        moments = [value for state in replicas.optimizer.state.values() for value in state.values()]
        assert {each.dtype for each in (*replicas.parameters.values(), *moments)} == {torch.float32}
    torch.testing.assert_close(losses["paper-bf16"], losses["paper"], rtol=2e-2, atol=0)
    assert (losses["paper-bf16"] - losses["paper"]).abs().min() > 1e-6
    assert RECIPES["paper-bf16"].name == "paper-bf16"
    with pytest.raises(RequestError, match=r"^--set precision is 'fp16'; give "):
        Recipe(precision="fp16")


def test_recipe_names_tell_what_was_changed():
    assert Recipe().name == "paper"
    assert Recipe().changed(size=128, epochs=30).name == "paper+epochs=30,size=128"
    assert Recipe().changed(epochs=400).name == "paper"
    with pytest.raises(RequestError, match="--epochs is 0"):
        Recipe().changed(epochs=0)
    with pytest.raises(RequestError, match="--split"):
        Recipe().changed(split="random")


def test_drop_path_draws_the_same_alone_and_stacked():
    """The stream of a replica, over several steps, with and without company."""
    modules = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        modules.append(DropPath(0.4).train())
    _, buffers = stack_module_state(modules)
    branch = torch.ones(2, 50, 3)
    stacked = [vmap(lambda b, x: functional_call(modules[0], b, (x,)))(buffers, branch) for _ in range(40)]
    alone = [torch.stack([module(branch[0]) for module in modules]) for _ in range(40)]
    assert torch.equal(torch.stack(stacked), torch.stack(alone))
    kept = (torch.stack(alone) > 0).float().mean(dim=(0, 2, 3))
    assert kept.tolist() == pytest.approx([0.6, 0.6], abs=0.03)
    assert not torch.equal(alone[0][0], alone[0][1])


def test_registry_refuses_unknown_names():
    with pytest.raises(RequestError, match="list networks"):
        registry.entry("aulunet_v9")
