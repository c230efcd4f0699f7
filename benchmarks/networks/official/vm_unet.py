"""VM-UNet: JCruan519/VM-UNet 43c495b, in its configuration for ISIC. Its network ends in a sigmoid."""

from baselines.vm_unet import VMUNet
from benchmarks.networks.official.contract import Official, numbered

VM_UNET = Official(
    VMUNet,
    (
        (r"^vmunet\.", ""),
        (r"\.ln_1\.", ".norm."),
        (r"\.self_attention\.", ".ss2d."),
        (r"^patch_embed\.", "downsample.0."),
        *numbered("layers.{}.downsample", "downsample.{}", range(3), range(1, 4)),
        *numbered("layers.{}.blocks", "encoder.{}", range(4), range(4)),
        *numbered("layers_up.{}.blocks", "decoder.{}", range(4), range(4)),
        *numbered("layers_up.{}.upsample", "upsample.{}", range(1, 4), range(3)),
        (r"^final_up\.", "final_expand."),
        (r"^final_conv\.", "head."),
    ),
)
