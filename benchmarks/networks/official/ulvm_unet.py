"""ULVM-UNet: wurenkai/UltraLight-VM-UNet d7648e4. Its network ends in a sigmoid."""

from baselines.mamba import Mamba
from baselines.ulvm_unet import ULVMUNet
from benchmarks.networks.official.contract import Official, numbered

ULVM_UNET = Official(
    ULVMUNet,
    (
        *numbered("encoder{}.0", "encoder.{}", range(1, 6), range(5)),
        *numbered("ebn{}", "encoder_norms.{}", range(1, 6), range(5)),
        (r"^encoder6\.0\.", "bottleneck."),
        (r"^scab\.satt\.shared_conv2d\.0\.", "bridge.spatial.shared_conv."),
        (r"^scab\.catt\.get_all_att\.", "bridge.channel.mix."),
        *numbered("scab.catt.att{}", "bridge.channel.gates.{}", range(1, 6), range(5)),
        *numbered("decoder{}.0", "decoder.{}", range(1, 6), range(5)),
        *numbered("dbn{}", "decoder_norms.{}", range(1, 6), range(5)),
        (r"^final\.", "head."),
    ),
    hidden_from_thop=(Mamba,),
)
