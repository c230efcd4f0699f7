"""TinyU-Net: ChenJunren-Lab/TinyU-Net 7314772. Its network ends in logits."""

import torch
from torch import Tensor

from baselines.tiny_unet import TinyUNet
from benchmarks.networks.official.contract import Official, logits, numbered


def two_classes(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """A head of one class (1, C, 1, 1) becomes the lesion's channel of two, beside a background of zeros."""
    head = {key: tensor for key, tensor in state_dict.items() if key.startswith("head.") and len(tensor) == 1}
    return state_dict | {key: torch.cat([torch.zeros_like(tensor), tensor]) for key, tensor in head.items()}


TINY_UNET = Official(
    TinyUNet,
    (
        *numbered("encoder{}.cmrf", "encoder.{}", range(1, 5), range(4)),
        *numbered("decoder{}.cmrf", "decoder.{}", range(1, 5), reversed(range(4))),
        (r"\.pwconv1\.", ".squeeze."),
        (r"\.pwconv2\.", ".merge."),
        (r"\.m\.", ".cascade."),
        (r"\.conv\.", ".0."),
        (r"\.bn\.", ".1."),
        (r"^final_conv\.", "head."),
    ),
    logits,
    adapted=two_classes,
)
