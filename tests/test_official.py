"""The contract of `Official`: what its two functions leave as it was. Parity itself is in test_networks.py."""

import pytest
import torch

from benchmarks.networks import registry
from benchmarks.networks.official.contract import inside, numbered
from benchmarks.networks.seeding import states

ENTRIES = {name: registry.entry(name) for name in registry.names()}
OFFICIAL = {name: entry.official for name, entry in ENTRIES.items() if entry.official}
RETURNED = {"aulunet_v3": 1, "ege_unet": 6, "lb_unet": 9, "ulvm_unet": 1}


def test_a_network_has_one_where_its_authors_released_it():
    released = {name for name, entry in ENTRIES.items() if entry.upstream and not name.startswith("aulunet")}
    assert set(OFFICIAL) == released | {"aulunet_v3"}


@pytest.mark.parametrize("name", RETURNED)
def test_outputs_are_of_eval_mode_and_change_nothing(name):
    network = registry.build(name).train()
    next(network.children()).eval()
    modes = [module.training for module in network.modules()]
    weights = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    images, before = torch.rand(2, 3, 64, 64), states()
    outputs = OFFICIAL[name].outputs(network, images)
    assert states() == before
    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(tensor, weights[key]) for key, tensor in network.state_dict().items())
    assert [(each.shape, each.requires_grad) for each in outputs] == [((2, 1, 64, 64), False)] * RETURNED[name]
    with torch.no_grad():
        assert torch.equal(outputs[-1], network.eval()(images).sigmoid())


def test_modes_come_back_after_an_error():
    network = registry.build("ege_unet").train()
    with pytest.raises(ValueError, match="multiples of 32"):
        OFFICIAL["ege_unet"].outputs(network, torch.rand(1, 3, 40, 40))
    assert all(module.training for module in network.modules())


@pytest.mark.parametrize("name", [name for name, official in OFFICIAL.items() if official.dead])
def test_every_dead_part_exists(name):
    official = OFFICIAL[name]
    with torch.device("meta"):
        keys = list(official.build().state_dict())
    assert all(any(key.startswith(part) for key in keys) for part in official.dead)
    assert not all(official.is_dead(key) for key in keys)


def test_renaming():
    assert numbered("up{}.a", "decoder.{}", range(2), reversed(range(2))) == (
        (r"^up0\.a\.", "decoder.1."),
        (r"^up1\.a\.", "decoder.0."),
    )
    with pytest.raises(ValueError, match="zip"):
        numbered("up{}", "decoder.{}", range(2), range(3))
    assert inside(r"up\d", {"bn.": "norm."}) == ((r"^(up\d)\.bn\.", r"\1.norm."),)
