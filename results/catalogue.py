"""The catalogue: every network of the suite by name, with its label, its venue, and what we had to interpret or add.

The one list of networks, readable without torch: the registry builds them in this order, the suites run them, and the
reports show them. What the paper printed of each stands in results/published/.
"""

from dataclasses import dataclass

from results.architectures import ARCHITECTURES

PAPER_VENUE = "BMVC25"
"""Of AULUNet, whose own rows are published without one."""

_WIDTHS = (
    "Our interpretation: the released code has no switch for it, and the widths are inferred from the published counts."
)
_POOLED = "Our second interpretation: the released widths and an LSG gate from pooled features."
_THREE = (
    "Our interpretation: the released code has two branches only; a softmax over three is inferred from the published "
    "counts."
)
_ALL_LESION = (
    "Every pixel is lesion, whatever its weights: the head ends in a ReLU, and no sigmoid of that falls below 0.5. "
    "It is kept for parity and counts and is in no suite: its IoU is the share of lesion pixels."
)
_ALONE = "Not in the paper: where AKF is absent, a depthwise 3x3 convolution and a PointConv stand in its place."


@dataclass(frozen=True)
class Network:
    """What is said of a network wherever it is shown."""

    name: str
    """One name everywhere: registry key, word of the command line, folder and CSV key."""
    label: str
    """In tables and figures."""
    venue: str = PAPER_VENUE
    interpretation: str = ""
    """Where the paper leaves the architecture open: what we take it to be, and why."""
    note: str = ""
    """What else a table must say of it."""
    own_loss: str = ""
    """What its training loss is where that is not the recipe's alone, so that it is on a scale of its own."""

    @property
    def architecture(self) -> str:
        """What it is made of, in words; empty where nothing is written."""
        return ARCHITECTURES.get(self.name) or ARCHITECTURES.get(self.name.split("_")[0], "")


NETWORKS = {
    network.name: network
    for network in (
        Network("unet", "U-Net", "MICCAI15"),
        Network("scr_net", "SCR-Net", "AAAI21"),
        Network("aswin_unet", "ASwin U-Net", "ISBI23"),
        Network("c2sdg", "C2SDG", "MICCAI23", own_loss="two views of each image and a contrast between them"),
        Network("unext_s", "UNeXt-S", "MICCAI22"),
        Network("malunet", "MALUNet", "BIBM22"),
        Network("ege_unet", "EGE-UNet", "MICCAI23", own_loss="five further maps, deeply supervised"),
        Network("vm_unet", "VM-UNet", "arXiv24"),
        Network("lightm_unet", "LightM-UNet", "ICIC24"),
        Network("lb_unet", "LB-UNet", "MICCAI24", own_loss="further maps and boundaries, deeply supervised"),
        Network("ulvm_unet", "ULVM-UNet", "arXiv24"),
        Network("aulunet_v1", "AULUNet-v1", interpretation=_WIDTHS),
        Network("aulunet_v2", "AULUNet-v2", interpretation=_WIDTHS),
        Network("aulunet_v3", "AULUNet-v3"),
        # Beyond Table 1: the other released file of LightM-UNet, second interpretations, then Tables 2 and 3.
        Network("lightm_unet_revised", "LightM-UNet (revised file)", "ICIC24"),
        Network("aulunet_v1_pooled", "AULUNet-v1 (second interpretation)", interpretation=_POOLED),
        Network("aulunet_v2_pooled", "AULUNet-v2 (second interpretation)", interpretation=_POOLED),
        Network("aulunet_m4", "M4 (AKF+RGF)"),
        Network("aulunet_m5", "M5 (AKF+LSG)"),
        Network("aulunet_akf", "AKF only", note="Not in the paper: AKF without RGF and LSG."),
        Network("aulunet_rgf", "RGF only", note=_ALONE),
        Network("aulunet_lsg", "LSG only", note=_ALONE),
        Network("aulunet_rgf_lsg", "RGF+LSG", note=_ALONE),
        Network("aulunet_d13", "d=1,d=3"),
        Network("aulunet_d24", "d=2,d=4"),
        Network("aulunet_d15", "d=1,d=5"),
        Network("aulunet_d17", "d=1,d=7"),
        Network("aulunet_d35", "d=3,d=5"),
        Network("aulunet_d123", "d=1,d=2,d=3", interpretation=_THREE),
        Network("aulunet_d135", "d=1,d=3,d=5", interpretation=_THREE),
        Network("aulunet_d157", "d=1,d=5,d=7", interpretation=_THREE),
        Network("aulunet_d357", "d=3,d=5,d=7", interpretation=_THREE),
        # Not in the paper: smaller rivals and later networks.
        Network("mk_unet_t", "MK-UNet-T", "ICCVW25"),
        Network("mk_unet_s", "MK-UNet-S", "ICCVW25"),
        Network("mk_unet", "MK-UNet", "ICCVW25"),
        Network("simple_unet", "SimpleUNet-16", "arXiv25"),
        Network("simple_unet_one_class", "SimpleUNet-16 (one class)", "arXiv25", note=_ALL_LESION),
        Network("tiny_unet", "TinyU-Net", "MICCAI24"),
        Network("ultralbm_unet", "UltraLBM-UNet", "arXiv25"),
        Network("mambalite_unet", "MambaLiteUNet", "arXiv26"),
    )
}

_NAMES = tuple(NETWORKS)
TABLE_1 = _NAMES[:14]
"""The rows of Table 1 in the paper's order."""
SECOND_INTERPRETATIONS = ("aulunet_v1_pooled", "aulunet_v2_pooled")
"""Added to Table 1 by us."""
TABLE_2 = ("aulunet_m4", "aulunet_m5", "aulunet_v1", "aulunet_v2", "aulunet_v3")
SINGLE_MODULES = ("aulunet_akf", "aulunet_rgf", "aulunet_lsg", "aulunet_rgf_lsg")
"""Added to Table 2 by us."""
BEYOND = _NAMES[_NAMES.index("mk_unet_t") :]
"""Networks that are not in the paper."""
NOT_TRAINED = ("simple_unet_one_class",)
"""In no suite; they are run where they are named."""
TABLE_3 = ("aulunet_v3", *_NAMES[_NAMES.index("aulunet_d13") : _NAMES.index(BEYOND[0])])
