"""What the code counts now, for `check`: kept in the cache folder, by a hash of all that the counts depend on.

    <cache folder>/counts/<hash>.json    counts: {network: {column: count}}, sha256: of these

The hash takes every source file of the networks and of this package, and the versions of the libraries that count or
that networks are made of, so that no list of files can fall behind. No torch is imported where the counts are known.
"""

import contextlib
import hashlib
import json
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.datasets import cache_folder
from results import files
from results.complexity import ComplexityTable
from results.errors import RequestError, Unwritable

ROOT = Path(__file__).parents[2]
SOURCES = ("models", "baselines", "benchmarks")
LIBRARIES = ("torch", "fvcore", "timm", "einops")

Counts = dict[str, dict[str, int]]


def live_counts(announce: Callable[[str, int, int], None]) -> Counts | None:
    """What the registered networks count now, by name and column of complexity.csv; None where torch is absent.

    A figure whose counter failed is absent. `announce` is told the name, position and number of networks while they
    are counted, which is done on one thread.
    """
    path = cache_folder() / "counts" / f"{fingerprint()}.json"
    known = _read(path)
    if known is not None:
        return known
    try:
        import torch

        from benchmarks.measuring import complexity
        from benchmarks.networks import registry
    except ImportError:
        return None
    names, threads = registry.names(), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        table = complexity.table(names, lambda name: announce(name, names.index(name) + 1, len(names)))
    finally:
        torch.set_num_threads(threads)
    counts = ComplexityTable(table).by_network
    with contextlib.suppress(Unwritable):  # a folder that cannot be written costs time only
        files.write_json(path, {"counts": counts, "sha256": _digest(counts)})
    return counts


def fingerprint() -> str:
    """Hex SHA-256 of the names and contents of the source files and of the versions of the libraries."""
    digest = hashlib.sha256()
    for path in sorted(path for folder in SOURCES for path in (ROOT / folder).rglob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(ROOT).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    for library in LIBRARIES:
        digest.update(f"{library} {_version(library)}\n".encode())
    return digest.hexdigest()


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "absent"


def _digest(counts: Counts) -> str:
    return hashlib.sha256(json.dumps(counts).encode()).hexdigest()


def _read(path: Path) -> Counts | None:
    """The counts in the file; None where it is absent or damaged."""
    try:
        content = files.read_json(path)
        return content["counts"] if _digest(content["counts"]) == content["sha256"] else None
    except (RequestError, OSError, ValueError, KeyError, TypeError):
        return None
