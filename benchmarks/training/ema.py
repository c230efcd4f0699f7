"""An exponential moving average of the weights of R replicas: what is validated, selected and scored where it is on.

It starts at the initial weights and moves after every step: average = decay * average + (1 - decay) * weight. Only
parameters are averaged. Buffers, such as batch norm's running statistics, are averages of their own already, and stay
those of the weights that are trained.
"""

import torch
from torch import Tensor

Tensors = dict[str, Tensor]


def started(parameters: Tensors, decay: float) -> Tensors:
    """Averages (R, ...) by name, before the first step; none where the decay is 0."""
    return {name: tensor.detach().clone() for name, tensor in parameters.items()} if decay else {}


@torch.no_grad()
def move(averages: Tensors, parameters: Tensors, decay: float) -> None:
    """Move the averages towards the parameters, in place: after a step."""
    for name, average in averages.items():
        average.lerp_(parameters[name].detach(), 1 - decay)
