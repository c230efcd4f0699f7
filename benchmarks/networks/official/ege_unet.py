"""EGE-UNet: JCruan519/EGE-UNet f52ba30. Its network returns probabilities, the five auxiliary ones first."""

import torch.nn.functional as F
from torch import Tensor

from baselines.ege_unet import EGEUNet
from benchmarks.networks.official.contract import Official, inside, numbered

_PARTS = {
    "params_xy": "plane",
    "params_zx": "rows",
    "params_zy": "columns",
    "conv_xy.": "plane_gate.",
    "conv_zx.": "row_gate.",
    "conv_zy.": "column_gate.",
    "ldw.": "mix.",
    "dw.": "local.",
    "pre_project.": "project.",
    "tail_conv.": "mix.",
    **{f"g{n}.": f"groups.{n}." for n in range(4)},
}


def returned(network: EGEUNet, images: Tensor) -> list[Tensor]:
    """Probabilities (B, 1, H, W): the five auxiliary ones from the deepest on, then the main one."""
    main, auxiliary = network.logit_maps(images)
    size = images.shape[-2:]
    return [F.interpolate(low, size, mode="bilinear", align_corners=True).sigmoid() for low in (*auxiliary, main)]


EGE_UNET = Official(
    EGEUNet,
    (
        (r"^(encoder\d|decoder\d|gt_conv\d)\.0\.", r"\1."),  # a Sequential of one, upstream
        *inside(r"\w+", _PARTS),
        *numbered("encoder{}", "encoders.{}", range(1, 6), range(5)),
        *numbered("ebn{}", "encoder_norms.{}", range(1, 6), range(5)),
        (r"^encoder6\.", "bottleneck."),
        *numbered("decoder{}", "decoders.{}", range(1, 6), range(5)),
        *numbered("dbn{}", "decoder_norms.{}", range(1, 6), range(5)),
        *numbered("gt_conv{}", "heads.{}", range(1, 6), range(5)),
        *numbered("GAB{}", "bridges.{}", range(1, 6), reversed(range(5))),
    ),
    returned,
)
