"""MK-UNet: SLDGroup/MK-UNet 126eb4a, three widths of one network. It ends in logits."""

from functools import partial

from baselines import mk_unet
from benchmarks.networks.official.contract import Official, logits, numbered

_RENAMES = (
    (r"^((?:en|de)coder\d)\.0\.", r"\1."),  # a Sequential of one, upstream
    (r"\.pconv1\.", ".expand."),
    (r"\.multi_scale_dwconv\.dwconvs\.", ".branches."),
    (r"\.pconv2\.", ".project."),
    (r"\.conv1x1\.", ".shortcut."),
    (r"\.W_g\.", ".features."),
    (r"\.W_x\.", ".skip."),
    (r"\.psi\.0\.", ".map.1."),
    (r"\.psi\.1\.", ".map.2."),
    (r"\.fc1\.", ".mlp.0."),
    (r"\.fc2\.", ".mlp.2."),
    (r"^SA\.conv\.", "spatial_attention."),
    *numbered("encoder{}", "encoder.{}", range(1, 6), range(5)),
    *numbered("decoder{}", "decoder.{}", range(1, 6), range(5)),
    *numbered("AG{}", "gates.{}", range(1, 5), range(4)),
    *numbered("CA{}", "channel_attention.{}", range(1, 6), range(5)),
    *numbered("out{}", "unused.{}", range(1, 4), range(3)),
    (r"^out4\.", "head."),
)


def _official(widths: tuple[int, ...]) -> Official:
    """dead: three side heads that the authors evaluate and throw away."""
    return Official(partial(mk_unet.MKUNet, widths=widths), _RENAMES, logits, dead=("unused.",))


MK_UNET_T, MK_UNET_S, MK_UNET = map(_official, (mk_unet.T, mk_unet.S, mk_unet.BASE))
