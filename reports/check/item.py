"""One thing that was checked."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Status(StrEnum):
    """How one check ended."""

    PASSED = "passed"
    DOCUMENTED = "documented"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True)
class Item:
    """One thing that was checked. `kind` groups items; `path` is the file that a person should open."""

    kind: str
    name: str
    status: Status
    message: str
    path: Path
