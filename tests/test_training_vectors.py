"""Ten optimizer steps of the authors' own code with their own losses: our trainer takes the same ones.

Each run goes through `Replicas.step`, in float64, alone with torch and with the
CPU kernels, and as the second of two stacked replicas.
"""

import numpy as np
import pytest
import torch

from baselines import malunet, ulvm_unet
from benchmarks.protocol.recipe import RECIPES
from benchmarks.training import engine
from benchmarks.training.engine import TORCH, Engine
from tests import training_vectors
from tests.training_vectors import Vector


def worst(ours: dict[str, float], recorded: list) -> float:
    """Largest difference of norms, absolute below 1 and relative above."""
    assert set(ours) == {key for key, _ in recorded}
    return max(abs(ours[key] - value) / max(1.0, value) for key, value in recorded)


needs_kernels = pytest.mark.skipif(engine.installed() is None, reason="needs numba")
WAYS = [
    pytest.param(1, TORCH, id="alone"),
    pytest.param(2, TORCH, id="stacked"),
    pytest.param(1, engine.installed(), id="kernels", marks=needs_kernels),
]


@pytest.mark.parametrize(("replicas", "computing"), WAYS)
@pytest.mark.parametrize(("network", "run"), training_vectors.available())
def test_ten_steps_are_the_authors(network: str, run: str, replicas: int, computing: Engine) -> None:
    """To 1e-9, or to 100 times as far as the authors' own run moves when its input is changed by rounding."""
    recorded, ours = Vector.of(network, run).recorded, training_vectors.train(network, run, replicas, computing)
    bar = {name: max(1e-9, 100 * moved) for name, moved in recorded["sensitivity"].items()}
    np.testing.assert_allclose(ours.losses, recorded["losses"], rtol=0, atol=bar["losses"])
    assert worst(ours.gradient_norms, recorded["gradient_norms_step_1"]) <= bar["gradient_norms"]
    assert worst(ours.weight_norms, recorded["weight_norms_step_10"]) <= bar["weight_norms"]
    without = set(ours.weight_norms) - set(ours.gradient_norms)
    assert without == set(recorded["no_gradient"])
    for key, mean in recorded["running_means_step_10"].items():
        np.testing.assert_allclose(ours.running_means[key], mean, rtol=0, atol=bar["running_means"], err_msg=key)


def test_every_loss_is_held_to_saturated_sigmoids() -> None:
    """Where no probability fades, cross-entropy of logits passes too; UNeXt's authors take theirs from logits."""
    networks = {network for network, _ in training_vectors.available()}
    saturated = {network for network, run in training_vectors.available() if run == "saturated"}
    assert networks - saturated == {"unext_s"}
    assert all(sum(Vector.of(n, "saturated").recorded["probabilities_exactly_0_or_1"]) > 100 for n in saturated)


@pytest.mark.parametrize("network", sorted({network for network, _ in training_vectors.available()}))
def test_the_vectors_take_the_optimizer_of_the_paper(network: str) -> None:
    recipe, optimizer = RECIPES["paper"], Vector.of(network, "plain").file["optimizer"]
    assert optimizer == {
        "name": "AdamW",
        "lr": recipe.lr,
        "betas": [recipe.beta1, recipe.beta2],
        "eps": recipe.eps,
        "weight_decay": recipe.weight_decay,
    }


@pytest.mark.parametrize("bridge", [malunet.SpatialAttentionBridge, ulvm_unet.SpatialAttentionBridge])
def test_the_gradient_of_a_maximum_goes_to_one_of_equal_channels(bridge: type[torch.nn.Module]) -> None:
    """As with the authors' `torch.max`; `amax` would share it. The vectors have no equal channels, saturated ones do.

    Of constant channels the mean's gradient is the same in all, so that the maximum's shows as one that differs; alone
    and under `vmap`.
    """
    torch.manual_seed(0)
    module = bridge().double()
    x = torch.ones(2, 1, 4, 5, 5, dtype=torch.float64, requires_grad=True)
    for of_two in (torch.stack([module(each) for each in x]), torch.func.vmap(module)(x)):
        (gradient,) = torch.autograd.grad(of_two.sum(), x)
        differs = (gradient - gradient.median(dim=2, keepdim=True).values).abs() > 1e-12
        assert (differs.sum(dim=2) == 1).all()
