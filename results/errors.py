"""The exceptions that are meant for people: one sentence that names the file or option and the cure.

A file that a command was asked to use, or must go on from, raises: the command ends with that sentence and exit code 2.
A file that is only found, while a whole results folder is read, must not take the rest with it: its sentence is kept as
a `Problem`, is shown by `report`, and fails `check`.
"""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


class RequestError(Exception):
    """The request or the data is wrong: one sentence that names the file or option and the cure. Exit code 2."""


class Damaged(RequestError):
    """A file that cannot be used. `message`: what is wrong with it, naming the field; `cure`: what to do about it."""

    def __init__(self, path: Path, message: str, cure: str) -> None:
        super().__init__(f"{path}: {message}; {cure}.")
        self.path, self.message, self.cure = path, message, cure

    @property
    def problem(self) -> "Problem":
        """The same for a list of what could not be used."""
        return Problem(self.path, self.message, self.cure)

    def __reduce__(self) -> tuple:
        return type(self), (self.path, self.message, self.cure)


@dataclass(frozen=True)
class Problem:
    """Something in the results folder that cannot be used: where, what, and the cure."""

    path: Path
    message: str
    cure: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}; {self.cure}."


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
