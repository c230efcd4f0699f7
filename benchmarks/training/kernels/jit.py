"""The decorators of all kernels, and where compiled kernels are kept.

A kernel is compiled for each kind of number when it is first called, which takes seconds, and kept in the cache folder:
$NUMBA_CACHE_DIR, or `kernels` in the project's own. numba sees that the file of a function has changed, but not a file
whose functions it calls; so each module has a folder that carries a digest of its source and of all kernels' modules
that it imports. The folder may be read-only, and several processes may fill it at once.

Kernels run on one thread without Python's lock, so their bits depend on nothing beside them. The compiler may reorder
a sum, once and for all; it may assume nothing about NaN and infinity, which must show in the loss.
"""

import contextlib
import hashlib
import os
import pickle
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba
from filelock import FileLock
from llvmlite.binding import Linkage
from numba.core import caching
from numba.core.codegen import JITCodeLibrary, JITCPUCodegen

from benchmarks.datasets.store import cache_folder

EACH = {"contract"}  # fused multiply-add
SUMS = {"contract", "reassoc", "nsz"}  # and sums in any order, without which no sum runs on vectors


def kernel(function: Callable) -> Any:
    """Compile a function that treats each value for itself; reordered sums would change nothing or do harm."""
    return _compiled(function, EACH)


def summing(function: Callable) -> Any:
    """Compile a function whose sums may be reordered."""
    return _compiled(function, SUMS)


def row(function: Callable) -> Any:
    """`kernel` for the loop over one row, made part of its callers: on small maps calls cost more than loops."""
    return _compiled(function, EACH, forceinline=True)


def row_sums(function: Callable) -> Any:
    """`summing` for the loop over one row, made part of its callers."""
    return _compiled(function, SUMS, forceinline=True)


def _compiled(function: Callable, fastmath: set[str], *, forceinline: bool = False) -> Any:
    dispatcher: Any = numba.njit(nogil=True, error_model="numpy", fastmath=fastmath, forceinline=forceinline)(function)
    if not numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
        dispatcher._cache = _Cache(function)
    return dispatcher


PACKAGE = "".join(f"{len(part)}{part}" for part in __name__.split(".")[:-1])  # in the names of symbols


class _OwnCopies(JITCodeLibrary):
    """Machine code in which what a kernel calls is a copy of its own.

    numba shares one copy of a called function among all its callers in a process, whichever was there first: the one
    that was compiled for itself, or one that came from the cache inside of another kernel. Optimised in other company,
    its sums may be reordered differently, so that a run would round by what was compiled or loaded before.
    """

    def _optimize_final_module(self) -> None:
        for function in self._final_module.functions:
            if PACKAGE in function.name and function.linkage == Linkage.linkonce_odr:
                function.linkage = Linkage.internal
        super()._optimize_final_module()


JITCPUCodegen._library_class = _OwnCopies


_IMPORTED = re.compile(rb"^from benchmarks\.training\.kernels\.(\w+) import", re.MULTILINE)


@cache
def folder(file: str) -> Path:
    """Where compiled kernels of this source file are kept. The folder need not exist, nor can it always be written."""
    own = os.environ.get("NUMBA_CACHE_DIR")
    sources, todo = {}, [Path(file)]
    while todo:
        path = todo.pop()
        sources[path] = path.read_bytes()
        named = [Path(__file__).with_name(f"{name.decode()}.py") for name in _IMPORTED.findall(sources[path])]
        todo += [each for each in named if each not in sources]
    digest = hashlib.sha256(b"".join(sources[path] for path in sorted(sources))).hexdigest()[:16]
    return (Path(own) if own else cache_folder() / "kernels") / f"{Path(file).stem}-{digest}"


class _Locator(caching.UserProvidedCacheLocator):
    """Our folder, whether or not it can be written."""

    def __init__(self, function: Callable, file: str) -> None:
        self._py_file, self._lineno = file, function.__code__.co_firstlineno
        self._cache_path = str(folder(file))

    @classmethod
    def from_function(cls, function: Callable, file: str) -> "_Locator":
        return cls(function, file)

    def get_source_stamp(self) -> int:
        """The same for all: the folder is that of this source, whenever the file was copied here."""
        return 0


class _Implementation(caching.CompileResultCacheImpl):
    _locator_classes = [_Locator]  # noqa: RUF012  # numba's name


class _Cache(caching.FunctionCache):
    """numba's cache with one writer at a time, because two would give their files the same name."""

    _impl_class = _Implementation

    def load_overload(self, signature: Any, context: Any) -> Any:
        with contextlib.suppress(OSError, EOFError, pickle.UnpicklingError):
            return super().load_overload(signature, context)

    def save_overload(self, signature: Any, data: Any) -> None:
        with contextlib.suppress(OSError):  # read-only or full: the next process compiles again
            Path(self.cache_path).mkdir(parents=True, exist_ok=True)
            with FileLock(Path(self.cache_path) / ".lock"):
                super().save_overload(signature, data)
