"""LB-UNet: xuxuxuxuxuxjh/LB-UNet 936508e. Its network returns probabilities: regions, boundaries, the main one."""

import torch.nn.functional as F
from torch import Tensor

from baselines.lb_unet import LBUNet
from benchmarks.networks.official.contract import Official, inside, numbered

_ATTENTION = {
    **{f"share_space{n}": f"spaces.{n - 1}" for n in range(1, 5)},
    **{f"conv{n}.": f"gates.{n - 1}." for n in range(1, 5)},
    "ldw.": "mix.",
}


def returned(network: LBUNet, images: Tensor) -> list[Tensor]:
    """Probabilities (B, 1, H, W): five of the region and three of the boundary, each from the deepest on, then the
    main one. Boundaries are upsampled behind their sigmoid."""
    main, regions, boundaries = network.prediction_maps(images)
    return [
        *(_resized(low, images).sigmoid() for low in regions),
        *(_resized(low, images) for low in boundaries),
        _resized(main, images).sigmoid(),
    ]


def _resized(x: Tensor, images: Tensor) -> Tensor:
    return F.interpolate(x, images.shape[-2:], mode="bilinear", align_corners=True)


LB_UNET = Official(
    LBUNet,
    (
        (r"^(encoder[12456]|decoder\d|final)\.0\.", r"\1."),  # a Sequential of one, upstream
        *inside("encoder3", {"1.conv1.": "1.depthwise.", "1.conv2.": "1.expand.", "1.conv3.": "1.contract."}),
        *inside(r"encoder[456]|decoder\d", _ATTENTION),
        *inside(r"Down\d", {"bn.": "norm."}),
        *inside(r"pred\d", {"conv.": "region."}),
        *inside(r"gate\d", {"conv1.": "boundary.", "conv2.": "region."}),
        *numbered("encoder{}", "encoders.{}", range(1, 6), range(5)),
        *numbered("ebn{}", "encoder_norms.{}", range(1, 6), range(5)),
        *numbered("Down{}", "downs.{}", range(1, 4), range(3)),
        (r"^encoder6\.", "bottleneck."),
        *numbered("decoder{}", "decoders.{}", range(1, 6), range(5)),
        *numbered("dbn{}", "decoder_norms.{}", range(1, 6), range(5)),
        *numbered("pred{}", "predictions.{}", range(1, 3), range(2)),
        *numbered("gate{}", "predictions.{}", range(1, 4), range(2, 5)),
    ),
    returned,
)
