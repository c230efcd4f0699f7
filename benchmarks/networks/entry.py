"""What the suite knows of a network: how it is built, where it comes from, and what differs from there."""

from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING

from torch import Tensor, nn

from benchmarks.objectives import losses

if TYPE_CHECKING:
    from benchmarks.networks.plugins import Plugin


def multiples_of(step: int) -> Callable[[int], bool]:
    """The rule "H = W is a multiple of `step`"."""
    return lambda size: size % step == 0


@dataclass(frozen=True)
class Entry:
    """A network of the suite: how it is built, where it comes from, and what differs from there."""

    name: str
    label: str
    """As printed in the tables."""
    builder: Callable[[], nn.Module]
    """Builds the network that is scored, with fresh initial weights from torch's global generator."""
    venue: str = ""
    paper: str = ""
    upstream: str = ""
    """Repository and commit that the network was compared with, if any."""
    deviations: tuple[str, ...] = ()
    """What differs from the authors' code or training, one sentence each."""
    objective: losses.Objective = losses.plain
    training_builder: Callable[[int], nn.Module] | None = None
    """Builds the module that is trained at a given image size where that is more than the network that is scored."""
    preprocess: Callable[[Tensor], Tensor] | None = None
    """Applied to images (B, 3, H, W) in the recipe's range before the network, in training and in evaluation."""
    accepts: Callable[[int], bool] = field(default=multiples_of(32))
    """Whether the network takes square images of this size."""
    sizes: str = "multiples of 32"
    """`accepts` in words."""
    official: ModuleType | SimpleNamespace | None = None
    """Whose `convert_official` and `official_outputs` speak for this entry: its module, as a rule."""
    library: str = ""
    """Name and version of the library whose network this is, if it is one's."""
    plugin: "Plugin | None" = None
    """The user's files that it comes from; set by `load_plugin`."""

    @property
    def foreign(self) -> bool:
        """Whether this project's tests do not know the network."""
        from benchmarks.networks.paper import PAPER

        return PAPER.get(self.name) is not self
