"""The one visible list of networks, in the order of Table 1. One name serves as key, CLI word, folder and CSV key.

A user's own network joins through `--plugin FILE_OR_MODULE`: a Python file or module whose `NETWORKS` is a list of
`Entry`. Names "smp:<architecture>/<encoder>" are wrapped from segmentation-models-pytorch on demand.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from baselines import (
    aswin_unet,
    c2sdg,
    ege_unet,
    lb_unet,
    lightm_unet,
    malunet,
    scr_net,
    ulvm_unet,
    unet,
    unext,
    vm_unet,
)
from benchmarks.networks.dropout import give_streams
from benchmarks.networks.seeding import undisturbed
from benchmarks.objectives import c2sdg as views
from benchmarks.objectives import losses
from models import aulunet
from models.aulunet import AULUNet
from results.errors import RequestError

if TYPE_CHECKING:
    from benchmarks.networks.plugins import Plugin

READING = "Our reading of the paper: the authors released no switch for this variant."
SELECTION = "The epoch is selected by the validation loss of the main output, and another split is scored; the authors "
ON_SELECTING_SPLIT = SELECTION + "select by that loss too, but score the same split that selected."
RECIPE = "Trained with the suite's common recipe instead of the authors' own."
FIXED_ANGLE = "Trained 400 epochs with the suite's augmentation; the authors 300, one fixed rotation angle a run."
SCRATCH = "Trained from random weights; the authors start from ImageNet weights."


def windows_fit(size: int) -> bool:
    """ASwin U-Net's grids divide into its windows, or are not larger than one."""
    return size in (32, 64, 128) or size % 256 == 0


def multiples_of(step: int) -> Callable[[int], bool]:
    """The rule "H = W is a multiple of `step`"."""
    return lambda size: size % step == 0


@dataclass(frozen=True)
class Entry:
    """A network of the suite: how it is built, where it comes from, and what differs from there."""

    name: str
    label: str
    """As printed in the tables."""
    builder: Callable[[], nn.Module]
    """Builds the network that is scored, with fresh initial weights from torch's global generator."""
    venue: str = ""
    paper: str = ""
    upstream: str = ""
    """Repository and commit that the network was compared with, if any."""
    deviations: tuple[str, ...] = ()
    """What differs from the authors' code or training, one sentence each."""
    objective: losses.Objective = losses.plain
    training_builder: Callable[[int], nn.Module] | None = None
    """Builds the module that is trained at a given image size where that is more than the network that is scored."""
    preprocess: Callable[[Tensor], Tensor] | None = None
    """Applied to images (B, 3, H, W) in the recipe's range before the network, in training and in evaluation."""
    accepts: Callable[[int], bool] = field(default=multiples_of(32))
    """Whether the network takes square images of this size."""
    sizes: str = "multiples of 32"
    """`accepts` in words."""
    official: ModuleType | SimpleNamespace | None = None
    """Whose `convert_official` and `official_outputs` speak for this entry: its module, as a rule."""
    library: str = ""
    """Name and version of the library whose network this is, if it is one's."""
    plugin: "Plugin | None" = None
    """The user's files that it comes from; set by `load_plugin`."""

    @property
    def foreign(self) -> bool:
        """Whether this project's tests do not know the network."""
        return BUILT_IN.get(self.name) is not self


ENTRIES: dict[str, Entry] = {}
_WRAPPED: dict[str, Entry] = {}  # those looked up so far; `names` does not list them


def register(entry: Entry) -> None:
    """Raises RequestError where the name is taken."""
    if entry.name in ENTRIES:
        raise RequestError(f"The network name {entry.name!r} is taken; give yours another name.")
    ENTRIES[entry.name] = entry


def names() -> list[str]:
    """All registered names, Table 1 first and in its order."""
    return list(ENTRIES)


def entry(name: str) -> Entry:
    """Raises RequestError for a name that is neither registered nor wrapped ("smp:...")."""
    if name not in ENTRIES and name.startswith("smp:"):
        from benchmarks.networks import smp

        if name not in _WRAPPED:
            _WRAPPED[name] = smp.entry(name)
        return _WRAPPED[name]
    if name not in ENTRIES:
        raise RequestError(f"There is no network {name!r}; `python -m benchmarks list networks` shows them all.")
    return ENTRIES[name]


def build(name: str) -> nn.Module:
    """The network that is scored, (B, 3, H, W) to logits (B, 1, H, W), with fresh initial weights.

    Where the entry has a `preprocess`, the suite applies it to the images first.
    """
    return entry(name).builder()


def build_for_training(name: str, size: int) -> nn.Module:
    """The module that is trained on `size` x `size` images: `build(name)`, with training-only parts where it has any.

    Its dropout draws from streams of its own (`benchmarks/networks/dropout.py`).
    Raises RequestError where the network does not take that size.
    """
    chosen = entry(name)
    if not chosen.accepts(size):
        raise RequestError(f"{name} takes {chosen.sizes}, not --size {size}; choose another size or network.")
    network = chosen.training_builder(size) if chosen.training_builder else chosen.builder()
    if not isinstance(network, nn.Module):
        raise RequestError(f"The builder of {name} returns a {type(network).__name__}; it must return an nn.Module.")
    give_streams(network)
    return network


def convert_official(name: str, state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The authors' state dict with our keys; no random state is moved.

    Raises ValueError that names what is missing, unexpected or misshapen.
    """
    module = entry(name).official
    if module is None:
        raise RequestError(f"{name} has no official checkpoint to convert; its authors released none for this build.")
    return module.convert_official(state_dict)


def load_official(name: str, path: Path) -> nn.Module:
    """The network with the weights of an authors' checkpoint file, which is read without running any code in it."""
    content = torch.load(path, map_location="cpu", weights_only=True)
    for wrapper in ("model_state_dict", "state_dict", "model"):
        content = content.get(wrapper, content) if isinstance(content, dict) else content
    with undisturbed():
        network = build(name)
    network.load_state_dict(convert_official(name, content))
    return network


def load_plugin(source: str) -> list[str]:
    """Register the `NETWORKS` of a Python file or importable module; returns their names.

    Raises RequestError where it cannot be imported or has no such list.
    """
    from benchmarks.networks import plugins

    return plugins.load(source)


def _aulunet(name: str, label: str, *, reading: bool = False, note: str = "", **arguments: Any) -> Entry:
    """An entry of the AULUNet family: the same source, other constructor arguments."""
    deviations = ((READING,) if reading else ()) + ((note,) if note else ())
    return Entry(
        name,
        label,
        partial(AULUNet, **arguments),
        venue="BMVC25",
        paper="AULUNet: An Adaptive Ultra-Lightweight U-Net for skin-lesion segmentation",
        upstream="maklachur/AULUNet b82dc9a",
        deviations=deviations,
        official=aulunet if name == "aulunet_v3" else None,
    )


ALONE = "Has no published number; where AKF is ablated, depthwise 3x3 and PointConv stand in its place."

for _entry in (
    Entry(
        "unet",
        "U-Net",
        unet.UNet,
        venue="MICCAI15",
        paper="U-Net: Convolutional Networks for Biomedical Image Segmentation, arXiv 1505.04597",
        deviations=("The comparison names no implementation: base width 32, transposed convolutions, batch norm.",),
        accepts=multiples_of(16),
        sizes="multiples of 16",
    ),
    Entry(
        "scr_net",
        "SCR-Net",
        scr_net.SCRNet,
        venue="AAAI21",
        paper="Precise Yet Efficient Semantic Calibration and Refinement in ConvNets for Real-time Polyp Segmentation",
        upstream="jiafuz/SCR-Net ba05699",
        deviations=(
            "The authors' file does not run: its SRM hands four maps to a convolution. Ours hands on the first.",
            "The authors released no training; the suite's common recipe is used.",
        ),
        official=scr_net,
        accepts=multiples_of(16),
        sizes="multiples of 16",
    ),
    Entry(
        "aswin_unet",
        "ASwin U-Net",
        aswin_unet.ASwinUNet,
        venue="ISBI23",
        paper="Attention Swin U-Net: Cross-Contextual Attention Mechanism for Skin Lesion Segmentation",
        upstream="NITR098/AttSwinUNet 4b14f37",
        deviations=(
            "The authors' cross-contextual decoder cannot be constructed as released; ours follows its wiring.",
            SCRATCH,
            RECIPE,
            SELECTION + "select by F1 on the test split itself, and score it after opening and filling the masks.",
        ),
        official=aswin_unet,
        accepts=windows_fit,
        sizes="32, 64, 128 and multiples of 256",
    ),
    Entry(
        "c2sdg",
        "C2SDG",
        c2sdg.C2SDG,
        venue="MICCAI23",
        paper="Devil is in Channels: Contrastive Single Domain Generalization for Medical Image Segmentation",
        upstream="ShishuaiHu/CCSDG a4fde09",
        deviations=(
            "One optimizer step on the sum of three segmentation losses and the contrast; the authors take four.",
            "The suite's turns, flips and rotations replace the authors' augmentation; the two style views are kept.",
            "The projector reads features of the suite's image size and is smaller than the authors' at 512 px.",
            RECIPE,
            SELECTION + "select nothing: the last epoch is scored.",
        ),
        objective=views.objective,
        training_builder=lambda size: c2sdg.C2SDG(projector_size=size),
        preprocess=c2sdg.standardised,
        official=c2sdg,
    ),
    Entry(
        "unext_s",
        "UNeXt-S",
        unext.UNeXtS,
        venue="MICCAI22",
        paper="UNeXt: MLP-based Rapid Medical Image Segmentation Network, arXiv 2203.04967",
        upstream="jeya-maria-jose/UNeXt-pytorch 6ad0855",
        deviations=(
            RECIPE,
            SELECTION + "select by mIoU, and score the same split that selected.",
        ),
        official=unext,
    ),
    Entry(
        "malunet",
        "MALUNet",
        malunet.MALUNet,
        venue="BIBM22",
        paper="MALUNet: A Multi-Attention and Light-weight UNet for Skin Lesion Segmentation, arXiv 2211.01784",
        upstream="JCruan519/MALUNet e184b47",
        deviations=(FIXED_ANGLE, ON_SELECTING_SPLIT),
        official=malunet,
    ),
    Entry(
        "ege_unet",
        "EGE-UNet",
        ege_unet.EGEUNet,
        venue="MICCAI23",
        paper="EGE-UNet: an Efficient Group Enhanced UNet for skin lesion segmentation, arXiv 2307.08473",
        upstream="JCruan519/EGE-UNet f52ba30",
        deviations=(
            FIXED_ANGLE,
            SELECTION + "select by the deep-supervised loss, and score the same split that selected.",
        ),
        objective=losses.deep_supervision,
        official=ege_unet,
    ),
    Entry(
        "vm_unet",
        "VM-UNet",
        vm_unet.VMUNet,
        venue="arXiv24",
        paper="VM-UNet: Vision Mamba UNet for Medical Image Segmentation, arXiv 2402.02491",
        upstream="JCruan519/VM-UNet 43c495b",
        deviations=(
            SCRATCH,
            "Batch 8 and 400 epochs by the suite's recipe; the authors 32 and 300.",
            ON_SELECTING_SPLIT,
        ),
        official=vm_unet,
    ),
    Entry(
        "lightm_unet",
        "LightM-UNet",
        lightm_unet.LightMUNet,
        venue="ICIC24",
        paper="LightM-UNet: Mamba Assists in Lightweight UNet for Medical Image Segmentation, arXiv 2403.05246",
        upstream="MrBlankness/LightM-UNet 36411aa",
        deviations=(
            "The first released network file with 8 filters, which Table 1 counts; the authors later replaced it.",
            RECIPE,
            SELECTION + "select nothing: the last epoch is scored.",
        ),
        official=lightm_unet,
        accepts=multiples_of(8),
        sizes="multiples of 8",
    ),
    Entry(
        "lb_unet",
        "LB-UNet",
        lb_unet.LBUNet,
        venue="MICCAI24",
        paper="LB-UNet: A Lightweight Boundary-assisted UNet for Skin Lesion Segmentation",
        upstream="xuxuxuxuxuxjh/LB-UNet 936508e",
        deviations=(
            "The boundary target is the mask minus its erosion; theirs adds six half discs at points of a search.",
            FIXED_ANGLE,
            SELECTION + "select by the sum of mIoU and DSC, and score the same split that selected.",
            "The authors' mIoU is the mean over images, their DSC is pooled; ours are both pooled.",
        ),
        objective=losses.boundary_supervision,
        official=lb_unet,
    ),
    Entry(
        "ulvm_unet",
        "ULVM-UNet",
        ulvm_unet.ULVMUNet,
        venue="arXiv24",
        paper="UltraLight VM-UNet: Parallel Vision Mamba Significantly Reduces Parameters, arXiv 2403.20035",
        upstream="wurenkai/UltraLight-VM-UNet d7648e4",
        deviations=("Trained 400 epochs by the suite's recipe; the authors 250.",),
        official=ulvm_unet,
    ),
    _aulunet("aulunet_v1", "AULUNet-v1", reading=True, widths=(4, 8, 16, 24, 36, 60)),
    _aulunet("aulunet_v2", "AULUNet-v2", reading=True, widths=(4, 8, 16, 24, 40, 60)),
    _aulunet("aulunet_v3", "AULUNet-v3"),
    # Beyond Table 1: the other released file of LightM-UNet, second readings, then Tables 2 and 3.
    Entry(
        "lightm_unet_revised",
        "LightM-UNet (revised file)",
        partial(lightm_unet.LightMUNet, version="revised"),
        venue="ICIC24",
        paper="LightM-UNet: Mamba Assists in Lightweight UNet for Medical Image Segmentation, arXiv 2403.05246",
        upstream="MrBlankness/LightM-UNet d2bed4a",
        deviations=(
            "8 filters, where the authors' trainer uses 32.",
            RECIPE,
            SELECTION + "select nothing: the last epoch is scored.",
        ),
        official=SimpleNamespace(
            convert_official=partial(lightm_unet.convert_official, version="revised"),
            official_outputs=lightm_unet.official_outputs,
        ),
        accepts=multiples_of(8),
        sizes="multiples of 8",
    ),
    _aulunet("aulunet_v1_pooled", "AULUNet-v1 (second reading)", reading=True, skip="pooled"),
    _aulunet("aulunet_v2_pooled", "AULUNet-v2 (second reading)", reading=True, skip="pooled_deep"),
    _aulunet("aulunet_m4", "M4 (AKF+RGF)", skip="add"),
    _aulunet("aulunet_m5", "M5 (AKF+LSG)", rgf=False),
    _aulunet("aulunet_akf", "AKF only", note=ALONE, rgf=False, skip="add"),
    _aulunet("aulunet_rgf", "RGF only", note=ALONE, akf=False, skip="add"),
    _aulunet("aulunet_lsg", "LSG only", note=ALONE, akf=False, rgf=False),
    _aulunet("aulunet_rgf_lsg", "RGF+LSG", note=ALONE, akf=False),
    _aulunet("aulunet_d13", "d=1,d=3", dilations=(1, 3)),
    _aulunet("aulunet_d24", "d=2,d=4", dilations=(2, 4)),
    _aulunet("aulunet_d15", "d=1,d=5", dilations=(1, 5)),
    _aulunet("aulunet_d17", "d=1,d=7", dilations=(1, 7)),
    _aulunet("aulunet_d35", "d=3,d=5", dilations=(3, 5)),
    _aulunet("aulunet_d123", "d=1,d=2,d=3", reading=True, dilations=(1, 2, 3)),
    _aulunet("aulunet_d135", "d=1,d=3,d=5", reading=True, dilations=(1, 3, 5)),
    _aulunet("aulunet_d157", "d=1,d=5,d=7", reading=True, dilations=(1, 5, 7)),
    _aulunet("aulunet_d357", "d=3,d=5,d=7", reading=True, dilations=(3, 5, 7)),
):
    register(_entry)

BUILT_IN = dict(ENTRIES)
