"""The catalogue: the networks of the paper, in the order of Table 1, then the rows of its ablations."""

from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

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
from benchmarks.objectives import c2sdg as views
from benchmarks.objectives import losses
from models import aulunet
from models.aulunet import AULUNet

if TYPE_CHECKING:
    pass

from benchmarks.networks.entry import Entry, multiples_of

READING = "Our reading of the paper: the authors released no switch for this variant."
SELECTION = "The epoch is selected by the validation loss of the main output, and another split is scored; the authors "
ON_SELECTING_SPLIT = SELECTION + "select by that loss too, but score the same split that selected."
RECIPE = "Trained with the suite's common recipe instead of the authors' own."
FIXED_ANGLE = "Trained 400 epochs with the suite's augmentation; the authors 300, one fixed rotation angle a run."
SCRATCH = "Trained from random weights; the authors start from ImageNet weights."


def windows_fit(size: int) -> bool:
    """ASwin U-Net's grids divide into its windows, or are not larger than one."""
    return size in (32, 64, 128) or size % 256 == 0


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

CATALOGUE = (
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
)
PAPER = {entry.name: entry for entry in CATALOGUE}
