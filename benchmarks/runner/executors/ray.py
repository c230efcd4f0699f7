"""Tasks of a Ray cluster: one per group, placed where a core or a GPU is free, begun again elsewhere if a node is lost.

Without an address the cluster is this machine's own, for as long as the command runs. No other is ever joined unasked.
"""

import os
import secrets
import shutil
import signal
import socket
import tempfile
import time
from importlib.util import find_spec
from types import TracebackType
from typing import Any

import torch

from benchmarks.machine import cores
from benchmarks.runner.console import Watcher
from benchmarks.runner.executors import rounds
from benchmarks.runner.executors.executor import Executor
from benchmarks.runner.executors.task import Task, code
from benchmarks.runner.group import GroupSpec
from benchmarks.runner.local import Job, Outcome
from results.cell import Cell
from results.errors import RequestError

RETRIES = 5  # of a group whose worker or node was lost; what the group itself raises is never tried again
LOOK = 0.5  # seconds between two looks at the tasks
KNOCK = 10.0  # seconds for the head to answer
ANSWER = 60.0  # seconds for a node to start a process
STOPPING = 120.0  # seconds for groups to come to the end of their step
NO_TELEMETRY = {"RAY_USAGE_STATS_ENABLED": "0"}
PRIVATE = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}  # nobody else can talk to an own cluster
STORE = 100 * 2**20  # bytes of the object store of an own cluster, whose data lies in this machine's cache


class Ray(Executor):
    """A cluster, from entering to leaving."""

    def __init__(self, device: str, address: str | None = None) -> None:
        """device: "auto" (GPUs where the cluster has some), "cpu" or "cuda". address: of the head of a running cluster.

        Raises RequestError where ray is not installed.
        """
        if find_spec("ray") is None:
            raise RequestError('--executor ray needs ray; type: pip install "lesion-benchmarks[ray]".')
        if device not in ("auto", "cpu", "cuda"):
            raise RequestError(
                f"--device is {device!r}; with --executor ray give auto, cpu or cuda: Ray picks the GPU."
            )
        self.asked, self.address, self.token = device, address, secrets.token_hex(8)
        self._folder: str | None = None

    def __enter__(self) -> "Ray":
        settings = self._settings()
        os.environ |= NO_TELEMETRY if self.address else NO_TELEMETRY | PRIVATE  # ray reads it when it is imported
        import ray

        ray._private.worker.print_to_stdstream = lambda *_, **__: None  # whole logs of nodes that are lost
        on_sigterm = signal.getsignal(signal.SIGTERM)
        try:
            ray.init(**settings, log_to_driver=False, configure_logging=False)
            signal.signal(signal.SIGTERM, on_sigterm)  # which ray replaces
            self.device = self._kind()
            self._require_code()
            self.hub = self._hub()
        except (ConnectionError, ValueError, RuntimeError) as error:
            self._end()
            where = "A Ray cluster cannot be started" if self.address is None else f"--address {self.address} fails"
            raise RequestError(f"{where}: {str(error).strip().splitlines()[0].rstrip('.')}.") from error
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _settings(self) -> dict[str, Any]:
        """Of `ray.init`: to join the cluster that was named, or to start one that nobody else knows of."""
        if self.address is not None:
            _require_answer(self.address)
            return {"address": self.address}
        # A short path: those of sockets are limited to 107 characters.
        self._folder = tempfile.mkdtemp(prefix="lesion-", dir="/tmp" if os.name == "posix" else None)
        own = {"_temp_dir": self._folder, "include_dashboard": False, "object_store_memory": STORE}
        return {"address": "local", "num_cpus": cores()} | own

    def _end(self) -> None:
        import ray

        ray.shutdown()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _kind(self) -> torch.device:
        """What the cluster has of what was asked for. Raises RequestError for GPUs where there are none."""
        import ray

        gpus = ray.cluster_resources().get("GPU", 0)
        if self.asked == "cuda" and not gpus:
            raise RequestError("--device cuda finds no GPU in the Ray cluster; use --device cpu.")
        return torch.device("cuda" if gpus and self.asked != "cpu" else "cpu")

    def _require_code(self) -> None:
        """Raises RequestError where a node has another version of this package, or none."""
        import ray

        from benchmarks.runner.executors.ray_node import other_code

        answers = {}
        for node, name in _alive().items():
            asking = ray.remote(other_code).options(num_cpus=0, max_retries=0, scheduling_strategy=_on(node))
            answers[name] = asking.remote(code(), name)
        for name, answer in answers.items():
            try:
                wrong = ray.get(answer, timeout=ANSWER)
            except ray.exceptions.RayError as error:
                what = str(error).strip().splitlines()[-1].rstrip(".")
                raise RequestError(
                    f"Node {name} of the Ray cluster cannot run this package ({what}); install it there, the same "
                    "version as here."
                ) from error
            if wrong is not None:
                raise RequestError(wrong)

    def _hub(self) -> Any:
        """On the node of this command, with which it may die."""
        import ray

        from benchmarks.runner.executors.ray_node import Hub

        here = _on(ray.get_runtime_context().get_node_id())
        return ray.remote(Hub).options(num_cpus=0, scheduling_strategy=here).remote()

    def execute(self, cells: list[Cell], job: Job) -> Outcome:
        return rounds.execute(cells, job, self._hand_out)

    def _hand_out(self, groups: list[GroupSpec], job: Job) -> list[Outcome]:
        """One task per group; what the tasks report when all have ended."""
        import ray

        from benchmarks.runner.executors.ray_node import train

        gpus = 1 if self.device.type == "cuda" else 0
        remote = ray.remote(train).options(num_cpus=1, num_gpus=gpus, max_retries=RETRIES, retry_exceptions=False)
        tasks = [Task(group, self.device.type, self.token, job.steal, code()) for group in groups]
        pending = {remote.remote(task, self.hub): task.group for task in tasks}
        outcomes: list[Outcome] = []
        try:
            _follow(pending, self.hub, job.control.reporter, outcomes)
        except KeyboardInterrupt:
            outcomes.append(Outcome(interrupted=True))
            ray.get(self.hub.stop.remote())
            _follow(pending, self.hub, job.control.reporter, outcomes, until=time.monotonic() + STOPPING)
        return outcomes


def _require_answer(address: str) -> None:
    """Raises RequestError where nobody listens at HOST:PORT: ray itself would wait for minutes, and say little."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise RequestError(f"--address is {address!r}; give HOST:PORT, as `ray start --head` prints it.")
    try:
        socket.create_connection((host, int(port)), timeout=KNOCK).close()
    except (OSError, OverflowError) as error:
        raise RequestError(
            f"--address {address} does not answer ({error}); give HOST:PORT of a cluster that runs, as "
            "`ray start --head` prints it."
        ) from error


def _follow(
    pending: dict[Any, GroupSpec], hub: Any, reporter: Watcher, outcomes: list[Outcome], until: float | None = None
) -> None:
    """Show what tasks tell and collect what they report, until none is pending or the time is over."""
    import ray

    alive = _alive()
    while pending and (until is None or time.monotonic() < until):
        done, _ = ray.wait(list(pending), timeout=LOOK)
        for event in ray.get(hub.told.remote()):
            reporter.show(event)
        for task in done:
            outcomes.append(_reported(task, pending.pop(task).network))
        now = _alive()
        for node in alive.keys() - now.keys():
            reporter.note(f"Node {alive[node]} is lost; what it trained goes on elsewhere.")
        alive = now


def _reported(task: Any, network: str) -> Outcome:
    """What a task reports, or that it was lost too often."""
    import ray

    try:
        return ray.get(task)
    except ray.exceptions.RayError as error:
        return Outcome(errors=[(network, f"Ray gave it up: {str(error).strip().splitlines()[0].rstrip('.')}")])


def _alive() -> dict[str, str]:
    """Host names of the nodes that are there, by their ids."""
    import ray

    return {node["NodeID"]: node["NodeManagerHostname"] for node in ray.nodes() if node["Alive"]}


def _on(node: str) -> Any:
    """Placed on this node and no other."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(node, soft=False)
