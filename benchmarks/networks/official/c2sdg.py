"""C2SDG: ShishuaiHu/CCSDG a4fde09. Its checkpoint holds no projector, and its network ends in logits."""

from baselines.c2sdg import C2SDG as Network
from benchmarks.networks.official.contract import Official, logits, numbered

C2SDG = Official(
    Network,
    (
        (r"^first_layer\.", "stem."),
        (r"^rn\.0\.", "encoder.norm."),
        *numbered("rn.{}", "encoder.stages.{}", range(3, 7), range(4)),
        (r"\.downsample\.", ".shortcut."),
        *numbered("up{}.tr_conv", "decoder.{}.up", range(1, 5), range(4)),
        *numbered("up{}.x_conv", "decoder.{}.skip", range(1, 5), range(4)),
        *numbered("up{}.bn", "decoder.{}.norm", range(1, 5), range(4)),
        (r"^up5\.", "head."),
    ),
    logits,  # of images taken as they are
)
