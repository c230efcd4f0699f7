"""SimpleUNet: Frankyu5666666/SimpleUNet 43e3eb6, five stages of width 16. It ends in scores that are never below 0."""

from functools import partial

from baselines.simple_unet import SimpleUNet
from benchmarks.networks.official.contract import Official, logits, numbered

_RENAMES = (
    (r"\.single_conv\.", "."),
    (r"^((?:en|de|short)_layer\d|bottleneck)\.0\.(?=\d)", r"\1."),  # a Sequential of one, upstream
    *numbered("en_layer{}", "encoder.{}", range(5), range(5)),
    *numbered("short_layer{}", "skips.{}", range(4), range(4)),
    *numbered("de_layer{}", "decoder.{}.fuse", range(4), range(4)),
    (r"^alpha(\d)$", r"decoder.\1.skip_scale"),  # 0 is the deepest step
    (r"^beta(\d)$", r"decoder.\1.deep_scale"),
    (r"^seg_head\.", "head."),
)
SIMPLE_UNET = Official(SimpleUNet, _RENAMES, logits)  # of both classes' scores, the difference
SIMPLE_UNET_ONE_CLASS = Official(partial(SimpleUNet, classes=1), _RENAMES, logits)
