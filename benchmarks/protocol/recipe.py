"""Every training setting, with its unit and where it comes from. A changed setting is another recipe by name."""

import math
import sys
from dataclasses import dataclass, fields, replace
from typing import Any

from benchmarks.datasets import splits
from benchmarks.datasets.loading import LARGEST_SIZE, SMALLEST_SIZE
from benchmarks.protocol import schedules
from results.errors import RequestError, unknown

AUTHORS = "authors' released configuration (maklachur/AULUNet b82dc9a)"
OPTIONS = ("size", "batch", "epochs", "split")  # the settings with an option of their own on the command line
MOST = 1_000_000  # epochs: a bound that only a slip of the finger meets
LARGEST_BATCH = 4096  # images, more than any data set here has for training
FINITE = sys.float_info.max

KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a word"}
BOUNDS: dict[str, tuple[float, float, bool, str]] = {  # lowest, highest, whether the lowest itself will do, in words
    "size": (SMALLEST_SIZE, LARGEST_SIZE, True, f"from {SMALLEST_SIZE} to {LARGEST_SIZE} pixels"),
    "batch": (2, LARGEST_BATCH, True, f"from 2 (batch norm has no statistics of one image) to {LARGEST_BATCH}"),
    "epochs": (1, MOST, True, f"from 1 to {MOST}"),
    "t_max": (1, MOST, True, f"from 1 to {MOST} epochs"),
    "lr": (0, FINITE, False, "above 0 and finite"),
    "eta_min": (0, FINITE, True, "from 0 to lr"),
    "beta1": (0, math.nextafter(1, 0), True, "from 0 to below 1"),
    "beta2": (0, math.nextafter(1, 0), True, "from 0 to below 1"),
    "eps": (0, FINITE, False, "above 0 and finite"),
    "weight_decay": (0, FINITE, True, "of at least 0 and finite"),
    "warm_up": (0, MOST, True, f"from 0 to {MOST} epochs"),
    "patience": (0, MOST, True, f"from 0 (never) to {MOST} epochs"),
    "ema": (0, math.nextafter(1, 0), True, "from 0 (off) to below 1"),
}
WORDS = {
    "precision": ("fp32", "bf16"),
    "loss": ("bce_dice", "dice", "focal", "focal_tversky", "jaccard", "lovasz", "mcc", "soft_bce", "tversky"),
    "augmentation": ("paper", "colour_flips"),
    "schedule": tuple(schedules.SCHEDULES),
}


class WrongSetting(RequestError):
    """A setting that no training can have; `name` is its field, `fault` the rest of the sentence."""

    def __init__(self, name: str, fault: str, option: str | None = None) -> None:
        shown = option or (f"--{name}" if name in OPTIONS else f"--set {name}")
        super().__init__(f"{shown} {fault}")
        self.name, self.fault = name, fault


def _wanted(name: str) -> str:
    """What the field takes, in words: "a whole number from 1 to 1000000"."""
    if name in WORDS:
        return " or ".join(f'"{word}"' for word in WORDS[name])
    kind = next((field.type for field in fields(Recipe) if field.name == name), str)
    return " ".join([KINDS[kind], BOUNDS[name][3]] if name in BOUNDS else [KINDS[kind]])  # type: ignore[index]


def _check_value(name: str, value: Any) -> None:
    """Raises WrongSetting where a value of the right type lies out of its bounds."""
    if name == "split" and (wanted := splits.fault_of(value)):
        raise WrongSetting(name, f"is {value!r}; give {wanted}.")
    if name in WORDS and value not in WORDS[name]:
        raise WrongSetting(name, f"is {value!r}; give {_wanted(name)}.")
    if name in BOUNDS:
        lowest, highest, closed, _ = BOUNDS[name]
        if not lowest <= value <= highest or (value == lowest and not closed):
            raise WrongSetting(name, f"is {value!r}; give {_wanted(name)}.")


@dataclass(frozen=True)
class Recipe:
    """Settings of one training. Defaults are the `paper` recipe: the authors' released configuration, unless said."""

    base: str = "paper"
    """Name of the recipe that these settings started from."""
    size: int = 256
    """Side of the square images, pixels."""
    batch: int = 8
    """Images per step. A last batch of one image is left out: batch norm over 1x1 maps has no statistics of it."""
    epochs: int = 400
    """Passes over the training split."""
    lr: float = 1e-3
    """Initial and highest learning rate of AdamW."""
    beta1: float = 0.9
    """Decay of AdamW's first moment, per step."""
    beta2: float = 0.999
    """Decay of AdamW's second moment, per step."""
    eps: float = 1e-8
    """AdamW's denominator offset; PyTorch's default."""
    weight_decay: float = 1e-2
    """AdamW's decoupled decay, on every parameter that receives a gradient."""
    t_max: int = 50
    """Half period of the cosine schedule, epochs. It oscillates: 400 epochs are four periods, ending at the peak."""
    eta_min: float = 1e-5
    """Lowest learning rate of the cosine schedule."""
    augment: bool = True
    """rot90 with a flip (p 0.5), then a rotation by 20-79 degrees (p 0.5)."""
    precision: str = "fp32"
    """ "fp32" with TF32 off; or "bf16": the network under bfloat16 autocast, with weights, loss and AdamW in fp32."""
    split: str = "paper"
    """Rule that cuts train, validation and test: "paper" (by SHA-256 of the id), "sorted" (by id), "official",
    "seven_three", "fold-K-of-N", or the name of a frozen file; see `benchmarks.datasets.splits`."""

    loss: str = "bce_dice"
    """What is minimised. "bce_dice": BCE + Dice, or the network's own objective where it has one. Others by name, see
    `benchmarks.objectives.chosen`. Validation takes BCE + Dice for every network and recipe."""
    augmentation: str = "paper"
    """Which augmentation, where `augment` is true: "paper", or "colour_flips": a flip along a random axis (p 0.5), then
    brightness, contrast and saturation each times a factor uniform in [0.8, 1.2)."""
    schedule: str = "cosine"
    """How the learning rate falls: "cosine" oscillates, "cosine_once" falls over all epochs, "poly" with power 0.9,
    "step" to a tenth every t_max epochs, "constant"."""
    warm_up: int = 0
    """Epochs in which the learning rate first rises linearly, before the schedule begins."""
    patience: int = 0
    """Epochs without a lower validation loss after which a seed stops; 0: never."""
    ema: float = 0.0
    """Decay of a moving average of the weights, per step; it is what is validated and scored. 0: off."""

    def __post_init__(self) -> None:
        """Raises WrongSetting for a value of another type or out of its bounds."""
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type is float and isinstance(value, int | float) and not isinstance(value, bool):
                value = float(value) + 0.0  # one name per value: 1 is 1.0, -0.0 is 0.0
                object.__setattr__(self, field.name, value)
            if type(value) is not field.type:
                raise WrongSetting(field.name, f"is {value!r}; give {_wanted(field.name)}.")
            _check_value(field.name, value)
        if self.eta_min > self.lr:
            fault = f"is {self.lr!r}, below eta_min, which is {self.eta_min!r}; give --set eta_min too, from 0 to lr."
            raise WrongSetting("lr", fault)
        if self.warm_up >= self.epochs:
            fault = f"is {self.warm_up}, and there are {self.epochs} epochs; give fewer than those."
            raise WrongSetting("warm_up", fault)
        if self.augmentation != "paper" and not self.augment:
            fault = f'is "{self.augmentation}" while augment is false; leave one of them out.'
            raise WrongSetting("augmentation", fault)

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
        """Learning rate of epoch 1, 2, ..., in closed form."""
        rates = schedules.Rates(self.lr, self.eta_min, self.t_max)
        return schedules.rate(self.schedule, rates, epoch, self.epochs, self.warm_up)


RECIPES = {
    "paper": Recipe(),
    # The same, with the network's arithmetic in half the bytes: faster on a GPU, and another experiment.
    "paper-bf16": Recipe(base="paper-bf16", precision="bf16"),
    # Two CPU cores and a few minutes: shows that everything runs, and reproduces nothing.
    "quick": Recipe(base="quick", size=64, epochs=16, lr=3e-3, t_max=16),
    # For breadth: the paper's settings at half its side, over the first of its cosine descents.
    "half": Recipe(base="half", size=128, epochs=50),
    # Real data within two hours of two CPU cores for six light networks: small pictures, one cosine half period.
    "small": Recipe(base="small", size=96, epochs=15, t_max=15),
}


def named(name: str) -> Recipe:
    """Raises RequestError for an unknown name."""
    if name not in RECIPES:
        raise unknown("recipe", name, RECIPES, "--recipe takes one of: {names}")
    return RECIPES[name]
