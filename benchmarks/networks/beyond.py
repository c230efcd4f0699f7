"""Networks after the paper, as entries: small rivals, successors, and the authors' next network.

None of them is in the paper, so that the label and the venue of each stand here.
"""

from baselines import mambalite_unet, ultralbm_unet
from benchmarks.networks import official
from benchmarks.networks.entry import Entry
from benchmarks.networks.paper import FIXED_ANGLE, ON_SELECTING_SPLIT

MAMBA = (
    Entry(
        "ultralbm_unet",
        "UltraLBM-UNet",
        ultralbm_unet.UltraLBMUNet,
        venue="arXiv25",
        paper="UltraLBM-UNet: Ultralight Bidirectional Mamba-based Model for Skin Lesion Segmentation, arXiv 2512.21584",
        upstream="LinLinLin-X/UltraLBM-UNet 0a99c43",
        deviations=(FIXED_ANGLE, ON_SELECTING_SPLIT),
        official=official.ULTRALBM_UNET,
        foreign=False,
    ),
    Entry(
        "mambalite_unet",
        "MambaLiteUNet",
        mambalite_unet.MambaLiteUNet,
        venue="arXiv26",
        paper="MambaLiteUNet: Cross-Gated Adaptive Feature Fusion for Robust Skin Lesion Segmentation, arXiv 2604.20286",
        upstream="maklachur/MambaLiteUNet 09d6f25",
        deviations=(
            "Trained 400 epochs by the suite's recipe; the authors 300.",
            "Each image is stretched to [0, 255] by itself, as in the recipe; the authors divide all by 255 alone.",
            "A pixel is lesion in training by its share of the resized mask; the authors take every pixel above 0.",
        ),
        official=official.MAMBALITE_UNET,
        foreign=False,
    ),
)
"""UltraLBM-UNet and MambaLiteUNet, whose blocks are Mamba's."""

ENTRIES = (*MAMBA,)
BEYOND = {entry.name: entry for entry in ENTRIES}
