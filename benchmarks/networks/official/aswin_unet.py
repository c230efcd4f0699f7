"""ASwin U-Net: NITR098/AttSwinUNet 4b14f37, in its cross-contextual mode. Its network ends in logits."""

from baselines.aswin_unet import ASwinUNet
from benchmarks.networks.official.contract import Official, logits, numbered

ASWIN_UNET = Official(
    ASwinUNet,
    (
        (r"^patch_embed", "unused_patch_embed"),
        (r"^decoder\.norm\.", "unused_norm."),
        (r"^decoder\.norm_up", "norm"),
        (r"^decoder\.up\.", "final_expand."),
        (r"^decoder\.output", "head"),
        (r"^encoder\.layers\.(\d)\.blocks", r"encoder.stages.\1.blocks"),
        (r"^encoder\.layers\.(\d)\.downsample", r"encoder.merging.\1"),
        (r"^decoder\.layers_up\.0", "expand.0"),
        (r"^decoder\.layers_up\.(\d)\.upsample", r"expand.\1"),
        *numbered("decoder.layers_up.{}.blocks", "decoder.{}.stage.blocks", range(1, 4), range(3)),
        *numbered("decoder.concat_back_dim.{}", "decoder.{}.fuse", range(1, 4), range(3)),
        *numbered("decoder.Crossvit_layer.{}.layers", "decoder.{}.cross.layers", range(3), reversed(range(3))),
        (r"\.cross\.layers\.(\d)\.0\.fn", r".cross.decoder.\1"),
        (r"\.cross\.layers\.(\d)\.1\.fn", r".cross.skip.\1"),
        (r"\.fn\.to_", ".to_"),
        (r"\.to_out\.0", ".to_out"),
        (r"\.attn\.relative_position_bias_table", ".attention.bias_table"),
        (r"\.attn\.", ".attention."),
        (r"\.mlp\.fc1", ".mlp.0"),
        (r"\.mlp\.fc2", ".mlp.2"),
    ),
    logits,
    derived=(".relative_position_index", ".attn_mask"),
    dead=("unused_patch_embed.", "unused_norm."),  # built by mistake: an outer patch embedding and the decoder's norm
)
