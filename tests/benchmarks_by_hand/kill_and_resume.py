"""Kills three processes that work on one plan in one folder, many times, and compares what they leave with an
undisturbed run: every file equal, no cell stored twice, nothing left over. By hand; minutes:

    python tests/benchmarks_by_hand/kill_and_resume.py --kills 50

Each kill waits for a moment: a random one, or one of those that are hardest to survive, which the folder shows (the
data set is being drawn, a checkpoint is being written, results are, report.json stands and its checkpoint still does).
Then it ends one of the processes, or all, by SIGKILL of the whole group, by SIGTERM or by Ctrl-C, and starts others in
their place. A plan survives about fourteen kills before it is done; then the next round begins with an empty folder.
"""

import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLAN = ["run", "--suite", "quick", "--network", "aulunet_v3", "--network", "aulunet_v1", "--seeds", "5"]
PLAN += ["--size", "32", "--epochs", "40", "--batch", "4"]
MEASURED = ("seconds", "images_per_second", "peak_memory_mb", "finished_at", "host", "digest")
"""What report.json says of the process and not of the numbers."""
SOON, PATIENCE = 6.0, 30.0  # seconds: within which a random moment lies; after which one that does not come is given up

Moment = Callable[[Path, Path], bool]
MOMENTS: dict[str, Moment] = {
    "drawing the data": lambda root, cache: any(cache.glob("*/.unfinished-*")),
    "writing a checkpoint": lambda root, cache: any(root.rglob(".checkpoint*.partial")),
    "writing results": lambda root, cache: any(
        not (path.parent / "report.json").exists() for path in root.rglob("history.csv")
    ),
    "the last write": lambda root, cache: any(
        any(path.parent.glob("checkpoint*")) for path in root.rglob("report.json")
    ),
    "taking a cell": lambda root, cache: any(
        not (path.parent / "config.json").exists() for path in root.rglob("claim.json")
    ),
}
KINDS = ("SIGKILL", "SIGTERM", "SIGINT")


def started(root: Path, cache: Path, log: Path) -> subprocess.Popen:
    environment = os.environ | {"LESION_BENCHMARKS_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    with log.open("a") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "benchmarks", *PLAN, "--results", str(root)],
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def wait_for(moment: Moment | None, root: Path, cache: Path, draw: random.Random) -> bool:
    """Whether the moment came; a random one always does."""
    if moment is None:
        time.sleep(draw.uniform(0, SOON))
        return True
    ended = time.monotonic() + PATIENCE
    while time.monotonic() < ended:
        if moment(root, cache):
            return True
        time.sleep(0.002)
    return False


def killed(kills: int, processes: int, root: Path, cache: Path, log: Path, draw: random.Random) -> tuple[Counter, list]:
    """Kill up to so many times, while the plan lasts: how often at each moment. The last processes end by themselves:
    their exit codes.
    """
    running = [started(root, cache, log) for _ in range(processes)]
    moments, done = [None, *MOMENTS], Counter()
    while sum(done.values()) < kills:
        name = draw.choice(moments)
        came = wait_for(MOMENTS[name] if name else None, root, cache, draw)
        kind, victims = draw.choice(KINDS), draw.choice([range(processes), [draw.randrange(processes)]])
        if any(process.poll() is not None for process in running):  # the plan is done
            break
        for victim in victims:
            if kind == "SIGKILL":
                os.killpg(running[victim].pid, signal.SIGKILL)
            else:
                running[victim].send_signal(getattr(signal, kind))
        for victim in victims:
            running[victim].wait(timeout=120)
            running[victim] = started(root, cache, log)
        done[name if name and came else "a random moment"] += 1
    return done, [process.wait() for process in running]


def contents(root: Path) -> dict[str, bytes | dict]:
    """Every file below a results folder, without what report.json measures of the process."""
    found: dict[str, bytes | dict] = {}
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        name = path.relative_to(root).as_posix()
        found[name] = path.read_bytes()
        if path.name == "report.json":
            found[name] = {key: value for key, value in json.loads(found[name]).items() if key not in MEASURED}
    return found


def faults_of(home: Path, whole: Path, codes: list[int]) -> Iterator[str]:
    """What a round left that an undisturbed run does not, and what its processes said that they should not."""
    ours, theirs, log = contents(home / "killed"), contents(whole), (home / "log").read_text()
    yield from (f"{name} is left over" for name in ours.keys() - theirs.keys())
    yield from (f"{name} is missing" for name in theirs.keys() - ours.keys())
    yield from (f"{name} differs" for name in ours.keys() & theirs.keys() if ours[name] != theirs[name])
    stored = Counter(re.findall(r"^(\S+ seed \d+): done", log, re.MULTILINE))
    yield from (f"{name} was stored {count} times" for name, count in stored.items() if count > 1)
    yield from (f"a process ended with {code}" for code in codes if code != 0)
    yield from (f"{path.relative_to(home)} is left over" for path in (home / "cache").rglob(".unfinished-*"))
    for found in re.finditer("Traceback", log):
        yield "a traceback:\n" + log[max(0, found.start() - 500) : found.start() + 4000]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--processes", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1, help="Of the moments.")
    asked = parser.parse_args()
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # a shell has what it starts behind ignore it, and children
    draw, done, faults, rounds = random.Random(asked.seed), Counter(), [], 0
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NUMBA_CACHE_DIR"] = str(Path(folder, "kernels"))  # compiled once, by the undisturbed run
        whole, log = Path(folder, "whole"), Path(folder, "log alone")
        assert started(whole, Path(folder, "cache of its own"), log).wait() == 0, log.read_text()
        while sum(done.values()) < asked.kills:
            rounds += 1
            home, began = Path(folder, str(rounds)), time.monotonic()
            home.mkdir()
            left = asked.kills - sum(done.values())
            kills, codes = killed(left, asked.processes, home / "killed", home / "cache", home / "log", draw)
            found = list(faults_of(home, whole, codes))
            shown = ", ".join(f"{count} at {name}" for name, count in kills.items())
            print(
                f"round {rounds}: {sum(kills.values())} kills ({shown}), {time.monotonic() - began:.0f} s", flush=True
            )
            print("\n".join(found) or "every file equal, no cell twice, nothing left over", flush=True)
            done, faults = done + kills, faults + found
    print(f"{sum(done.values())} kills in {rounds} rounds, {len(faults)} faults")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
