"""The authors' networks: one key map per network, all under the contract of `Official` (contract.py)."""

from benchmarks.networks.official.aswin_unet import ASWIN_UNET
from benchmarks.networks.official.aulunet import AULUNET_V3
from benchmarks.networks.official.c2sdg import C2SDG
from benchmarks.networks.official.contract import Official
from benchmarks.networks.official.ege_unet import EGE_UNET
from benchmarks.networks.official.lb_unet import LB_UNET
from benchmarks.networks.official.lightm_unet import LIGHTM_UNET, LIGHTM_UNET_REVISED
from benchmarks.networks.official.malunet import MALUNET
from benchmarks.networks.official.mambalite_unet import MAMBALITE_UNET
from benchmarks.networks.official.mk_unet import MK_UNET, MK_UNET_S, MK_UNET_T
from benchmarks.networks.official.scr_net import SCR_NET
from benchmarks.networks.official.simple_unet import SIMPLE_UNET, SIMPLE_UNET_ONE_CLASS
from benchmarks.networks.official.tiny_unet import TINY_UNET
from benchmarks.networks.official.ultralbm_unet import ULTRALBM_UNET
from benchmarks.networks.official.ulvm_unet import ULVM_UNET
from benchmarks.networks.official.unext import UNEXT_S
from benchmarks.networks.official.vm_unet import VM_UNET

__all__ = [
    "ASWIN_UNET",
    "AULUNET_V3",
    "C2SDG",
    "EGE_UNET",
    "LB_UNET",
    "LIGHTM_UNET",
    "LIGHTM_UNET_REVISED",
    "MALUNET",
    "MAMBALITE_UNET",
    "MK_UNET",
    "MK_UNET_S",
    "MK_UNET_T",
    "SCR_NET",
    "SIMPLE_UNET",
    "SIMPLE_UNET_ONE_CLASS",
    "TINY_UNET",
    "ULTRALBM_UNET",
    "ULVM_UNET",
    "UNEXT_S",
    "VM_UNET",
    "Official",
]
