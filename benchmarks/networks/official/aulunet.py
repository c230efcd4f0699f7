"""AULUNet-v3: the checkpoint of maklachur/AULUNet b82dc9a, 209 entries. Its network ends in a sigmoid."""

from benchmarks.networks.official.contract import Official, inside, numbered
from models.aulunet import AULUNet

_AKF = {"dw_local": "branches.0", "dw_dilated": "branches.1", "gate_conv": "gate", "fuse_conv": "fuse"}

AULUNET_V3 = Official(
    AULUNet,
    (
        *inside(r"\w+_akfb", _AKF),
        *inside(r"up\d", {"proj.": ""}),
        (r"^enc0_conv\.", "stem."),
        (r"^enc0_akfb\.", "stem_akf."),
        *numbered("enc{}_akfb", "encoder_akf.{}", range(1, 6), range(5)),
        *numbered("enc{}_proj", "encoder_proj.{}", range(1, 6), range(5)),
        (r"^bottleneck_rgfb\.", "bottleneck."),
        *numbered("up{}", "decoder_proj.{}", range(5), reversed(range(5))),
        *numbered("skip{}", "decoder_skip.{}", range(5), reversed(range(5))),
        *numbered("dec{}_akfb", "decoder_akf.{}", range(5), reversed(range(5))),
        (r"^head\.0\.", "head."),
    ),
)
