"""The loss that a recipe chooses by name, in the place that a network's objective has for it.

`bce_dice` leaves every network its own objective. Any other is a loss of segmentation-models-pytorch on logits and
masks; it takes the place of BCE + Dice in the plain objective and in deep supervision, there on the main and on the
side logits with the weights that they have. Objectives without such a place refuse it.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

from torch import Tensor

from benchmarks.objectives import losses
from benchmarks.objectives.losses import Loss, Objective
from results.errors import RequestError

OWN = "bce_dice"


def _of_library(name: str, **options: Any) -> Callable[[Any], Loss]:
    return lambda library: getattr(library, name)("binary", **options)


def _mcc(library: Any) -> Loss:
    """Of probabilities and, as Lovasz, of masks cut at a half: what the library's two losses are defined on."""
    loss = library.MCCLoss()
    return lambda logits, masks: loss(logits.sigmoid(), _cut(masks))


def _lovasz(library: Any) -> Loss:
    """The Lovasz hinge over all pixels of the batch: the library's numbers (its own function cannot run under vmap)."""

    def loss(logits: Tensor, masks: Tensor) -> Tensor:
        truth = _cut(masks).flatten()
        errors, order = (1 - logits.flatten() * (2 * truth - 1)).sort(descending=True)
        sorted_truth = truth.gather(0, order)
        intersection = sorted_truth.sum() - sorted_truth.cumsum(0)
        union = sorted_truth.sum() + (1 - sorted_truth).cumsum(0)
        jaccard = 1 - intersection / union
        return (errors.relu() * jaccard.diff(prepend=jaccard[:1] * 0)).sum()

    return loss


def _cut(masks: Tensor) -> Tensor:
    return (masks >= 0.5).to(masks.dtype)


LOSSES: dict[str, Callable[[Any], Loss]] = {
    "dice": _of_library("DiceLoss"),
    "focal": _of_library("FocalLoss", alpha=0.25, gamma=2.0),
    "focal_tversky": _of_library("TverskyLoss", alpha=0.3, beta=0.7, gamma=0.75),
    "jaccard": _of_library("JaccardLoss"),
    "lovasz": _lovasz,
    "mcc": _mcc,
    "soft_bce": lambda library: library.SoftBCEWithLogitsLoss(),
    "tversky": _of_library("TverskyLoss", alpha=0.3, beta=0.7),
}
"""Made of the library's module of losses. alpha weighs false positives, beta false negatives."""
PLACES = (losses.plain, losses.deep_supervision)
"""Objectives that have a place for another loss."""


@cache
def loss(name: str) -> Loss:
    """The loss of this name. Raises RequestError where its library is not installed."""
    try:
        from segmentation_models_pytorch import losses as library
    except ImportError:
        raise RequestError(
            f"the loss {name} needs segmentation-models-pytorch; install it with "
            "`pip install segmentation-models-pytorch`."
        ) from None
    return LOSSES[name](library)


def fault(objective: Objective, name: str) -> str:
    """Why a network with this objective cannot train by the loss; empty where it can."""
    if name == OWN or objective in PLACES:
        return ""
    why = "it trains by an objective of its own, which has no place for another loss"
    return f"{why}; train it under a recipe without loss = {name}"


def objective(own: Objective, name: str) -> Objective:
    """The objective with the loss of this name. Raises RequestError where there is no place for it, or no library."""
    if name == OWN:
        return own
    if why := fault(own, name):
        raise RequestError(f"The loss {name} does not fit this network: {why}.")
    return partial(own, loss=loss(name))  # type: ignore[call-arg]  # each of PLACES takes it
