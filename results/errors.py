"""The exceptions that are meant for people: one sentence that names the file or option and the cure.

A file that a command was asked to use, or must go on from, raises: the command ends with that sentence and exit code 2.
A file that is only found, while a whole results folder is read, must not take the rest with it: its sentence is kept as
a `Problem`, is shown by `report`, and fails `check`.
"""

import difflib
import errno
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


class RequestError(Exception):
    """The request or the data is wrong: one sentence that names the file or option and the cure. Exit code 2."""


class Damaged(RequestError):
    """A file that cannot be used. `message`: what is wrong with it, naming the field; `cure`: what to do about it."""

    def __init__(self, path: Path, message: str, cure: str) -> None:
        message = _one_line(message)
        super().__init__(f"{path}: {message}; {cure}.")
        self.path, self.message, self.cure = path, message, cure

    @property
    def problem(self) -> "Problem":
        """The same for a list of what could not be used."""
        return Problem(self.path, self.message, self.cure)

    def __reduce__(self) -> tuple:
        return type(self), (self.path, self.message, self.cure)


CURES = {
    errno.ENOSPC: "make room there",
    errno.EDQUOT: "make room there, or ask for a larger quota",
    errno.EFBIG: "use a file system that takes larger files",
    errno.EROFS: "make it writable, or name another place",
    errno.EACCES: "get the right to write there, or name another place",
    errno.EPERM: "get the right to write there, or name another place",
    errno.ENOTDIR: "a file lies where a folder is needed: move it away, or name another place",
    errno.EEXIST: "a file or a dead link lies where a folder is needed: move it away, or name another place",
    errno.EISDIR: "a folder lies where a file is needed: move it away, or name another place",
    errno.ENOTEMPTY: "a folder lies where a file is needed: move it away, or name another place",
    errno.ENAMETOOLONG: "name a shorter one",
    errno.ELOOP: "mend the links on the way there, or name another place",
    errno.EIO: "the device reports an error: look after it, or name another place",
    errno.EMFILE: "allow this process more open files (ulimit -n)",
    errno.ENFILE: "close some programs: the system has too many open files",
    errno.ESTALE: "mount the shared folder again",
}
LONGEST_MESSAGE = 400
OTHERWISE = "mend this place, or name another one"
_OS_ERROR = re.compile(r"\(os error (\d+)\)")  # as libraries written in Rust tell it, safetensors among them


class Unwritable(RequestError):
    """A file that cannot be written: where, why, and the cure. Nothing of it is left; what was there before stays."""

    def __init__(self, path: Path, reason: str, cure: str) -> None:
        super().__init__(f"{path} cannot be written ({reason}); {cure}, then give the same command again.")
        self.path, self.reason, self.cure = path, reason, cure

    @classmethod
    def of(cls, path: Path, error: Exception) -> "Unwritable | None":
        """The same for what the system, or a library, said while `path` was written; None for a fault of ours."""
        number = number_of(error)
        if number is None and not isinstance(error, OSError):
            return None
        reason = str(error) or "no reason given" if number is None else os.strerror(number)
        return cls(path, reason, CURES.get(number or 0, OTHERWISE))

    def __reduce__(self) -> tuple:
        return type(self), (self.path, self.reason, self.cure)


def number_of(error: Exception) -> int | None:
    """The system's number of what went wrong, which some libraries only have in their sentence; None: there is none."""
    told = error.errno if isinstance(error, OSError) else None
    found = _OS_ERROR.search(str(error)) if told is None else None
    return int(found[1]) if found else told


@dataclass(frozen=True)
class Problem:
    """Something in the results folder that cannot be used: where, what, and the cure."""

    path: Path
    message: str
    cure: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", _one_line(self.message))

    def __str__(self) -> str:
        return f"{self.path}: {self.message}; {self.cure}."


def _one_line(message: str) -> str:
    """What a file holds may stand in a message: without control characters, and not longer than a reader takes in."""
    plain = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in message)
    return plain if len(plain) <= LONGEST_MESSAGE else f"{plain[: LONGEST_MESSAGE - 4]} ..."


def unknown(kind: str, name: str, known: Iterable[str], where: str) -> RequestError:
    """The error for a name that there is not: what it was taken for, the names nearest to it, and where all are.

    kind: as in "There is no suite ..."; where: "--suite takes one of: {names}", {names} standing for the known ones, or
    "`python -m benchmarks list networks` shows them all".
    """
    names = list(known)
    spelled = {each.lower(): each for each in names}
    near = [spelled[each] for each in difflib.get_close_matches(name.lower(), spelled, n=3, cutoff=0.6)]
    meant = f"did you mean {' or '.join(near)}? " if near else ""
    return RequestError(f"There is no {kind} {name!r}; {meant}{where.replace('{names}', ', '.join(names))}.")
