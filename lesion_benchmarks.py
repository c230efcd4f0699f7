"""The console script `lesion-benchmarks`: makes sure that Python finds this project's `benchmarks`, and calls it.

The name of this file is nobody else's; many projects have a package `benchmarks`.
"""

import importlib.util
import sys
from pathlib import Path

OURS = Path(__file__).resolve().parent / "benchmarks" / "__init__.py"


def main() -> None:
    """Exit code 2 and one sentence where another package of that name is in the way."""
    spec = importlib.util.find_spec("benchmarks")
    if spec is None or spec.origin is None or Path(spec.origin).resolve() != OURS:
        found = "nothing" if spec is None else spec.origin or ", ".join(spec.submodule_search_locations or ())
        print(
            f"Error: Python finds {found} in place of this project's package 'benchmarks' in {OURS.parents[1]}; rename "
            "or uninstall it, or install lesion-benchmarks in a virtual environment of its own.",
            file=sys.stderr,
        )
        sys.exit(2)

    from benchmarks.cli import main as command_line

    command_line()
