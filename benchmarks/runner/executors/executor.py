"""What the command line knows of an executor."""

from abc import ABC, abstractmethod
from types import TracebackType

import torch

from benchmarks.runner.local import Job, Outcome
from results.cell import Cell


class Executor(ABC):
    """Trains cells somewhere. Use as a context manager, open as long as the command runs."""

    device: torch.device
    """The kind of device that cells are trained on; set when it is open. It may be on another machine."""

    def __enter__(self) -> "Executor":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    @property
    def side_by_side(self) -> int:
        """Devices of this machine that train at once."""
        return 1

    @abstractmethod
    def execute(self, cells: list[Cell], job: Job) -> Outcome:
        """Train and score the cells of one data set and recipe, until all are done by whomever, failed or in error.

        Ctrl-C stops all workers; what is on disk can be continued. Raises RequestError where nothing can be trained.
        """
