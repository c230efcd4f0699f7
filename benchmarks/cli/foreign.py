"""Whether something else of the same name lies in the way of this project's packages. Imports none of them."""

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

PACKAGES = ("models", "baselines", "results", "reports")  # beside `benchmarks`, which this file is part of
FOLDER = Path(__file__).resolve().parents[2]
SCRIPT = "lesion-benchmarks"


def refuse() -> None:
    """End the process with one sentence and exit code 2 where a foreign package is in the way."""
    if fault := in_the_way():
        print(f"Error: {fault}", file=sys.stderr)
        sys.exit(2)


def in_the_way(packages: Sequence[str] = PACKAGES, folder: Path = FOLDER) -> str | None:
    """A sentence with path and cure where Python finds a package elsewhere than in `folder`; None where all is well."""
    for name in packages:
        found = place(name)
        if found is None:
            return f"The package {name!r} is not in {folder}; type pip install --force-reinstall {SCRIPT}."
        if found != folder / name:
            return f"{found} is in the way of this project's package {name!r} in {folder}; {cure(found)}."
    return None


def place(name: str) -> Path | None:
    """The folder, or the file, that `import name` would take; None where there is none."""
    spec = importlib.util.find_spec(name)
    if spec is None:
        return None
    for folder in spec.submodule_search_locations or ():
        return Path(folder).resolve()
    return None if spec.origin is None else Path(spec.origin).resolve()


def cure(found: Path) -> str:
    """What to do about a foreign package, which depends on why Python looks there."""
    if found.parent == Path.cwd():
        return f"rename it, use another working folder, or use the command {SCRIPT}, which does not look into this one"
    return f"rename or uninstall it, or install {SCRIPT} in a virtual environment of its own"
