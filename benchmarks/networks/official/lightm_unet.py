"""LightM-UNet: MrBlankness/LightM-UNet, network files of 36411aa (first) and d2bed4a (revised); ends in logits."""

from functools import partial

from baselines.lightm_unet import LightMUNet
from baselines.mamba import Mamba
from benchmarks.networks.official.contract import Official, logits

_RENAMES = (
    (r"\.conv\.(weight|bias)$", r".\1"),  # every convolution of theirs sits in a wrapper
    (r"^convInit\.", "stem."),
    (r"^down_layers\.(\d+)\.(\d+)\.conv([12])\.", r"levels.\1.\2.layer\3."),
    (r"^down_layers\.", "levels."),
    (r"^up_layers\.", "up_levels."),
    (r"^conv_final\.0\.", "head_norm."),
    (r"^conv_final\.2\.", "head."),
)
LIGHTM_UNET = Official(LightMUNet, _RENAMES, logits, hidden_from_thop=(Mamba,))
LIGHTM_UNET_REVISED = Official(partial(LightMUNet, version="revised"), _RENAMES, logits, hidden_from_thop=(Mamba,))
