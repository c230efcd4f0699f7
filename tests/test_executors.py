"""The same numbers by every executor, whatever is killed on the way; what is refused is said in a sentence.

What a plan gives is compared file by file with a run of the same command in threads.
"""

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import torch

from results.cell import Cell

ROOT = Path(__file__).parents[1]
CPU, GPU = torch.device("cpu"), torch.device("cuda")
SEEDS, EPOCHS = 3, 20
COMMAND = ["run", "--suite", "quick", "--plugin", str(ROOT / "tests" / "slow_network.py"), "--network", "slow"]
COMMAND += [
    "--seeds",
    str(SEEDS),
    "--size",
    "8",
    "--batch",
    "8",
    "--epochs",
    str(EPOCHS),
    "--no-kernels",
    "--device",
    "cpu",
]
NUMBERS = ("per_image.csv", "history.csv", "weights.safetensors")
LONG = 300.0  # seconds after which a test has failed
needs = {
    name: pytest.mark.skipif(not importlib.util.find_spec(name), reason=f"needs {name}") for name in ("ray", "submitit")
}


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LESION_BENCHMARKS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def cells() -> list[Cell]:
    return [Cell("synthetic", f"quick+epochs={EPOCHS},size=8", "slow", seed) for seed in range(1, SEEDS + 1)]


def numbers(root: Path) -> list[bytes]:
    return [(cell.folder(root) / name).read_bytes() for cell in cells() for name in NUMBERS]


@pytest.fixture(scope="module")
def undisturbed(cache, tmp_path_factory) -> list[bytes]:
    root = tmp_path_factory.mktemp("undisturbed")
    with start(root) as command:
        code, output = ended(command)
    assert code == 0, output
    return numbers(root)


@contextlib.contextmanager
def start(root: Path, *options: str, before: str = "", **environment: str) -> Iterator[subprocess.Popen]:
    """The command in a process of its own. before: Python code that it begins with."""
    code = f"{before}\nfrom benchmarks.cli import main\nif __name__ == '__main__': main()"
    with subprocess.Popen(
        [sys.executable, "-c", code, *COMMAND, "--results", str(root), *options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | environment,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:  # the test has failed
                for each in [*psutil.Process(process.pid).children(recursive=True), process]:
                    each.kill()


def within(seconds: float, found: Callable[[], object], process: subprocess.Popen) -> object:
    """What `found` returns as soon as it is something, while the process runs."""
    end = time.monotonic() + seconds
    while not (what := found()):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end
        time.sleep(0.02)
    return what


def training(root: Path) -> list[Path]:
    """Folders of the cells of which something is stored and not all."""
    return [path.parent for path in root.rglob("checkpoint.safetensors")]


def children(process: subprocess.Popen, word: str) -> list[psutil.Process]:
    """Living processes below it with this word in their command line."""
    found = []
    for each in psutil.Process(process.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it has ended
            found += [each] if word in " ".join(each.cmdline()) else []
    return found


def ended(process: subprocess.Popen) -> tuple[int, str]:
    """Exit code, and output in one line."""
    output = process.communicate(timeout=LONG)[0]
    return process.returncode, " ".join(output.split())


TWO_DEVICES = (
    "import torch; from benchmarks import machine; machine.devices_named = lambda _: 2 * [torch.device('cpu')]"
)


def test_one_process_per_device_stopped_then_one_of_them_killed(undisturbed, tmp_path):
    with start(tmp_path, before=TWO_DEVICES) as stopped:
        within(LONG, lambda: training(tmp_path), stopped)
        workers = children(stopped, "spawn_main")
        for process in [psutil.Process(stopped.pid), *workers]:  # as a terminal does
            process.send_signal(signal.SIGINT)
        code, output = ended(stopped)
    assert (code, len(workers)) == (130, 2), output
    assert not any(each.is_running() for each in workers)
    assert training(tmp_path)
    assert not list(tmp_path.rglob("claim.json"))

    with start(tmp_path, before=TWO_DEVICES) as command:
        within(LONG, lambda: len(children(command, "spawn_main")) == 2 and list(tmp_path.rglob("claim.json")), command)
        children(command, "spawn_main")[0].kill()
        code, output = ended(command)
    assert code == 0, output
    assert "The process on cpu died (exit code -9)." in output
    assert numbers(tmp_path) == undisturbed


SUBMITIT_LOCAL = """
from benchmarks.runner.executors import slurm
from submitit import LocalExecutor
def submitter(self, root):
    local = LocalExecutor(root / slurm.LOGS, max_num_timeout=slurm.REQUEUED)
    local.update_parameters(timeout_min=self.request.minutes, signal_delay_s=slurm.NOTICE)
    return local
slurm.Slurm._submitter, slurm.LOOK = submitter, 0.2
"""


@needs["submitit"]
def test_a_preempted_job_pauses_and_is_queued_again(undisturbed, tmp_path):
    """By submitit's own executor for one machine, whose jobs are processes that take the signals of Slurm's."""
    with start(tmp_path, "--executor", "slurm", before=SUBMITIT_LOCAL) as command:
        [first, *_] = within(LONG, lambda: training(tmp_path), command)
        jobs = children(command, "submitit.core._submit")
        process = json.loads((first / "claim.json").read_text())["process"]
        [preempted] = [job for job in jobs if job.pid == process]
        preempted.send_signal(signal.SIGUSR2)
        code, output = ended(command)
    assert code == 0, output
    assert f"Submitted {SEEDS} jobs" in output
    logs = [path.read_text() for path in (tmp_path / "slurm").glob("*_log.*")]
    assert sum("resumed after epoch" in log for log in logs) == 1
    assert numbers(tmp_path) == undisturbed


@needs["ray"]
def test_ray_on_this_machine_stopped_and_continued_by_threads(undisturbed, tmp_path):
    """Its own cluster, whatever RAY_ADDRESS says, of which nothing is left."""
    with start(tmp_path, "--executor", "ray", RAY_ADDRESS="192.0.2.1:6379") as stopped:
        within(LONG, lambda: training(tmp_path), stopped)
        cluster = psutil.Process(stopped.pid).children(recursive=True)
        stopped.send_signal(signal.SIGINT)
        code, output = ended(stopped)
    assert code == 130, output
    assert "Run the same command again" in output
    assert not psutil.wait_procs(cluster, timeout=LONG)[1]
    assert not list(tmp_path.rglob("claim.json"))
    assert training(tmp_path)
    with start(tmp_path) as command:
        code, output = ended(command)
    assert (code, "resumed after epoch" in output) == (0, True), output
    assert numbers(tmp_path) == undisturbed


@needs["ray"]
def test_ray_on_two_nodes_of_which_one_is_lost(undisturbed, tmp_path):
    secret = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}
    pipe = subprocess.PIPE
    script = [sys.executable, str(ROOT / "tests" / "ray_cluster.py")]
    with subprocess.Popen(script, cwd=ROOT, stdin=pipe, stdout=pipe, text=True, env=os.environ | secret) as cluster:
        try:
            address = cluster.stdout.readline().strip()
            with start(tmp_path, "--executor", "ray", "--address", address, **secret) as command:
                within(LONG, lambda: len(training(tmp_path)) == 2, command)
                cluster.stdin.write("kill\n")
                cluster.stdin.flush()
                assert cluster.stdout.readline() == "killed\n"
                code, output = ended(command)
        finally:
            cluster.stdin.close()
    assert code == 0, output
    assert output.count("resumed after epoch") == 1, output
    assert numbers(tmp_path) == undisturbed
    assert not list(tmp_path.rglob("claim.json"))
