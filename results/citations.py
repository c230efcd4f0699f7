"""BibTeX of this suite, of the paper that it reproduces, and of every network. Needs no torch.

The entries are in citations.bib beside this file, which a person types.
"""

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from results.errors import unknown

FILE = Path(__file__).with_name("citations.bib")
ALWAYS = ("suite", "paper")  # what is cited whichever networks were used
WRAPPED = "smp"  # stands for every network of segmentation-models-pytorch

_ENTRY = re.compile(r"^@\w+\{.*?^\}$", re.DOTALL | re.MULTILINE)
_NETWORKS = re.compile(r"^  networks = \{([^}]*)\},\n", re.MULTILINE)


def bibtex(names: Iterable[str] = ()) -> str:
    """BibTeX entries of the suite, of the paper and of the named networks, each once and in that order.

    names: keys of the registry, wrapped ones ("smp:unet/resnet18") included, or "suite" and "paper".
    Raises RequestError for a name without an entry, with the nearest one that has one.
    """
    known = entries()
    chosen: dict[str, None] = {}
    for name in (*ALWAYS, *names):
        key = WRAPPED if name.startswith(f"{WRAPPED}:") else name
        if key not in known:
            raise unknown("entry to cite for", name, known, "`python -m benchmarks list networks` shows all networks")
        chosen[known[key]] = None
    return "\n\n".join(chosen) + "\n"


@cache
def entries() -> dict[str, str]:
    """The BibTeX entry of every name, without our own field `networks`, in the order of the file."""
    found: dict[str, str] = {}
    for entry in _ENTRY.findall(FILE.read_text(encoding="utf-8")):
        listed = _NETWORKS.search(entry)
        assert listed, f"{FILE} has an entry without networks: {entry}"
        for name in re.split(r",\s*", listed[1].strip()):
            assert name not in found, f"{FILE} has two entries for {name}"
            found[name] = _NETWORKS.sub("", entry)
    return found
