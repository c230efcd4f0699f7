"""Every architecture of segmentation-models-pytorch with a spread of encoders: does it train reproducibly, alone and
stacked, or is it refused by a sentence?

    python tests/benchmarks_by_hand/wrapped_networks.py [--size 64] [--architectures unet,fpn] [--encoders resnet18]

Each network goes through the probe that `run` puts before the training (the same losses twice, whatever was drawn in
between; two seeds stacked as alone). Then a seed is trained twice for two steps, with the global generators moved in
between, and the first losses of two stacked seeds are held against theirs alone in float64. "trains" needs the same
losses to the last bit alone, and to 1e-9 stacked. Float64, because AdamW's first steps multiply rounding.
"""

import argparse
import time
import warnings
from itertools import product

import segmentation_models_pytorch as smp
import torch

from benchmarks.networks import registry
from benchmarks.objectives import losses
from benchmarks.protocol.recipe import RECIPES
from benchmarks.runner.probe import probe
from benchmarks.training.replicas import Replicas
from results.errors import RequestError

ENCODERS = (
    *("resnet18", "mobilenet_v2", "efficientnet-b0", "timm-efficientnet-b0", "mit_b0", "tu-mobilenetv3_small_050"),
    *("timm-tf_efficientnet_lite0", "timm-skresnet18", "mobileone_s0", "vgg11_bn", "densenet121", "dpn68"),
    *("resnext50_32x4d", "se_resnet50", "xception", "inceptionv4", "inceptionresnetv2", "tu-convnext_atto"),
    *("tu-vit_tiny_patch16_224", "tu-swin_tiny_patch4_window7_224"),
)
SEEDS, STEPS, IMAGES = (1, 2), 2, 2
CPU = torch.device("cpu")


def batches(replicas: Replicas, dtype: torch.dtype) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Images, masks and draws of each step, with a leading axis of replicas, which all see the same."""
    generator, size = torch.Generator().manual_seed(0), replicas.recipe.size
    images = 255 * torch.rand((STEPS, 1, IMAGES, 3, size, size), generator=generator).to(dtype)
    images = images.expand(-1, len(replicas), *images.shape[2:])
    draws = torch.zeros(len(replicas), losses.DRAWS, dtype=dtype)
    return [(each, (each[:, :, :1] > 128).to(dtype), draws) for each in images]


def trained(name: str, size: int) -> list[float]:
    """Losses of a few optimizer steps of one seed."""
    replicas = Replicas(name, SEEDS[:1], RECIPES["paper"].changed(size=size), CPU)
    return [replicas.step(*batch).item() for batch in batches(replicas, torch.float32)]


@torch.no_grad()
def first_losses(name: str, seeds: tuple[int, ...], size: int) -> torch.Tensor:
    """(R,) float64."""
    replicas = Replicas(name, seeds, RECIPES["paper"].changed(size=size), CPU, torch.float64)
    return replicas.losses(*batches(replicas, torch.float64)[0])


def outcome(name: str, size: int) -> str:
    """ "trains", or the sentence that refuses it, or what is wrong."""
    recipe = RECIPES["paper"].changed(size=size)
    try:
        notes = probe(name, recipe, CPU, stacked=True)
    except RequestError as error:
        return f"refused: {error}"
    alone = trained(name, size)
    torch.rand(7)
    if (again := trained(name, size)) != alone:
        return f"WRONG: alone {alone} and then {again}"
    together = first_losses(name, SEEDS, size)
    apart = (together - torch.cat([first_losses(name, (seed,), size) for seed in SEEDS])).abs().max().item()
    return f"{'trains' if apart < 1e-9 else 'WRONG'}, stacked {apart:.0e} apart {'; '.join(notes)}"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    arguments.add_argument("--size", type=int, default=64)
    arguments.add_argument("--architectures", default=",".join(smp.MODEL_ARCHITECTURES_MAPPING))
    arguments.add_argument("--encoders", default=",".join(ENCODERS))
    given = arguments.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    for encoder, architecture in product(given.encoders.split(","), given.architectures.split(",")):
        name, started = f"smp:{architecture}/{encoder}", time.perf_counter()
        try:
            registry.entry(name)
            told = outcome(name, given.size)
        except RequestError as error:
            told = f"refused: {error}"
        print(f"{name:<48} {time.perf_counter() - started:5.1f} s  {told}", flush=True)


if __name__ == "__main__":
    main()
