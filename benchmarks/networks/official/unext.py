"""UNeXt-S: jeya-maria-jose/UNeXt-pytorch 6ad0855, class `UNext_S`. Its network ends in logits."""

from baselines.unext import UNeXtS
from benchmarks.networks.official.contract import Official, logits, numbered

UNEXT_S = Official(
    UNeXtS,
    (
        (r"\.norm2\.", ".norm."),
        (r"\.dwconv\.dwconv\.", ".depthwise."),
        (r"\.proj\.", ".projection."),
        *numbered("encoder{}", "encoders.{}.conv", range(1, 4), range(3)),
        *numbered("ebn{}", "encoders.{}.norm", range(1, 4), range(3)),
        *numbered("patch_embed{}", "patch_embeddings.{}", (3, 4), (0, 1)),
        *numbered("block{}", "token_encoders.{}.blocks", (1, 2), (0, 1)),
        *numbered("norm{}", "token_encoders.{}.norm", (3, 4), (0, 1)),
        *numbered("dblock{}", "token_decoders.{}.blocks", (1, 2), (0, 1)),
        *numbered("dnorm{}", "token_decoders.{}.norm", (3, 4), (0, 1)),
        *numbered("decoder{}", "decoders.{}.conv", range(1, 5), range(4)),
        *numbered("dbn{}", "decoders.{}.norm", range(1, 5), range(4)),
        (r"^decoder5\.", "last_decoder."),
    ),
    logits,
)
