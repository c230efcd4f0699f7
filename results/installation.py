"""Where this package lies, which version and commit it is, and where commands write unless they are told.

A checkout is known by the pyproject.toml beside its packages, which names this project. A wheel has none there, so that
what is installed from one neither writes among the installed packages nor takes the commit of a repository around them
for its own.
"""

import os
import subprocess
import tomllib
from functools import cache
from importlib import metadata
from pathlib import Path

from results.errors import RequestError

NAME = "lesion-benchmarks"
ENVIRONMENT = "LESION_BENCHMARKS_RESULTS"
SOURCES = ("models", "baselines", "benchmarks", "results/*.py")  # what a number depends on, as git's path patterns
FOLDER = Path(__file__).resolve().parents[1]


def checkout() -> Path | None:
    """The checkout that this package runs from; None where it is installed from a wheel."""
    return None if _project() is None else FOLDER


def version() -> str | None:
    """That of the checkout, else of the installed distribution; None where there is neither."""
    project = _project()
    if project is not None:
        return str(project["version"])
    try:
        return metadata.version(NAME)
    except metadata.PackageNotFoundError:
        return None


@cache
def code_version() -> dict:
    """What a run records of the code: version; commit and dirty flag of this checkout, None where there is no such."""
    commit, dirty = _commit(FOLDER) if checkout() else (None, None)
    return {"version": version(), "commit": commit, "dirty": dirty}


def results_root(chosen: Path | None = None) -> Path:
    """The folder that holds runs/: the chosen one, else that of the environment variable LESION_BENCHMARKS_RESULTS,
    else results/ of this checkout, else results/ of the working folder."""
    if chosen is not None:
        return expanded(chosen)
    if moved := os.environ.get(ENVIRONMENT):
        return expanded(Path(moved))
    return (checkout() or Path.cwd()) / "results"


def results_to_read(chosen: Path | None = None) -> Path:
    """As `results_root`, for a command that only reads. Raises RequestError where somebody named a folder that is none,
    or one that cannot be looked into; where nobody did, a missing one is one without runs."""
    root = results_root(chosen)
    if not root.is_dir() and (root.exists() or chosen is not None or os.environ.get(ENVIRONMENT)):
        what = "is no folder" if root.exists() else "does not exist"
        named = "--results" if chosen is not None else ENVIRONMENT
        raise RequestError(f"The results folder {root} {what}; name the one that holds runs/ with {named}.")
    for folder in (root, root / "runs"):
        if folder.exists() and not os.access(folder, os.R_OK | os.X_OK):
            raise RequestError(f"The results folder {folder} cannot be read; get the right to read it.")
    return root


def expanded(path: Path) -> Path:
    """The path with ~ or ~name as a user's home. Raises RequestError where there is no such user."""
    try:
        return path.expanduser()
    except RuntimeError:
        raise RequestError(f"{path} begins with the home of a user that there is not; write the path out.") from None


def report_folder() -> Path:
    """Where the report is written: reports/rendered/ of this checkout, else lesion-report/ of the working folder."""
    return FOLDER / "reports" / "rendered" if checkout() else Path.cwd() / "lesion-report"


def _project() -> dict | None:
    """The table [project] of the pyproject.toml beside the packages; None where there is none or it is another's."""
    try:
        project = tomllib.loads((FOLDER / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        return project if project["name"] == NAME and "version" in project else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _commit(folder: Path) -> tuple[str | None, bool | None]:
    """Commit of the repository whose top is this folder, and whether its sources were changed; None where it is not."""

    def git(*arguments: str) -> list[str]:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)
        return done.stdout.splitlines() if done.returncode == 0 else []

    try:
        found = git("rev-parse", "--show-toplevel", "HEAD")
        if len(found) != 2 or Path(found[0]).resolve() != folder:
            return None, None
        return found[1], bool(git("status", "--porcelain", "--", *SOURCES))
    except FileNotFoundError:  # no git on this machine
        return None, None
