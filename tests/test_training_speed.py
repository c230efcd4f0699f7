"""That the comparison runs and adds up. Nothing here expects any speed."""

import json
import math
from pathlib import Path

import pytest
import torch

from benchmarks import datasets
from benchmarks.datasets import PreparedSet
from benchmarks.measuring import training_speed
from benchmarks.measuring.sides import pictures
from benchmarks.protocol.recipe import RECIPES
from benchmarks.training import engine

CPU = torch.device("cpu")
RECIPE = RECIPES["quick"].changed(size=32, batch=4)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> PreparedSet:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LESION_BENCHMARKS_CACHE", str(tmp_path_factory.mktemp("cache")))
        return datasets.load("synthetic", RECIPE.size)


def test_both_sides_are_measured(prepared):
    threads = torch.get_num_threads()
    measured = training_speed.measure("aulunet_v3", prepared, RECIPE, (1, 2), steps=2, rounds=3, device=CPU)
    spreads = (
        measured.trainer,
        measured.alone,
        measured.reference,
        measured.ratio,
        measured.side_by_side,
        measured.step,
    )
    for spread in spreads:
        assert 0 < spread.low <= spread.median <= spread.high < math.inf
        assert spread.n == 3
    assert list(measured.shares) == ["data", "forward", "backward", "optimizer"]
    assert all(share > 0 for share in measured.shares.values())
    assert sum(measured.shares.values()) == pytest.approx(1)
    assert measured.loss_difference < 1e-3
    assert torch.get_num_threads() == threads
    assert 0 < measured.traffic.floor < measured.traffic.eager
    assert measured.bandwidth > 0
    shown = training_speed.render(measured)
    assert measured.kernels is None
    assert ", cpu: torch\n" in shown
    assert "2 seeds, 2 steps each per round; median (quartiles) of 3 rounds" in shown
    assert f"{measured.ratio.median:.2f} (" in shown


@pytest.mark.skipif(engine.installed() is None, reason="needs numba")
def test_kernels_are_held_against_torch(prepared):
    measured = training_speed.measure("aulunet_v3", prepared, RECIPE, (1,), 2, 3, CPU, engine.installed())
    for spread in (measured.kernels.torch, measured.kernels.step, measured.kernels.evaluation):
        assert 0 < spread.low <= spread.median <= spread.high < math.inf
        assert spread.n == 3
    assert measured.loss_difference < 1e-3
    shown = training_speed.render(measured)
    assert f"CPU kernels (numba {engine.installed().numba}" in shown
    assert f"{measured.kernels.step.median:.2f} (" in shown
    assert "of kernels to torch" in shown


def test_a_round_has_the_steps_asked_for_however_small_the_split(prepared):
    images, masks = pictures(prepared, RECIPE, 20)  # 80 images of a split of 64
    assert images.shape == (80, 32, 32, 3)
    assert masks.shape == (80, 32, 32)
    assert (images[64:] == images[:16]).all()


def test_a_trace_marks_the_phases(prepared, tmp_path: Path):
    path = tmp_path / "traces" / "step.json"
    training_speed.write_trace("aulunet_v3", prepared, RECIPE, (1,), CPU, path)
    names = {event.get("name") for event in json.loads(path.read_text())["traceEvents"]}
    assert {"data", "forward", "backward", "optimizer"} <= names
