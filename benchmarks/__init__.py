"""How a number is made: networks by name, data, recipe, training, measuring. For Python: `load` and `results`."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.prediction.trained import load as load
    from results.frame import results as results

_FACE = {"load": "benchmarks.prediction.trained", "results": "results.frame"}


def __getattr__(name: str) -> Any:
    """`load` and `results`, imported when they are first asked for: the first needs torch."""
    if name not in _FACE:
        raise AttributeError(f"module 'benchmarks' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_FACE[name]), name)
