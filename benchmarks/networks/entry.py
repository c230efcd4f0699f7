"""What the suite knows of a network, as plain data: how it is built, where it comes from, and what differs from there.

An entry pickles. One that comes from a user's plugin pickles as the plugin's path, the hash of its files and the
network's name: where it is unpickled the plugin is loaded anew and its hash is checked.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from torch import Tensor, nn

from benchmarks.networks.official.contract import Official
from benchmarks.objectives import losses
from results.errors import RequestError

if TYPE_CHECKING:
    from benchmarks.networks.plugins import Plugin


class Sizes(ABC):
    """A rule for the sides of square images; `str` says it in words, as in "takes multiples of 32"."""

    @abstractmethod
    def __call__(self, size: int) -> bool:
        """Whether the network takes images of this size, px."""

    @abstractmethod
    def __str__(self) -> str: ...


@dataclass(frozen=True)
class MultiplesOf(Sizes):
    """Sides that `step` divides, px."""

    step: int

    def __call__(self, size: int) -> bool:
        return size % self.step == 0

    def __str__(self) -> str:
        return f"multiples of {self.step}"


@dataclass(frozen=True, init=False)
class OneOf(Sizes):
    """These sides, px, and all multiples of `multiples_of` where it is given."""

    sizes: tuple[int, ...]
    multiples_of: int

    def __init__(self, *sizes: int, multiples_of: int = 0) -> None:
        object.__setattr__(self, "sizes", sizes)
        object.__setattr__(self, "multiples_of", multiples_of)

    def __call__(self, size: int) -> bool:
        return size in self.sizes or (self.multiples_of > 0 and size % self.multiples_of == 0)

    def __str__(self) -> str:
        words = [str(size) for size in self.sizes]
        if self.multiples_of:
            words.append(str(MultiplesOf(self.multiples_of)))
        *front, last = words
        return f"{', '.join(front)} and {last}" if front else f"{last} px only"


@dataclass(frozen=True)
class ResampledTo(Sizes):
    """Any side: images are resampled to this one, px, and logits back."""

    size: int

    def __call__(self, size: int) -> bool:
        return True

    def __str__(self) -> str:
        return f"any, resampled to {self.size} px"


def _is_name(name: Any) -> bool:
    """Whether it can be a word of the command line and, percent-encoded, a folder."""
    plain = isinstance(name, str) and name.isprintable() and name == name.strip()
    return plain and name[:1] not in ("", ".", "-") and len(quote(name, safe="")) <= 200


@dataclass(frozen=True)
class Entry:
    """A network of the suite. Its functions are importable by name, or `functools.partial` of such, so that it pickles.

    In a plugin they may be anything. Raises RequestError where `accepts` is not one of the rules of this file, or where
    the name cannot be a folder's, the builder cannot be called, or the deviations are one text.
    """

    name: str
    """Key of the registry, word of the command line, folder and CSV key."""
    label: str
    """As shown in the tables."""
    builder: Callable[[], nn.Module]
    """Builds the network that is scored, with fresh initial weights from the global generators."""
    venue: str = ""
    paper: str = ""
    upstream: str = ""
    """Repository and commit that the network was compared with, if any."""
    interpretation: str = ""
    """Where the paper leaves the architecture open: what we take it to be, and why. One sentence."""
    deviations: tuple[str, ...] = ()
    """What differs from the authors' code or training, one sentence each; recorded with every run."""
    objective: losses.Objective = losses.plain
    training_builder: Callable[[int], nn.Module] | None = None
    """Builds the module that is trained at a given image size where that is more than the network that is scored."""
    preprocess: Callable[[Tensor], Tensor] | None = None
    """Applied to images (B, 3, H, W) in the recipe's range before the network, in training and in evaluation."""
    accepts: Sizes = MultiplesOf(32)
    """Whether the network takes square images of a given size."""
    fixed_size: int = 0
    """The only side that the network takes, px, where the suite shall resample images for it and its logits back
    (`benchmarks/networks/resampling.py`); it then takes part at every size, and says so among its deviations. 0: no."""
    official: Official | None = None
    """The authors' network, where they released one for this build."""
    library: str = ""
    """Name and version of the library whose network this is, if it is one's."""
    foreign: bool = True
    """Whether this project's tests do not know the network, so that it is tried before it trains."""
    plugin: "Plugin | None" = None
    """The user's files that it comes from; set when they are loaded."""

    def __post_init__(self) -> None:
        if not _is_name(self.name):
            raise RequestError(
                f"the name {self.name!r} of a network cannot be a folder's; give it letters and digits, not a dot or a "
                "dash first, and no more than fit into 200 bytes"
            )
        if not callable(self.builder):
            raise RequestError(
                f"the builder of {self.name!r} is {self.builder!r}; give a function that builds the network"
            )
        if isinstance(self.deviations, str):
            raise RequestError(f"deviations of {self.name!r} is one text; give a tuple of sentences")
        if not isinstance(self.accepts, Sizes):
            raise RequestError(
                f"accepts of {self.name!r} is not a rule for sizes; give it MultiplesOf(32), OneOf(224) or another "
                "benchmarks.networks.entry.Sizes."
            )

        if type(self.fixed_size) is not int or self.fixed_size < 0:
            raise RequestError(
                f"fixed_size of {self.name!r} is {self.fixed_size!r}; give a side in pixels, such as 224"
            )
        if self.fixed_size:
            said = f"Works at {self.fixed_size} px: images are resampled to it (bilinear, antialiased), logits back."
            object.__setattr__(self, "accepts", ResampledTo(self.fixed_size))
            object.__setattr__(self, "deviations", tuple(dict.fromkeys((*self.deviations, said))))

    @property
    def sizes(self) -> str:
        """`accepts` in words."""
        return str(self.accepts)

    def __reduce_ex__(self, protocol: Any) -> str | tuple[Any, ...]:
        return super().__reduce_ex__(protocol) if self.plugin is None else (self.plugin.entry, (self.name,))
