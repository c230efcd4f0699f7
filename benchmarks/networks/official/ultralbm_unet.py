"""UltraLBM-UNet: LinLinLin-X/UltraLBM-UNet 0a99c43. Its network ends in a sigmoid."""

from baselines.ultralbm_unet import UltraLBMUNet
from benchmarks.networks.official.contract import Official, numbered

ULTRALBM_UNET = Official(
    UltraLBMUNet,
    (
        (r"^k$", "skip_scale"),
        *numbered("encoder{}.0", "encoder.{}", range(1, 6), range(5)),
        *numbered("ebn{}", "encoder_norms.{}", range(1, 6), range(5)),
        (r"^encoder6\.0\.", "bottleneck."),
        *numbered("decoder{}.0", "decoder.{}", range(1, 6), range(5)),
        *numbered("dbn{}", "decoder_norms.{}", range(1, 6), range(5)),
        (r"\.sep_conv1\.", ".convs.0."),
        (r"\.sep_conv2\.", ".convs.1."),
        (r"\.sep_conv3\.", ".convs.2."),
        (r"\.sep_conv\.", ".conv."),
        (r"\.dw\.", ".0."),
        (r"\.bn_dw\.", ".1."),
        (r"\.pw\.", ".3."),
        (r"\.bn_pw\.", ".4."),
        (r"^final\.", "head."),
    ),
    hidden_from_thop=(".mamba.in_proj", ".mamba.dt_proj"),  # their requirements lack the fused kernels
)
