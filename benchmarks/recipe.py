"""Every training setting, with its unit and where it comes from. A changed setting is another recipe by name."""

import math
from dataclasses import dataclass, fields, replace
from typing import Any

from results.errors import RequestError

AUTHORS = "authors' released configuration (maklachur/AULUNet b82dc9a)"


@dataclass(frozen=True)
class Recipe:
    """Settings of one training. Defaults are the `paper` recipe: the authors' released configuration, unless said."""

    base: str = "paper"
    """Name of the recipe that these settings started from."""
    size: int = 256
    """Side of the square images, pixels."""
    batch: int = 8
    """Images a step. A last batch of one image is left out: batch norm over 1x1 maps has no statistics of it."""
    epochs: int = 400
    """Passes over the training split."""
    lr: float = 1e-3
    """Initial and highest learning rate of AdamW."""
    beta1: float = 0.9
    """Decay of AdamW's first moment, a step."""
    beta2: float = 0.999
    """Decay of AdamW's second moment, a step."""
    eps: float = 1e-8
    """AdamW's denominator offset; PyTorch's default."""
    weight_decay: float = 1e-2
    """AdamW's decoupled decay, on every parameter that receives a gradient."""
    t_max: int = 50
    """Half period of the cosine schedule, epochs. It oscillates: 400 epochs are four periods, ending at the peak."""
    eta_min: float = 1e-5
    """Lowest learning rate of the cosine schedule."""
    augment: bool = True
    """Quarter turns with flips (p 0.5), then a rotation by 20-79 degrees (p 0.5)."""
    precision: str = "fp32"
    """ "fp32" with TF32 off; or "bf16": the network under bfloat16 autocast, with weights, loss and AdamW in fp32."""
    split: str = "paper"
    """Rule that cuts train, validation and test: "paper" (order by SHA-256 of the id) or "sorted" (order by id)."""

    def __post_init__(self) -> None:
        for name in ("size", "batch", "epochs", "t_max"):
            if getattr(self, name) < 1:
                raise RequestError(f"--{name} is {getattr(self, name)}; give a whole number of at least 1.")
        if self.batch == 1:
            raise RequestError("--batch is 1; give at least 2, because batch norm has no statistics of one image.")
        if self.precision not in ("fp32", "bf16"):
            raise RequestError(f'The precision of a recipe is {self.precision!r}; give "fp32" or "bf16".')
        if self.split not in ("paper", "sorted"):
            raise RequestError(f'--split is {self.split!r}; give "paper" or "sorted".')

    @property
    def name(self) -> str:
        """ "paper", or "paper+epochs=30,size=128" where settings differ from the recipe of that name."""
        start = RECIPES[self.base]
        changed = [field.name for field in fields(self) if getattr(self, field.name) != getattr(start, field.name)]
        if not changed:
            return self.base
        return self.base + "+" + ",".join(f"{name}={getattr(self, name)}" for name in sorted(changed))

    def changed(self, **settings: object) -> "Recipe":
        """This recipe with the settings that are not None replaced."""
        given: dict[str, Any] = {name: value for name, value in settings.items() if value is not None}
        return replace(self, **given)

    def lr_at(self, epoch: int) -> float:
        """Learning rate of epoch 1, 2, ...: `CosineAnnealingLR` in closed form, oscillating beyond t_max."""
        return self.eta_min + (self.lr - self.eta_min) * (1 + math.cos(math.pi * (epoch - 1) / self.t_max)) / 2


RECIPES = {
    "paper": Recipe(),
    # The same, with the network's arithmetic in half the bytes: faster on a GPU, and another experiment.
    "paper-bf16": Recipe(base="paper-bf16", precision="bf16"),
    # Two CPU cores and a few minutes: shows that everything runs, and reproduces nothing.
    "quick": Recipe(base="quick", size=64, epochs=16, lr=3e-3, t_max=16),
    # Real data within two hours of two CPU cores for six light networks: small pictures, one cosine half period.
    "small": Recipe(base="small", size=96, epochs=15, t_max=15),
}


def named(name: str) -> Recipe:
    """Raises RequestError for an unknown name."""
    if name not in RECIPES:
        raise RequestError(f"There is no recipe {name!r}; --recipe takes one of: {', '.join(RECIPES)}.")
    return RECIPES[name]
