"""Who works on a cell: a claim is a file in its folder, which a process holds while it trains and stores the cell.

    <run folder>/claim.json    who holds the cell, and since when; its time of change is the holder's last sign of life

Claims work on local disks and on shared folders, NFS included: they need nothing but files that appear as a whole or
not at all (a hard link, or exclusive creation where there are none) and renaming. A claim ends when it is released,
when its process is known to be dead (on the same machine), or when it shows no sign of life for LIFETIME seconds, by
the clock of the file system. Locks of the operating system are not used: on a shared folder they are often silently
local. Libraries of such lock files (flufl.lock, filelock's soft locks) do not tell who holds them and since when.
"""

import os
import platform
import secrets
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import ClassVar

import psutil

from results import files
from results.cell import CLAIM, Cell
from results.document import Document, Number
from results.errors import Damaged

BEAT, LIFETIME = 15.0, 120.0  # seconds between signs of life, and without one until a claim is nobody's
SAME_START = 2.0  # seconds: how far two readings of when a process started may differ


class Claim(Document):
    """claim.json: the holder of a cell."""

    CURE: ClassVar[str] = "delete it when nobody works on this cell"

    format: int
    token: str
    """Of this claim and no other, drawn at random."""
    job: str
    """What the holder works for: a process, or all processes of one distributed run."""
    host: str
    """The machine's name, for people."""
    machine: str
    """Equal for processes that can see each other."""
    process: int
    """Its number on that machine."""
    started: Number
    """When the process started, seconds since 1970."""
    since: str
    """When the claim was made: ISO 8601, UTC, by the holder's clock."""

    @classmethod
    def new(cls, job: str) -> "Claim":
        """Of this process."""
        return cls(
            format=cls.FORMAT,
            token=secrets.token_hex(8),
            job=job,
            host=platform.node(),
            machine=_machine(),
            process=os.getpid(),
            started=psutil.Process().create_time(),
            since=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    @property
    def is_of_a_dead_process(self) -> bool:
        """Known only of processes that this one can see; of others False."""
        if self.machine != _machine():
            return False
        try:
            process = psutil.Process(self.process)
            gone = process.status() == psutil.STATUS_ZOMBIE
            return gone or abs(process.create_time() - self.started) > SAME_START
        except psutil.NoSuchProcess:
            return True
        except psutil.Error:  # it is there, and somebody else's
            return False

    def __str__(self) -> str:
        return f"process {self.process} on {self.host} since {self.since.replace('T', ' ').replace('+00:00', ' UTC')}"


@dataclass(frozen=True)
class Held:
    """A claim as it was found."""

    claim: Claim | None
    """None where the file cannot be read; then only its age counts."""
    beat: float
    """Last sign of life: seconds since 1970, by the clock of the file system."""

    @property
    def token(self) -> str | None:
        """Of the claim, where it can be read."""
        return None if self.claim is None else self.claim.token

    def is_over(self, now: float) -> bool:
        """Whether nobody holds the cell any more. now: as `beat`."""
        return now - self.beat > LIFETIME or (self.claim is not None and self.claim.is_of_a_dead_process)

    def __str__(self) -> str:
        return "a process that cannot be told" if self.claim is None else str(self.claim)


def found(cell: Cell, root: Path) -> Held | None:
    """Who holds a cell, or held it until he died; None where nobody does."""
    return at(cell.folder(root) / CLAIM)


def at(path: Path) -> Held | None:
    """The same of a claim's file.

    It is read before its time is: where another one takes its place between the two, the older one seems alive.
    """
    try:
        claim = Claim.read(path)
    except Damaged:
        claim = None
    try:
        return Held(claim, path.stat().st_mtime)
    except FileNotFoundError:
        return None


def clock(root: Path) -> float:
    """The time of the file system that holds the results: seconds since 1970, by which files are stamped."""
    with files.beside(root / "clock") as probe:
        probe.touch()
        return probe.stat().st_mtime


@cache
def _machine() -> str:
    """One boot of one machine, and one container on it: within it, process numbers mean the same."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return f"{platform.node()}/{uuid.getnode():x}"
