"""Networks that are not in the paper (BEYOND of results/catalogue.py) as entries: smaller rivals and later networks."""

from functools import partial

from baselines import mambalite_unet, mk_unet, simple_unet, tiny_unet, ultralbm_unet
from benchmarks.networks import official
from benchmarks.networks.entry import Entry, MultiplesOf
from benchmarks.networks.paper import FIXED_ANGLE, ON_SELECTING_SPLIT, RECIPE, SELECTION, catalogued

NO_TRAINING = "The authors released no training; the suite's common recipe is used."
TWO_CLASSES = "Trained by BCE + Dice on one logit, lesion minus background; {} two classes."


def _mk_unet(name: str, widths: tuple[int, ...], theirs: official.Official) -> Entry:
    return catalogued(
        name,
        partial(mk_unet.MKUNet, widths=widths),
        paper="MK-UNet: Multi-kernel Lightweight CNN for Medical Image Segmentation, arXiv 2509.18493",
        upstream="SLDGroup/MK-UNet 126eb4a",
        deviations=(NO_TRAINING,),
        official=theirs,
    )


def _simple_unet(name: str, classes: int, theirs: official.Official, *deviations: str) -> Entry:
    return catalogued(
        name,
        partial(simple_unet.SimpleUNet, classes=classes),
        paper="Simple is what you need for efficient and accurate medical image segmentation, arXiv 2506.13415",
        upstream="Frankyu5666666/SimpleUNet 43e3eb6",
        deviations=(*deviations, NO_TRAINING),
        official=theirs,
        accepts=MultiplesOf(16),
    )


ENTRIES = (
    _mk_unet("mk_unet_t", mk_unet.T, official.MK_UNET_T),
    _mk_unet("mk_unet_s", mk_unet.S, official.MK_UNET_S),
    _mk_unet("mk_unet", mk_unet.BASE, official.MK_UNET),
    _simple_unet("simple_unet", 2, official.SIMPLE_UNET, TWO_CLASSES.format("the released script builds")),
    _simple_unet("simple_unet_one_class", 1, official.SIMPLE_UNET_ONE_CLASS),
    catalogued(
        "tiny_unet",
        tiny_unet.TinyUNet,
        paper="TinyU-Net: Lighter Yet Better U-Net with Cascaded Multi-Receptive Fields",
        upstream="ChenJunren-Lab/TinyU-Net 7314772",
        deviations=(
            TWO_CLASSES.format("the authors train cross-entropy + Dice on"),
            RECIPE,
            SELECTION + "do not say what selects, and score the official ISIC2018 test split.",
        ),
        official=official.TINY_UNET,
        accepts=MultiplesOf(16),
    ),
    catalogued(
        "ultralbm_unet",
        ultralbm_unet.UltraLBMUNet,
        paper="UltraLBM-UNet: Ultralight Bidirectional Mamba-based Model, arXiv 2512.21584",
        upstream="LinLinLin-X/UltraLBM-UNet 0a99c43",
        deviations=(FIXED_ANGLE, ON_SELECTING_SPLIT),
        official=official.ULTRALBM_UNET,
    ),
    catalogued(
        "mambalite_unet",
        mambalite_unet.MambaLiteUNet,
        paper="MambaLiteUNet: Cross-Gated Adaptive Feature Fusion, arXiv 2604.20286",
        upstream="maklachur/MambaLiteUNet 09d6f25",
        deviations=(
            "Trained 400 epochs by the suite's recipe; the authors 300.",
            "Each image is stretched to [0, 255] by itself, as in the recipe; the authors divide all by 255 alone.",
            "A pixel's target in training is its share of lesion; the authors take every pixel above 0 as lesion.",
        ),
        official=official.MAMBALITE_UNET,
    ),
)
BEYOND = {entry.name: entry for entry in ENTRIES}
