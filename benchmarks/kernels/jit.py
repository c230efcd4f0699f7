"""The decorators of all kernels, and where compiled kernels are kept.

A kernel is compiled for each kind of number when it is first called, which takes seconds, and kept in the cache folder:
$NUMBA_CACHE_DIR, or `kernels` in the project's own. numba sees that the file of a function has changed, but not a file
whose functions it calls; so the folder of a version carries a digest of all kernels' sources. It may be read-only, and
several processes may fill it at once.

Kernels run on one thread without Python's lock, so their bits depend on nothing beside them. The compiler may reorder
a sum, once and for all; it may assume nothing about NaN and infinity, which must show in the loss.
"""

import contextlib
import hashlib
import os
import pickle
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numba
from filelock import FileLock
from numba.core import caching

from benchmarks.datasets.store import cache_folder

EACH = {"contract"}  # fused multiply-add
SUMS = {"contract", "reassoc", "nsz"}  # and sums in any order, without which no sum runs on vectors


def kernel(function: Callable) -> Any:
    """Compile a function that treats each value for itself; reordered sums would change nothing or do harm."""
    return _compiled(function, EACH)


def summing(function: Callable) -> Any:
    """Compile a function whose sums may be reordered."""
    return _compiled(function, SUMS)


def _compiled(function: Callable, fastmath: set[str]) -> Any:
    dispatcher = numba.njit(nogil=True, error_model="numpy", fastmath=fastmath)(function)
    if not numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
        dispatcher._cache = _Cache(function)
    return dispatcher


@lru_cache(maxsize=1)
def folder() -> Path:
    """Where the compiled kernels of this version are kept. It need not exist, nor can it always be written."""
    sources = sorted(Path(__file__).parent.glob("*.py"))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    own = os.environ.get("NUMBA_CACHE_DIR")
    return (Path(own) if own else cache_folder() / "kernels") / digest


def cold() -> bool:
    """Whether no kernel of this version has been compiled for this cache folder, so that the first step takes long."""
    return next(folder().rglob("*.nbc"), None) is None


_announcements: list[Callable[[], None]] = []


def announce(callback: Callable[[], None]) -> None:
    """Call `callback()` once, from the thread that needs it, before the next kernel that has to be compiled."""
    _announcements.append(callback)


class _Locator(caching.UserProvidedCacheLocator):
    """Our folder, whether or not it can be written."""

    def __init__(self, function: Callable, file: str) -> None:
        self._py_file, self._lineno = file, function.__code__.co_firstlineno
        self._cache_path = str(folder())

    @classmethod
    def from_function(cls, function: Callable, file: str) -> "_Locator":
        return cls(function, file)


class _Implementation(caching.CompileResultCacheImpl):
    _locator_classes = [_Locator]  # noqa: RUF012  # numba's name


class _Cache(caching.FunctionCache):
    """numba's cache with one writer at a time, because two would give their files the same name."""

    _impl_class = _Implementation

    def load_overload(self, signature: Any, context: Any) -> Any:
        loaded = None
        with contextlib.suppress(OSError, EOFError, pickle.UnpicklingError):
            loaded = super().load_overload(signature, context)
        while loaded is None and _announcements:
            _announcements.pop()()
        return loaded

    def save_overload(self, signature: Any, data: Any) -> None:
        with contextlib.suppress(OSError):  # read-only or full: the next process compiles again
            folder().mkdir(parents=True, exist_ok=True)
            with FileLock(folder() / ".lock"):
                super().save_overload(signature, data)
