"""What of a command runs on the nodes of its Ray cluster: the tasks, and an actor that they talk to.

Imported where ray is installed.
"""

from collections import deque
from threading import Event, Thread
from typing import Any

import ray
from ray.exceptions import RayError

from benchmarks import datasets
from benchmarks.datasets.transfer import Shipped, is_prepared
from benchmarks.runner.console import Event as Progress
from benchmarks.runner.console import Watcher
from benchmarks.runner.executors.task import Task, portable, require_code, work
from benchmarks.runner.group import Control
from benchmarks.runner.local import Outcome
from results.errors import RequestError

LOOK = 0.5  # seconds between two questions whether to stop


class Hub:
    """The actor, beside the command: takes in what tasks tell, hands out the word to stop, and data sets."""

    def __init__(self) -> None:
        self.events: deque[Progress] = deque()
        self.stopping = False
        self.shipped: dict[tuple[str, int], Any] = {}

    def tell(self, event: Progress) -> None:
        self.events.append(event)

    def told(self) -> list[Progress]:
        """What was told since the last call."""
        told = list(self.events)
        self.events.clear()
        return told

    def stop(self) -> None:
        self.stopping = True

    def is_stopping(self) -> bool:
        return self.stopping

    def data_set(self, name: str, size: int) -> list:
        """A reference to the `Shipped` set in the object store; in a list, so that it is not followed on the way."""
        if (name, size) not in self.shipped:
            self.shipped[name, size] = ray.put(Shipped.of(datasets.load(name, size)))
        return [self.shipped[name, size]]


def other_code(planned_by: str, node: str) -> str | None:
    """What is wrong with the code of a node, in a sentence."""
    try:
        require_code(planned_by, f"Node {node}")
    except RequestError as error:
        return str(error)
    return None


def train(task: Task, hub: Any) -> Outcome:
    """What a task does on a node."""
    stop, ended = Event(), Event()
    if ray.get(hub.is_stopping.remote()):
        return Outcome(interrupted=True)
    watching = Thread(target=_watch, args=(hub, stop, ended), daemon=True)
    watching.start()
    control = Control(Watcher(lambda event: hub.tell.options(num_returns=0).remote(event)), stop)
    try:
        fetch(task.group.dataset, task.group.recipe.size, hub)
        return work(task, control, f"Node {ray.util.get_node_ip_address()}")
    except RequestError as error:
        outcome = Outcome()
        outcome.add(task.group.network, error)
        return portable(outcome)
    finally:
        ended.set()
        watching.join()
        ray.get(hub.is_stopping.remote())  # calls arrive in order: what was told is there now


def fetch(dataset: str, size: int, hub: Any) -> None:
    """Have the data set in this node's cache folder. Raises RequestError where it cannot be stored."""
    if not is_prepared(dataset, size):
        [reference] = ray.get(hub.data_set.remote(dataset, size))
        ray.get(reference).arrive()


def _watch(hub: Any, stop: Event, ended: Event) -> None:
    """Pass on the word to stop; where the command is gone, nobody waits for the task any more."""
    while not ended.wait(LOOK):
        try:
            if ray.get(hub.is_stopping.remote()):
                stop.set()
        except RayError:
            stop.set()
