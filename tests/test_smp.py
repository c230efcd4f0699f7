"""Networks of segmentation-models-pytorch train reproducibly, alone and stacked, and looking one up leaves no trace.

Only the smallest of each kind of randomness; `tests/benchmarks_by_hand/wrapped_networks.py` goes over all of them.
"""

import pytest
import segmentation_models_pytorch as smp
import torch
from torch import Tensor

from benchmarks.networks import registry
from benchmarks.networks.plugins import Unfit
from benchmarks.networks.seeding import reseed, seeded, states
from benchmarks.objectives.losses import DRAWS
from benchmarks.protocol.recipe import RECIPES
from benchmarks.runner.probe import probe
from benchmarks.training.replicas import Replicas, initialised
from results.errors import RequestError
from tests import reference_vectors

RECIPE = RECIPES["paper"].changed(size=64)
CPU = torch.device("cpu")
RANDOM = {
    "smp:fpn/mobilenet_v2": "Dropout2d in the decoder",
    "smp:deeplabv3plus/mobilenet_v2": "Dropout in the decoder",
    "smp:unet/efficientnet-b0": "stochastic depth in a function",
    "smp:segformer/mit_b0": "DropPath of timm",
}


def batch(seeds: int, dtype: torch.dtype) -> list[Tensor]:
    """Images, masks and draws, which all replicas share."""
    images = 255 * torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)).to(dtype)
    both = (images, (images[:, :1] > 128).to(dtype), torch.zeros(DRAWS, dtype=dtype))
    return [each.expand(seeds, *each.shape) for each in both]


@torch.no_grad()
def losses(name: str, *seeds: int, dtype: torch.dtype = torch.float32) -> list[float]:
    replicas = Replicas(name, seeds, RECIPE, CPU, dtype)
    return replicas.losses(*batch(len(seeds), dtype)).tolist()


@pytest.mark.parametrize("name", RANDOM)
def test_random_layers_draw_the_same_alone_and_stacked(name):
    reseed(1)
    alone = losses(name, 2)
    reseed(2)
    assert losses(name, 2) == alone, RANDOM[name]
    both = losses(name, 1, 2, dtype=torch.float64)
    assert both[1] == pytest.approx(losses(name, 2, dtype=torch.float64)[0], rel=1e-9)
    assert both[0] != pytest.approx(both[1], rel=1e-3)


def test_stochastic_depth_of_efficientnet_is_the_librarys():
    """The same weights; in training, a block keeps or drops whole samples at the library's rate for its depth."""
    build = registry.entry("smp:unet/efficientnet-b0").builder
    with seeded(5):
        theirs = build().eval()
    ours = initialised("smp:unet/efficientnet-b0", 64, 5).eval()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(ours(images), theirs(images))
    rates = [block.drop_path.rate for block in ours.encoder._blocks if hasattr(block, "drop_path")]
    assert rates == [0.2 * k / 16 for k, block in enumerate(theirs.encoder._blocks) if block._has_drop_connect]
    block, x = ours.encoder._blocks[-2], torch.rand(2000, 192, 1, 1)
    with torch.no_grad():
        kept = block.train()(x, 0.1) != x
    assert (kept.flatten(1).all(dim=1) == kept.flatten(1).any(dim=1)).all()
    assert 0.7 < kept[:, 0].float().mean() < 0.9  # rate 0.175


def test_looking_one_up_changes_neither_the_list_nor_the_random_state():
    names, before = registry.names(), states()
    entry = registry.entry("smp:linknet/mobilenet_v2")
    assert registry.names() == names
    assert states() == before
    assert registry.entry("smp:linknet/mobilenet_v2") is entry
    assert smp.__version__ in entry.library


@pytest.mark.parametrize("name", ["smp:unet/no_such_encoder", "smp:dpt/resnet18", "smp:pan/densenet121", "smp:unet"])
def test_what_the_library_cannot_build_is_a_sentence(name):
    with pytest.raises(RequestError, match=rf"^segmentation-models-pytorch cannot build {name} \(.*smp:unet/resnet18"):
        registry.entry(name)


def test_a_size_that_a_wrapped_network_does_not_take_is_a_sentence():
    with pytest.raises(Unfit, match=r"^smp:pan/mobilenet_v2: its forward raises .* choose another --size or network"):
        probe("smp:pan/mobilenet_v2", RECIPE, CPU)


@pytest.mark.parametrize("name", reference_vectors.available())
def test_converting_an_official_checkpoint_moves_no_random_state(name):
    state = reference_vectors.official_state(reference_vectors.load(name))
    before = states()
    registry.convert_official(name, state)
    assert states() == before


def test_loading_an_official_checkpoint_moves_no_random_state(tmp_path):
    state = reference_vectors.official_state(reference_vectors.load("aulunet_v3"))
    torch.save({key: value.float() for key, value in state.items()}, tmp_path / "theirs.pth")
    before = states()
    registry.load_official("aulunet_v3", tmp_path / "theirs.pth")
    assert states() == before
