"""The networks of the catalogue (results/catalogue.py) as entries: Table 1 first, then the rows of its ablations."""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

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
from benchmarks.networks import official
from benchmarks.networks.entry import Entry, MultiplesOf, OneOf
from benchmarks.objectives import c2sdg as views
from benchmarks.objectives import losses
from models.aulunet import AULUNet
from results import catalogue

SELECTION = "The epoch is selected by the validation loss of the main output, and another split is scored; the authors "
ON_SELECTING_SPLIT = SELECTION + "select by that loss too, but score the same split that selected."
RECIPE = "Trained with the suite's common recipe instead of the authors' own."
FIXED_ANGLE = "Trained 400 epochs with the suite's augmentation; the authors 300, one fixed rotation angle per run."
SCRATCH = "Trained from random weights; the authors start from ImageNet weights."


def c2sdg_for_training(size: int) -> c2sdg.C2SDG:
    """C2SDG with the projector of its contrast, for images of `size` px."""
    return c2sdg.C2SDG(projector_size=size)


def catalogued(name: str, builder: Callable[[], nn.Module], deviations: tuple[str, ...] = (), **fields: Any) -> Entry:
    """An entry with what the catalogue says of it; an interpretation and a note are recorded with every run."""
    known = catalogue.NETWORKS[name]
    said = tuple(words for words in (known.interpretation, known.note) if words)
    return Entry(
        name,
        known.label,
        builder,
        venue=known.venue,
        interpretation=known.interpretation,
        deviations=said + deviations,
        foreign=False,
        **fields,
    )


def _aulunet(name: str, **arguments: Any) -> Entry:
    """An entry of the AULUNet family: the same source, other constructor arguments."""
    return catalogued(
        name,
        partial(AULUNet, **arguments),
        paper="AULUNet: An Adaptive Ultra-Lightweight U-Net for skin-lesion segmentation",
        upstream="maklachur/AULUNet b82dc9a",
        official=official.AULUNET_V3 if name == "aulunet_v3" else None,
    )


ENTRIES = (
    catalogued(
        "unet",
        unet.UNet,
        paper="U-Net: Convolutional Networks for Biomedical Image Segmentation, arXiv 1505.04597",
        deviations=("The comparison names no implementation: base width 32, transposed convolutions, batch norm.",),
        accepts=MultiplesOf(16),
    ),
    catalogued(
        "scr_net",
        scr_net.SCRNet,
        paper="Precise Yet Efficient Semantic Calibration and Refinement in ConvNets for Real-time Polyp Segmentation",
        upstream="jiafuz/SCR-Net ba05699",
        deviations=(
            "The authors' file does not run: its SRM hands four maps to a convolution. Ours hands on the first.",
            "The authors released no training; the suite's common recipe is used.",
        ),
        official=official.SCR_NET,
        accepts=MultiplesOf(16),
    ),
    catalogued(
        "aswin_unet",
        aswin_unet.ASwinUNet,
        paper="Attention Swin U-Net: Cross-Contextual Attention Mechanism for Skin Lesion Segmentation",
        upstream="NITR098/AttSwinUNet 4b14f37",
        deviations=(
            "The authors' cross-contextual decoder cannot be constructed as released; ours follows its wiring.",
            SCRATCH,
            RECIPE,
            SELECTION + "select by F1 on the test split itself, and score it after opening and filling the masks.",
        ),
        official=official.ASWIN_UNET,
        accepts=OneOf(32, 64, 128, multiples_of=256),  # its grids must divide into its windows
    ),
    catalogued(
        "c2sdg",
        c2sdg.C2SDG,
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
        training_builder=c2sdg_for_training,
        preprocess=c2sdg.standardised,
        official=official.C2SDG,
    ),
    catalogued(
        "unext_s",
        unext.UNeXtS,
        paper="UNeXt: MLP-based Rapid Medical Image Segmentation Network, arXiv 2203.04967",
        upstream="jeya-maria-jose/UNeXt-pytorch 6ad0855",
        deviations=(
            RECIPE,
            SELECTION + "select by mIoU, and score the same split that selected.",
        ),
        official=official.UNEXT_S,
    ),
    catalogued(
        "malunet",
        malunet.MALUNet,
        paper="MALUNet: A Multi-Attention and Light-weight UNet for Skin Lesion Segmentation, arXiv 2211.01784",
        upstream="JCruan519/MALUNet e184b47",
        deviations=(FIXED_ANGLE, ON_SELECTING_SPLIT),
        official=official.MALUNET,
    ),
    catalogued(
        "ege_unet",
        ege_unet.EGEUNet,
        paper="EGE-UNet: an Efficient Group Enhanced UNet for skin lesion segmentation, arXiv 2307.08473",
        upstream="JCruan519/EGE-UNet f52ba30",
        deviations=(
            FIXED_ANGLE,
            SELECTION + "select by the deep-supervised loss, and score the same split that selected.",
        ),
        objective=losses.deep_supervision,
        official=official.EGE_UNET,
    ),
    catalogued(
        "vm_unet",
        vm_unet.VMUNet,
        paper="VM-UNet: Vision Mamba UNet for Medical Image Segmentation, arXiv 2402.02491",
        upstream="JCruan519/VM-UNet 43c495b",
        deviations=(
            SCRATCH,
            "Batch 8 and 400 epochs by the suite's recipe; the authors 32 and 300.",
            ON_SELECTING_SPLIT,
        ),
        official=official.VM_UNET,
    ),
    catalogued(
        "lightm_unet",
        lightm_unet.LightMUNet,
        paper="LightM-UNet: Mamba Assists in Lightweight UNet for Medical Image Segmentation, arXiv 2403.05246",
        upstream="MrBlankness/LightM-UNet 36411aa",
        deviations=(
            "The first released network file with 8 filters, which Table 1 counts; the authors later replaced it.",
            RECIPE,
            SELECTION + "select nothing: the last epoch is scored.",
        ),
        official=official.LIGHTM_UNET,
        accepts=MultiplesOf(8),
    ),
    catalogued(
        "lb_unet",
        lb_unet.LBUNet,
        paper="LB-UNet: A Lightweight Boundary-assisted UNet for Skin Lesion Segmentation",
        upstream="xuxuxuxuxuxjh/LB-UNet 936508e",
        deviations=(
            "The boundary target is the mask minus its erosion; theirs adds six half discs at points of a search.",
            FIXED_ANGLE,
            SELECTION + "select by the sum of mIoU and DSC, and score the same split that selected.",
            "The authors' mIoU is the mean over images, their DSC is pooled; ours are both pooled.",
        ),
        objective=losses.boundary_supervision,
        official=official.LB_UNET,
    ),
    catalogued(
        "ulvm_unet",
        ulvm_unet.ULVMUNet,
        paper="UltraLight VM-UNet: Parallel Vision Mamba Significantly Reduces Parameters, arXiv 2403.20035",
        upstream="wurenkai/UltraLight-VM-UNet d7648e4",
        deviations=("Trained 400 epochs by the suite's recipe; the authors 250.",),
        official=official.ULVM_UNET,
    ),
    _aulunet("aulunet_v1", widths=(4, 8, 16, 24, 36, 60)),
    _aulunet("aulunet_v2", widths=(4, 8, 16, 24, 40, 60)),
    _aulunet("aulunet_v3"),
    # Beyond Table 1: the other released file of LightM-UNet, second interpretations, then Tables 2 and 3.
    catalogued(
        "lightm_unet_revised",
        partial(lightm_unet.LightMUNet, version="revised"),
        paper="LightM-UNet: Mamba Assists in Lightweight UNet for Medical Image Segmentation, arXiv 2403.05246",
        upstream="MrBlankness/LightM-UNet d2bed4a",
        deviations=(
            "8 filters, where the authors' trainer uses 32.",
            RECIPE,
            SELECTION + "select nothing: the last epoch is scored.",
        ),
        official=official.LIGHTM_UNET_REVISED,
        accepts=MultiplesOf(8),
    ),
    _aulunet("aulunet_v1_pooled", skip="pooled"),
    _aulunet("aulunet_v2_pooled", skip="pooled_deep"),
    _aulunet("aulunet_m4", skip="add"),
    _aulunet("aulunet_m5", rgf=False),
    _aulunet("aulunet_akf", rgf=False, skip="add"),
    _aulunet("aulunet_rgf", akf=False, skip="add"),
    _aulunet("aulunet_lsg", akf=False, rgf=False),
    _aulunet("aulunet_rgf_lsg", akf=False),
    _aulunet("aulunet_d13", dilations=(1, 3)),
    _aulunet("aulunet_d24", dilations=(2, 4)),
    _aulunet("aulunet_d15", dilations=(1, 5)),
    _aulunet("aulunet_d17", dilations=(1, 7)),
    _aulunet("aulunet_d35", dilations=(3, 5)),
    _aulunet("aulunet_d123", dilations=(1, 2, 3)),
    _aulunet("aulunet_d135", dilations=(1, 3, 5)),
    _aulunet("aulunet_d157", dilations=(1, 5, 7)),
    _aulunet("aulunet_d357", dilations=(3, 5, 7)),
)
PAPER = {entry.name: entry for entry in ENTRIES}
