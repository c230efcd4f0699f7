"""What computes a training step: torch alone, or the CPU kernels, which numba compiles.

Both are the same mathematics and round differently. So the engine belongs to the record of a run, with the versions of
the compiler: it is chosen when the run begins and stays the same until the run is finished. Runs stored before there
were kernels name no engine; they are torch's.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from threading import Lock
from typing import Any

import torch

from benchmarks.protocol.recipe import Recipe
from benchmarks.training import kernels
from results.errors import RequestError

COMPILING = "Compiling the CPU kernels, about half a minute, once."


@dataclass(frozen=True)
class Engine:
    """An engine by name, "torch" or "kernels"; the kernels with their compiler and a hash of their files."""

    name: str = "torch"
    numba: str | None = None
    llvmlite: str | None = None
    source: str | None = None
    """Of the kernels' files, as a hash; None in runs from before it was recorded."""

    @classmethod
    def of_record(cls, record: dict | None) -> "Engine":
        """As `record` wrote it; torch where nothing was written. Raises ValueError for anything else."""
        try:
            engine = cls(**({} if record is None else record))
        except TypeError:
            engine = None
        if engine is None or engine.name not in ("torch", "kernels"):
            raise ValueError(f"there is no engine {record!r}")
        return engine

    def record(self) -> dict[str, str]:
        """For config.json and report.json."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @property
    def kernels(self) -> bool:
        return self.name == "kernels"

    def __str__(self) -> str:
        return f"CPU kernels (numba {self.numba}, llvmlite {self.llvmlite})" if self.kernels else self.name


TORCH = Engine()


def installed() -> Engine | None:
    """The kernels as they would be compiled here; None where numba is absent or does not work."""
    numba = kernels.version()
    return None if numba is None else Engine("kernels", numba, metadata.version("llvmlite"), kernels.source())


def of_new_runs(device: torch.device, recipe: Recipe, *, allowed: bool = True) -> Engine:
    """The kernels on a CPU in float32, where they are allowed and numba is installed; otherwise torch."""
    suitable = allowed and device.type == "cpu" and recipe.precision == "fp32"
    return (installed() if suitable else None) or TORCH


def announcement(chosen: Engine, device: torch.device, recipe: Recipe, *, asked: bool) -> str:
    """What new runs are begun with, in a sentence, and how they would be faster. asked: whether kernels are wanted."""
    begun = f"Runs are begun with {chosen}"
    if not chosen.kernels and asked and device.type == "cpu" and recipe.precision == "fp32":
        return f'{begun}: numba is not installed. pip install -e ".[cpu]" makes light networks several times faster.'
    return f"{begun}."


def require(engine: Engine, device: torch.device, config: Path) -> None:
    """Raises RequestError where a run that was begun with this engine cannot go on to the same numbers here.

    config: the file that records it, to be named in the sentence.
    """
    if not engine.kernels:
        return
    if device.type != "cpu":
        raise RequestError(
            f"{config} was begun with CPU kernels, and another device rounds differently; go on with --device cpu, or "
            "move its folder away to start over."
        )
    here = installed()
    if here == engine:
        return
    if here is not None and (here.numba, here.llvmlite) == (engine.numba, engine.llvmlite):
        raise RequestError(
            f"{config} was begun with the CPU kernels of another version of this code, which may round differently; go "
            "on with the commit that the file names under code, or move its folder away to start over."
        )
    found = "numba is not installed" if here is None else f"numba {here.numba} with llvmlite {here.llvmlite} is"
    raise RequestError(
        f"{config} was begun with the CPU kernels of numba {engine.numba} and llvmlite {engine.llvmlite}, but {found} "
        f"here, which may round differently; pip install numba=={engine.numba} llvmlite=={engine.llvmlite}, or move "
        "its folder away to start over."
    )


@contextmanager
def announcing(say: Callable[[str], Any]) -> Iterator[None]:
    """Say `COMPILING` when a first kernel is compiled inside. What the cache of kernels holds is not compiled."""
    if installed() is None:
        yield
        return
    from numba.core.event import Event, Listener, install_listener

    class Once(Listener):
        """Speaks once, whichever thread compiles first."""

        said = Lock()

        def on_start(self, event: Event) -> None:
            if self.said.acquire(blocking=False):
                say(COMPILING)

        def on_end(self, event: Event) -> None:
            pass

    with install_listener("numba:compile", Once()):
        yield
