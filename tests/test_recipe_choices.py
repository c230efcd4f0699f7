"""What a recipe may choose beyond the paper: losses, schedules, colour, patience, averages; networks of one size."""

from dataclasses import asdict
from threading import Event

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.networks import registry
from benchmarks.networks.resampling import resampled
from benchmarks.objectives import chosen, losses
from benchmarks.protocol.recipe import RECIPES, WORDS, Recipe
from benchmarks.runner import save_run
from benchmarks.training import checkpoint, engine
from benchmarks.training.batches import ImageStore, coloured, draw_epoch
from benchmarks.training.data import Data
from benchmarks.training.engine import TORCH
from benchmarks.training.loop import Interrupted, steps_of, train
from benchmarks.training.replicas import Replicas
from results.cell import Cell
from results.errors import RequestError
from tests import tiny_network
from tests.tiny_network import RECIPE

CPU = torch.device("cpu")
CHOICES = {"patience": 2, "ema": 0.5, "augmentation": "colour_flips", "schedule": "poly", "warm_up": 1, "epochs": 8}


@pytest.fixture(autouse=True)
def tiny():
    with tiny_network.own_registry():
        yield tiny_network.registered()


@pytest.fixture(scope="module")
def data():
    parts = (tiny_network.pictures(count) for count in (13, 5, 4))
    return Data(*(ImageStore(*part, CPU, ids=[str(k) for k in range(len(part[0]))]) for part in parts))


def trained(seeds, recipe, data, after=lambda replicas: None):
    replicas = Replicas("tiny", seeds, recipe, CPU)
    train(replicas, data, after, Event())
    return replicas


@pytest.mark.parametrize(
    ("settings", "rates"),
    [
        ({}, [1.0, 0.5, 0.0, 0.5]),
        ({"schedule": "cosine_once"}, [1.0, 0.75, 0.25, 0.0]),
        ({"schedule": "poly"}, [1.0, 0.75**0.9, 0.5**0.9, 0.25**0.9]),
        ({"schedule": "step"}, [1.0, 1.0, 0.1, 0.1]),
        ({"schedule": "constant"}, [1.0] * 4),
        ({"schedule": "cosine_once", "warm_up": 2}, [1 / 3, 2 / 3, 1.0, 0.0]),
    ],
)
def test_schedules_in_closed_form(settings, rates):
    recipe = Recipe(lr=1.0, eta_min=0.0, t_max=2, epochs=4).changed(**settings)
    assert [recipe.lr_at(epoch) for epoch in range(1, 5)] == pytest.approx(rates, abs=1e-12)


def test_what_does_not_go_together_is_refused():
    with pytest.raises(RequestError, match="warm_up is 4, and there are 4 epochs"):
        Recipe(epochs=4, warm_up=4)
    with pytest.raises(RequestError, match='augmentation is "colour_flips" while augment is false'):
        Recipe(augmentation="colour_flips", augment=False)
    with pytest.raises(RequestError, match=r'loss is .*; give "bce_dice" or "dice" or "focal"'):
        Recipe(loss="dise")


def test_a_recipe_may_name_each_loss_there_is():
    assert WORDS["loss"] == (chosen.OWN, *chosen.LOSSES)


@pytest.mark.parametrize("name", chosen.LOSSES)
def test_each_loss_prefers_the_truth_and_is_the_same_side_by_side(name, data):
    loss, masks = chosen.loss(name), (torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(1)) > 0.5).float()
    right = loss(8 * masks - 4, masks)
    assert right.ndim == 0
    assert right < loss(4 - 8 * masks, masks)
    recipe = RECIPE.changed(loss=name, epochs=1)
    both, one = trained((1, 2), recipe, data), trained((2,), recipe, data)
    assert both.progress[1].history[0]["train_loss"] == pytest.approx(
        one.progress[0].history[0]["train_loss"], rel=1e-4
    )


def test_the_lovasz_hinge_is_the_librarys():
    from segmentation_models_pytorch.losses import LovaszLoss

    draw = torch.Generator().manual_seed(1)
    logits, masks = torch.randn(2, 1, 8, 8, generator=draw), (torch.rand(2, 1, 8, 8, generator=draw) > 0.6).float()
    theirs = LovaszLoss("binary", per_image=False)(logits, masks)
    assert chosen.loss("lovasz")(logits, masks).item() == pytest.approx(theirs.item(), rel=1e-5)


def test_a_chosen_loss_takes_its_place_in_deep_supervision_and_nowhere_else():
    masks, dice = torch.ones(2, 1, 4, 4), chosen.loss("dice")
    outputs = torch.zeros(2, 1, 4, 4), [torch.ones(2, 1, 4, 4)] * 2
    found = chosen.objective(losses.deep_supervision, "dice")(lambda _: outputs, masks, masks, masks)
    assert found == pytest.approx((dice(outputs[0], masks) + 0.3 * dice(outputs[1][0], masks)).item())
    assert chosen.objective(losses.boundary_supervision, "bce_dice") is losses.boundary_supervision
    with pytest.raises(RequestError, match="no place for another loss; train it under a recipe without loss = dice"):
        chosen.objective(losses.boundary_supervision, "dice")


def test_colours_and_flips_are_drawn_by_seed_and_epoch_and_leave_order_alone():
    mine, again = (draw_epoch(1, 2, 400, 8, True, "colour_flips")[0] for _ in range(2))
    papers = draw_epoch(1, 2, 400, 8, True)[0]
    assert np.array_equal(mine.colour, again.colour)
    assert np.array_equal(mine.order, papers.order)
    assert set(np.unique(mine.rot90_flip)) == {0, 1, 2}
    assert not mine.rotation.any()
    assert papers.colour.size == 0
    assert mine.colour.min() >= np.float32(0.8)
    assert mine.colour.max() <= 1.2
    assert mine.colour.shape == (50, 8, 3)
    images = 255 * torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(coloured(images, torch.ones(2, 3)), images)
    assert torch.allclose(coloured(images, torch.tensor([0.5, 1, 1]).expand(2, 3)), images / 2)


@pytest.mark.parametrize("computing", [TORCH, engine.installed()])
def test_batches_are_coloured_by_either_engine(computing, data):
    if computing is None:
        pytest.skip("needs numba")
    recipe = RECIPE.changed(augmentation="colour_flips")
    replicas = Replicas("tiny", (1,), recipe, CPU, engine=computing)
    order, flip, rotation, _, colour = next(steps_of(replicas, len(data.train), 1))
    plain, masks = data.train.augmented(order, flip, rotation)
    images, same = replicas.batch(data.train, order, flip, rotation, colour)
    assert torch.equal(images, coloured(plain, colour))
    assert torch.equal(masks, same)
    assert not torch.allclose(images, plain)


def test_a_seed_stops_by_itself_whoever_trains_beside_it(data):
    recipe = RECIPE.changed(patience=1, lr=0.5, epochs=12, ema=0.3)
    both = trained((1, 2, 3), recipe, data)
    lengths = [len(each.own_history) for each in both.progress]
    assert min(lengths) < max(lengths), "the seeds must stop apart for this test to say something"
    for k, seed in enumerate((1, 2, 3)):
        alone = trained((seed,), recipe, data)
        assert len(alone.progress[0].history) == lengths[k]
        assert alone.progress[0].best_epoch == both.progress[k].best_epoch
        for name, tensor in alone.best.items():
            assert torch.allclose(tensor[0], both.best[name][k], rtol=1e-4, atol=1e-5), name


@pytest.mark.parametrize("seeds", [(1,), (1, 2)])
def test_a_resumed_run_with_all_of_it_is_the_uninterrupted_one_bit_for_bit(seeds, data, tmp_path):
    recipe = RECIPE.changed(**CHOICES)
    whole = trained(seeds, recipe, data)
    cells = [Cell("synthetic", recipe.name, "tiny", seed) for seed in seeds]
    paths, names = (
        [checkpoint.path_of(each, tmp_path) for each in cells],
        [checkpoint.identity(c, "f") for c in cells],
    )

    def pause(replicas):
        if replicas.epoch == 2:
            for path in paths:
                path.parent.mkdir(parents=True)
            checkpoint.save(replicas, paths, names)
            raise Interrupted

    with pytest.raises(Interrupted):
        trained(seeds, recipe, data, pause)
    resumed = Replicas("tiny", seeds, recipe, CPU)
    assert checkpoint.restore(resumed, paths, names) == []
    train(resumed, data, lambda replicas: None, Event())
    assert [each.own_history for each in resumed.progress] == [each.own_history for each in whole.progress]
    for kind in ("averages", "best", "parameters"):
        for name, tensor in getattr(whole, kind).items():
            assert torch.equal(tensor, getattr(resumed, kind)[name]), (kind, name)


def test_averages_follow_the_weights_and_are_what_is_kept(data):
    replicas = trained((1,), RECIPE.changed(ema=0.75, epochs=1, batch=16), data)
    initial = Replicas("tiny", (1,), RECIPE, CPU).parameters
    for name, average in replicas.averages.items():
        now = replicas.parameters[name].detach()
        assert torch.allclose(average, 0.75 * initial[name].detach() + 0.25 * now, atol=1e-6), name
        assert torch.equal(replicas.best[name], average)
    assert torch.equal(replicas.best["0.running_mean"], replicas.buffers["0.running_mean"])


def test_settings_that_an_older_run_did_not_record_are_the_defaults():
    now = asdict(RECIPES["quick"])
    older = {name: value for name, value in now.items() if name not in ("loss", "ema", "patience", "warm_up")}
    assert save_run._all_settings(older) == now
    assert save_run._all_settings(older) != now | {"ema": 0.5}
    assert save_run._all_settings(older | {"lr": 1.0}) != now


class Demanding(nn.Module):
    """Takes 12 x 12 pixels and nothing else."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 1, 1)

    def forward(self, x):
        assert x.shape[-2:] == (12, 12), x.shape
        return self.conv(x)


@pytest.mark.parametrize("seeds", [(1,), (1, 2)])
def test_a_network_of_one_size_trains_among_others(seeds, data):
    entry = tiny_network.registered("fixed", builder=Demanding, fixed_size=12)
    assert entry.sizes == "any, resampled to 12 px"
    assert "Works at 12 px" in entry.deviations[-1]
    replicas = Replicas("fixed", seeds, RECIPE.changed(epochs=1), CPU)
    train(replicas, data, lambda each: None, Event())
    assert replicas.logits(torch.zeros(2, 3, 8, 8), replicas.best).shape == (len(seeds), 2, 1, 8, 8)
    assert registry.build("fixed").state_dict().keys() == Demanding().state_dict().keys()


@pytest.mark.parametrize("side", [5, 8, 16])
def test_resampling_is_torchs_antialiased_bilinear(side):
    x = torch.rand(2, 3, 9, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(resampled(x, side), F.interpolate(x, (side, side), mode="bilinear", antialias=True))


def test_a_network_of_one_size_is_counted_at_it():
    from benchmarks.measuring import complexity

    tiny_network.registered("fixed", builder=Demanding, fixed_size=12)
    (row,) = complexity.table(["fixed"]).to_dict("records")
    assert row["input"] == "1x3x12x12"
    assert row["flops"] == 12 * 12 * 2 * 3, "the resampling is not the network's"
