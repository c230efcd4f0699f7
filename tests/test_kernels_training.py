"""The kernels around a network: loss, batches, AdamW; and where compiled kernels are kept."""

import copy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks.objectives.losses import bce_dice
from benchmarks.training.batches import ImageStore
from tests.test_kernels import distance, generator, random

pytest.importorskip("numba")

from benchmarks.training.kernels import batches, loss, optimizer
from benchmarks.training.kernels.elementary import exp, log
from benchmarks.training.kernels.jit import kernel

ROOT = Path(__file__).parents[1]


def loss_and_gradient(function, logits: Tensor, masks: Tensor) -> tuple[float, Tensor]:
    logits = logits.clone().requires_grad_()
    value = function(logits, masks)
    (value * 3).backward()
    return value.item(), logits.grad


def masks_of(logits: Tensor, soft: bool) -> Tensor:
    masks = torch.rand(logits.shape, generator=generator(3), dtype=logits.dtype)
    return masks if soft else (masks > 0.5).to(logits.dtype)


@pytest.mark.parametrize("soft", [True, False])
@pytest.mark.parametrize("spread", [1, 30, 1000], ids=lambda spread: f"spread {spread}")
@pytest.mark.parametrize("shape", [(3, 1, 9, 7), (1, 1, 1, 1), (2, 1, 70, 67)], ids=str)
def test_loss_is_torchs(shape, spread, soft):
    logits = spread * random(shape)
    masks = masks_of(logits, soft)
    value, gradient = loss_and_gradient(loss.bce_dice, logits, masks)
    expected, expected_gradient = loss_and_gradient(bce_dice, logits, masks)
    assert value == pytest.approx(expected, rel=1e-12)
    # Between 1e-13 and 1e-16 from 1, a sigmoid that is rounded otherwise in its last digit has another slope.
    assert distance(gradient, expected_gradient) <= (1e-12 if spread == 1 else 1e-8)


@pytest.mark.parametrize("spread", [3, 60])
def test_loss_in_float32_saturates_where_torchs_does(spread):
    logits = (spread * random((2, 1, 40, 40))).float()
    masks = masks_of(logits, True)
    value, gradient = loss_and_gradient(loss.bce_dice, logits, masks)
    expected, expected_gradient = loss_and_gradient(bce_dice, logits, masks)
    assert value == pytest.approx(expected, rel=1e-6)
    torch.testing.assert_close(gradient, expected_gradient, rtol=2e-3, atol=1e-8)  # 1 - p has few digits near 1
    assert torch.equal(gradient == 0, expected_gradient == 0)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_logit_that_is_not_finite_shows_in_the_loss(dtype, value):
    logits = random((2, 1, 5, 5)).to(dtype)
    logits[1, 0, 2, 3] = value
    masks = masks_of(logits, True)
    ours, theirs = loss_and_gradient(loss.bce_dice, logits, masks), loss_and_gradient(bce_dice, logits, masks)
    assert ours[0] == pytest.approx(theirs[0], rel=1e-5, nan_ok=True)
    torch.testing.assert_close(ours[1], theirs[1], equal_nan=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(6,), (2, 3)], ids=str)
def test_batches_are_the_stores_bit_for_bit(shape, dtype):
    draw = np.random.default_rng(0)
    images, masks = draw.integers(0, 256, (5, 32, 32, 3), np.uint8), draw.integers(0, 256, (5, 32, 32), np.uint8)
    images[2] = 7  # one colour: no range to scale
    store = ImageStore(images, masks, torch.device("cpu"), dtype)
    for _ in range(5):
        draws = [torch.from_numpy(draw.integers(0, end, shape)) for end in (5, 9, 61)]
        found, expected = batches.augmented(store, *draws), store.augmented(*draws)
        for one, other in zip(found, expected, strict=True):
            assert one.dtype == dtype
            assert torch.equal(one, other)


def parameters() -> list[nn.Parameter]:
    return [nn.Parameter(random(shape, k).float()) for k, shape in enumerate([(3, 4), (5,), (2, 1, 3, 3)])]


def stepped(make, ours: list[nn.Parameter], state: dict | None = None) -> dict:
    made = make(ours, lr=1e-2, betas=(0.8, 0.99), eps=1e-7, weight_decay=0.1)
    if state is not None:
        made.load_state_dict(state)
    for step in range(4):
        made.param_groups[0]["lr"] = 1e-2 / (step + 1)
        for k, each in enumerate(ours):
            each.grad = None if k == step else random(tuple(each.shape), 10 * step + k).float()
        made.step()
    return copy.deepcopy(made.state_dict())


def test_adamw_has_the_bits_and_the_state_of_torchs():
    """Also where a parameter has no gradient, and from a state that the other one saved."""

    def fused(*arguments, **options):
        return torch.optim.AdamW(*arguments, fused=True, **options)

    ours, theirs = parameters(), parameters()
    state, expected = stepped(optimizer.AdamW, ours), stepped(fused, theirs)
    for _ in range(2):
        assert all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))
        assert state["state"].keys() == expected["state"].keys()
        for k, each in expected["state"].items():
            assert state["state"][k].keys() == each.keys() == {"step", "exp_avg", "exp_avg_sq"}
            assert all(torch.equal(state["state"][k][name], value) for name, value in each.items())
        state, expected = stepped(optimizer.AdamW, ours, expected), stepped(fused, theirs, state)


@kernel
def _exps(x, to):
    for p in range(x.size):
        to[p] = exp(x[p])


@kernel
def _logs(x, to):
    for p in range(x.size):
        to[p] = log(x[p])


@pytest.mark.parametrize(
    ("ours", "theirs", "x"),
    [
        (_exps, np.exp, np.concatenate([np.linspace(-106, 90, 100_001), [np.nan, np.inf, -np.inf, 0.0, 88.72]])),
        (_logs, np.log, np.concatenate([np.exp(np.linspace(-103, 88, 100_001)), [np.nan, np.inf, 0.0, 1.0, 0.99]])),
    ],
    ids=["exp", "log"],
)
def test_functions_on_vectors_are_within_two_units_in_the_last_place(ours, theirs, x):
    x = x.astype(np.float32)
    found = np.empty_like(x)
    ours(x, found)
    with np.errstate(all="ignore"):
        exact = theirs(x.astype(np.float64))
        rounded = exact.astype(np.float32)
        finite = np.isfinite(rounded)
        np.testing.assert_array_equal(found[~finite], rounded[~finite])
        assert (np.abs(found - exact)[finite] <= 2 * np.spacing(np.maximum(np.abs(rounded[finite]), 1e-7))).all()


def test_the_package_imports_without_numba():
    code = "import sys; sys.modules['numba'] = None\nfrom benchmarks.training import kernels\nprint(kernels.version())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "None\n"
