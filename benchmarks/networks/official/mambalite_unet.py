"""MambaLiteUNet: maklachur/MambaLiteUNet 09d6f25. Its network ends in a sigmoid.

Its repository has checkpoints for ISIC2017 and ISIC2018. They are read where a user has them; none is shipped, because
no licence covers them.
"""

from baselines.mamba import Mamba
from baselines.mambalite_unet import MambaLiteUNet, SelfAttention
from benchmarks.networks.official.contract import Official, numbered

_FUSIONS = ("encoder.3", "encoder.4", "bottleneck", "decoder.0", "decoder.1", "decoder.2")

MAMBALITE_UNET = Official(
    MambaLiteUNet,
    (
        (r"^(encoder[123])\.0\.", r"\1."),  # a Sequential of one, upstream
        *numbered("encoder{}", "encoder.{}", range(1, 6), range(5)),
        *numbered("ebn{}", "encoder_norms.{}", range(1, 6), range(5)),
        (r"^encoder6\.", "bottleneck."),
        *numbered("decoder{}", "decoder.{}", range(1, 6), range(5)),
        *numbered("dbn{}", "decoder_norms.{}", range(1, 6), range(5)),
        *numbered("attention{}", "gates.{}", (5, 4, 3, 2), range(4)),
        (r"\.mamba_layers\.(\d)\.mamba\.", r".mambas.\1."),
        (r"\.conv_q_dw\.", ".gate.0."),
        (r"\.conv_q_pw\.", ".gate.1."),
        (r"\.conv_r_dw\.", ".refine.0."),
        (r"\.conv_r_pw\.", ".refine.1."),
        (r"\.dw_conv_final_dw\.", ".merge.0."),
        (r"\.dw_conv_final_pw\.", ".merge.1."),
        (r"\.local_global_mixing\.", ".mixing."),
        (r"\.local_conv\.", ".local."),
        (r"\.global_attn\.", ".attention."),
        (r"\.fc\.", ".merge."),
        (r"\.dwconv\.dwconv\.", ".conv."),
        (r"\.dwconv\.weight$", ".unused_scale"),
        (r"\.dwconv\.bias$", ".unused_shift"),
        (r"\.mamba_g\.(\d)\.mamba\.", r".branches.\1.mamba_decoder."),
        (r"\.mamba_x\.(\d)\.mamba\.", r".branches.\1.mamba_skip."),
        (r"\.conv_g_dw\.(\d)\.", r".branches.\1.gate_decoder."),
        (r"\.conv_x_dw\.(\d)\.", r".branches.\1.gate_skip."),
        (r"\.branch_proj\.(\d)\.", r".branches.\1.project."),
        (r"^final\.", "head."),
    ),
    dead=tuple(f"{fusion}.mixing.unused_" for fusion in _FUSIONS),
    hidden_from_thop=(Mamba, SelfAttention),  # a fused kernel, and what thop has no rule for
)
