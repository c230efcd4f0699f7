"""Contract tests over the registry: an entry is tested by being added."""

import pytest
import torch
from torch import Tensor, nn

from benchmarks.networks import registry
from benchmarks.objectives.losses import DRAWS
from benchmarks.protocol.recipe import RECIPES
from benchmarks.training.replicas import Replicas, initialised
from tests import reference_vectors

NAMES = registry.names()
WRAPPED = "smp:unet/resnet18"
SMALL = 64  # legal for every network

# From the fact sheets; an entry of the paper without its number here fails.
PARAMETERS = {
    "unet": 7_765_985,
    "scr_net": 811_788,
    "aswin_unet": 46_913_892,
    "c2sdg": 22_009_793,
    "unext_s": 253_561,
    "malunet": 177_943,
    "ege_unet": 53_374,
    "vm_unet": 27_427_561,
    "lightm_unet": 403_302,
    "lb_unet": 55_865,
    "ulvm_unet": 49_457,
    "aulunet_v1": 28_557,
    "aulunet_v2": 31_245,
    "aulunet_v3": 28_636,
    "lightm_unet_revised": 380_812,
    "aulunet_v1_pooled": 28_636,
    "aulunet_v2_pooled": 30_836,
    "aulunet_m4": 24_056,
    "aulunet_m5": 25_036,
    **dict.fromkeys(["aulunet_d13", "aulunet_d24", "aulunet_d15", "aulunet_d17", "aulunet_d35"], 28_636),
    **dict.fromkeys(["aulunet_d123", "aulunet_d135", "aulunet_d157", "aulunet_d357"], 26_279),
    # Not in the paper
    "mk_unet_t": 27_384,
    "mk_unet_s": 93_050,
    "mk_unet": 315_566,
    "simple_unet": 16_308,
    "simple_unet_one_class": 16_298,
    "tiny_unet": 481_170,
    "ultralbm_unet": 34_166,
    "mambalite_unet": 910_627,
}
UNPRINTED = {"aulunet_akf", "aulunet_rgf", "aulunet_lsg", "aulunet_rgf_lsg"}
# VM-UNet's vectors are in float32. LightM-UNet amplifies rounding under its reference weights by ten orders of size
# (the header of its file), so that no order of operations comes nearer than 1e-7; a wrong wiring is off by 1e-1.
PARITY = {"vm_unet": (torch.float32, 1e-4), "lightm_unet": (torch.float64, 1e-5)}
# The vectors of TinyU-Net are of its build for one class, whose checkpoints are read into the head of two.
PARAMETERS_MORE = {"tiny_unet": 65}
# The one hidden unit of a channel attention of MK-UNet-T is dead at the start in half of all draws; here none is.
ALIVE = {"mk_unet_t": 3, "mk_unet_s": 2}
CANCELLED = "gates.0.map.1.bias"  # MK-UNet: one number, which the batch norm behind it cancels, to rounding or exactly


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def batch(replicas: int, images: int = 4, size: int = SMALL) -> tuple[Tensor, Tensor, Tensor]:
    """Images in the recipe's range with a bright square to find, masks, draws; all with a leading replica axis."""
    generator = torch.Generator().manual_seed(0)
    pictures = 255 * torch.rand(replicas, images, 3, size, size, generator=generator)
    masks = torch.zeros(replicas, images, 1, size, size)
    masks[..., 16:48, 8:40] = 1
    pictures[..., 16:48, 8:40] *= 0.3
    return pictures, masks, torch.rand(replicas, DRAWS, generator=generator)


def as_the_suite_feeds(name: str, network: nn.Module) -> nn.Module:
    preprocess = registry.entry(name).preprocess
    return network if preprocess is None else lambda images: network(preprocess(images))


def test_the_paper_is_complete():
    assert list(PARAMETERS)[:14] == NAMES[:14]
    assert set(NAMES) == set(PARAMETERS) | UNPRINTED


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameter_count(name):
    with torch.device("meta"):
        assert parameters(registry.build(name)) == PARAMETERS[name]


@pytest.mark.parametrize("name", reference_vectors.available())
def test_parity_with_the_authors_network(name):
    reference = reference_vectors.load(name)
    dtype, tolerance = PARITY.get(name, (torch.float64, 1e-9))
    network = registry.build(name).to(dtype)
    state = registry.convert_official(name, reference_vectors.official_state(reference))
    network.load_state_dict(state)
    official = registry.entry(name).official
    outputs = official.outputs(network, reference_vectors.images(reference).to(dtype))
    assert reference_vectors.largest_difference(reference, outputs) < tolerance
    assert parameters(network) - PARAMETERS_MORE.get(name, 0) == reference["parameters"]


@pytest.mark.parametrize("name", reference_vectors.available())
def test_a_wrong_state_dict_is_refused_by_key(name):
    state = reference_vectors.official_state(reference_vectors.load(name))
    parameter = next(key for key in state if key.endswith("weight"))
    wrong = {key: value for key, value in state.items() if key != parameter} | {"no_such_layer.weight": torch.zeros(1)}
    with pytest.raises(ValueError, match=r"missing .*weight.*unexpected .*no_such_layer\.weight"):
        registry.convert_official(name, wrong)
    misshapen = state | {parameter: torch.zeros(1, 2, 3)}
    with pytest.raises(ValueError, match="shape"):
        registry.convert_official(name, misshapen)


@pytest.mark.parametrize("name", [*NAMES, WRAPPED])
@pytest.mark.parametrize("size", [256, SMALL])
def test_logits_in_eval_mode(name, size):
    assert registry.entry(name).accepts(size)
    with torch.device("meta"):
        network = registry.build(name).eval()
        logits = network(torch.empty(2, 3, size, size))
    assert logits.shape == (2, 1, size, size)


@pytest.mark.parametrize("name", NAMES)
def test_every_live_parameter_gets_a_gradient_and_no_dead_one(name):
    torch.manual_seed(ALIVE.get(name, 0))
    network = registry.build_for_training(name, SMALL).train()
    images, masks, draws = batch(1)
    official = registry.entry(name).official
    registry.entry(name).objective(as_the_suite_feeds(name, network), images[0], masks[0], draws[0]).backward()
    for key, parameter in network.named_parameters():
        if official is not None and official.is_dead(key):
            assert parameter.grad is None, f"{key} is called dead but gets a gradient"
        else:
            assert parameter.grad is not None, f"{key} gets no gradient"
            assert parameter.grad.isfinite().all(), key
            assert parameter.grad.any() or key == CANCELLED, f"the gradient of {key} is zero"


@pytest.mark.parametrize("name", [*NAMES, WRAPPED])
def test_stacked_step_equals_the_plain_one(name):
    """Losses, gradients and batch-norm statistics of two stacked replicas against the module itself, in float64."""
    replicas = Replicas(name, (1, 2), RECIPES["paper"].changed(size=SMALL), torch.device("cpu"), dtype=torch.float64)
    images, masks, draws = (each.double() for each in batch(2, images=2))
    start = {key: tensor.detach().clone() for key, tensor in replicas.tensors().items()}
    losses = replicas.losses(images, masks, draws)
    losses.sum().backward()
    for k in range(2):
        module = initialised(name, SMALL, seed=1).double().train()
        module.load_state_dict({key: tensor[k] for key, tensor in start.items()}, strict=False)
        for key, buffer in module.named_buffers():  # those that are not persistent
            buffer.copy_(start[key][k])
        loss = registry.entry(name).objective(as_the_suite_feeds(name, module), images[k], masks[k], draws[k])
        loss.backward()
        assert losses[k].item() == pytest.approx(loss.item(), rel=1e-9)
        plain = {key: p.grad for key, p in module.named_parameters() if p.grad is not None}
        scale = max(grad.abs().max() for grad in plain.values())
        for key, grad in plain.items():
            torch.testing.assert_close(replicas.parameters[key].grad[k], grad, rtol=1e-6, atol=1e-7 * scale, msg=key)
        for key, buffer in module.named_buffers():
            torch.testing.assert_close(replicas.buffers[key][k], buffer, rtol=1e-9, atol=1e-9, msg=key)


def test_an_authors_checkpoint_file_is_loaded(tmp_path):
    """As their scripts save it: under a key, from a DataParallel; and without running code that hides in a file."""
    state = reference_vectors.official_state(reference_vectors.load("aulunet_v3"))
    parallel = {f"module.{key}": value.float() for key, value in state.items()}
    torch.save({"epoch": 300, "model_state_dict": parallel}, tmp_path / "latest.pth")
    network = registry.load_official("aulunet_v3", tmp_path / "latest.pth")
    assert torch.equal(network.stem[0].weight, state["enc0_conv.0.weight"].float())


@pytest.mark.parametrize("name", NAMES)
def test_weights_survive_safetensors_and_the_training_module(name, tmp_path):
    from safetensors.torch import load_file, save_file

    torch.manual_seed(0)
    trained = registry.build_for_training(name, SMALL).eval()
    scored = registry.build(name).eval()
    state = trained.state_dict()
    weights = {key: state[key].contiguous() for key in scored.state_dict()}
    save_file(weights, tmp_path / "weights.safetensors")
    scored.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    images = batch(1, images=1)[0][0]
    with torch.no_grad():
        assert torch.equal(scored(images), trained(images))


@pytest.mark.parametrize("name", [name for name in NAMES if not registry.entry(name).accepts(72)])
def test_an_illegal_size_is_a_sentence(name):
    from results.errors import RequestError

    with pytest.raises(RequestError, match=f"{name} takes .* not --size 72"):
        registry.build_for_training(name, 72)
