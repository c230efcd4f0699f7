"""MALUNet: JCruan519/MALUNet e184b47. Its network ends in a sigmoid."""

from baselines.malunet import MALUNet
from benchmarks.networks.official.contract import Official, numbered

MALUNET = Official(
    MALUNet,
    (
        (r"^(encoder[123]|decoder[45])\.0\.", r"\1."),  # a Sequential of one, upstream
        (r"\.mda(\d)\.", r".dilated.\1."),
        (r"\.gau\.w1\.0\.", ".gau.gate."),
        (r"\.gau\.w2\.0\.", ".gau.value."),
        (r"\.gau\.wo\.0\.", ".gau.output."),
        (r"\.gau\.cw\.", ".gau.residual."),
        (r"\.gau\.(gate|value|output)\.conv1\.", r".gau.\1.depthwise."),
        (r"\.gau\.(gate|value|output)\.conv2\.", r".gau.\1.pointwise."),
        (r"\.conv\.", ".mix."),
        (r"\.norm_layer\.", ".norm."),
        (r"^scab\.catt\.get_all_att\.", "bridge.channel.local."),
        *numbered("scab.catt.att{}", "bridge.channel.gates.{}", range(1, 6), range(5)),
        (r"^scab\.satt\.shared_conv2d\.0\.", "bridge.spatial.conv."),
        *numbered("encoder{}", "encoders.{}", range(1, 6), range(5)),
        *numbered("ebn{}", "encoder_norms.{}", range(1, 6), range(5)),
        (r"^encoder6\.", "bottleneck."),
        *numbered("decoder{}", "decoders.{}", range(1, 6), range(5)),
        *numbered("dbn{}", "decoder_norms.{}", range(1, 6), range(5)),
    ),
)
