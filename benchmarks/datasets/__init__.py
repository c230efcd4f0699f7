"""The data sets: prepared once, then opened by name and size. No torch is imported here.

    prepare(name, source)  verify, decode, resize and store a data set in the cache folder
    load(name, size)       open it, memory-mapped

Everything that is wrong with the request or the data raises `results.errors.RequestError` with a sentence for people.
"""

from benchmarks.datasets.loading import OURS, NotPrepared, load, names
from benchmarks.datasets.preparation import prepare
from benchmarks.datasets.splits import Split
from benchmarks.datasets.store import PreparedSet, cache_folder

__all__ = ["OURS", "NotPrepared", "PreparedSet", "Split", "cache_folder", "load", "names", "prepare"]
