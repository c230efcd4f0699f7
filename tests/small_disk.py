"""Commands on a file system of 3 MB, full and then read-only; run by test_full_disk.py in a mount namespace of its own.

    unshare -rm python -m tests.small_disk FOLDER

Prints one JSON object: step -> exit code, what was said on stderr, and the files on the small disk afterwards.
"""

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.cli import check
from benchmarks.cli.app import main

RUN = ["run", "--network", "aulunet_v3", "--seeds", "1", "--epochs", "1", "--size", "32", "--no-kernels"]


def mount(folder: Path, *options: str) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", ",".join(("size=3m", *options)), "none", str(folder)], check=True)


def fill(folder: Path, left: int) -> Path:
    """A file beside the results that leaves so many bytes free."""
    path, disk = folder / "filler", os.statvfs(folder)
    path.write_bytes(bytes(disk.f_bavail * disk.f_frsize - left))
    return path


def command(folder: Path, *arguments: str) -> dict:
    sys.argv = ["benchmarks", *arguments]
    said, code = io.StringIO(), 0
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            main()
    except SystemExit as ended:
        code = int(ended.code or 0)
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    empty = [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_dir() and not any(path.iterdir())]
    return {"code": code, "said": said.getvalue(), "files": names, "empty": empty}


def steps(folder: Path, results: Path, runs: Path) -> dict[str, dict]:
    """runs: an existing results folder on another disk, of which reports are written to the small one."""
    found = {}
    report = ["report", "--format", "md,csv", "--results", str(runs), "--output", str(folder / "report")]
    accept = ["check", "--accept", "--baseline", str(folder / "accepted.csv"), "--results", str(runs)]
    junit = ["check", "--junit", str(folder / "junit.xml"), "--results", str(runs)]
    run = [*RUN, "--results", str(results)]
    for name, arguments, left in (
        ("config.json", run, 0),
        ("checkpoint.safetensors", run, 200_000),
        ("weights.safetensors", run, 620_000),
        ("run", run, None),
        ("report", report, 20_000),
        ("report", report, None),
        ("accepted.csv", accept, 0),
        ("accepted.csv", accept, None),
        ("junit.xml", junit, 4096),
        ("junit.xml", junit, None),
    ):
        filler = None if left is None else fill(folder, left)
        ended = command(folder, *arguments)
        found[f"{name}, {'with room' if filler is None else 'full'}"] = ended
        if filler is not None:
            filler.unlink()
            ended["files"].remove(filler.name)
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    again = [*RUN, "--results", str(folder / "new")]
    for name, arguments in (("run", again), ("report", report), ("accepted.csv", accept), ("junit.xml", junit)):
        found[f"{name}, read-only"] = command(folder, *arguments)
    return found


if __name__ == "__main__":
    check._live_counts = lambda: None  # they take a minute
    place = Path(sys.argv[1])
    mount(place / "small")
    print(json.dumps(steps(place / "small", place / "small" / "results", place / "runs")))
