"""The one exception that is meant for people."""

import difflib
from collections.abc import Iterable


class RequestError(Exception):
    """The request or the data is wrong: one sentence that names the file or option and the cure. Exit code 2."""


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
