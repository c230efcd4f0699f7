"""The suite's objectives with their losses by kernels."""

from functools import partial

from benchmarks.objectives import losses
from benchmarks.objectives.losses import Objective
from benchmarks.training.kernels.boundary_loss import boundary_supervision
from benchmarks.training.kernels.loss import bce_dice

OBJECTIVES: dict[Objective, Objective] = {
    losses.plain: partial(losses.plain, loss=bce_dice),
    losses.deep_supervision: partial(losses.deep_supervision, loss=bce_dice),
    losses.boundary_supervision: boundary_supervision,
}


def by_kernels(objective: Objective) -> Objective:
    """The objective by kernels, or itself where there are none for it: the same mathematics."""
    return OBJECTIVES.get(objective, objective)
