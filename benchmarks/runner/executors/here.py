"""This machine: threads of this process, or one process for each of several devices, which take from one plan."""

import multiprocessing
import signal
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from threading import Event, Lock, Thread
from typing import Any

import torch

from benchmarks.machine import device_named
from benchmarks.networks import registry
from benchmarks.runner import local
from benchmarks.runner.backlog import WAITING
from benchmarks.runner.console import Note, Watcher
from benchmarks.runner.executors.executor import Executor
from benchmarks.runner.executors.task import merged, portable, unaccounted
from benchmarks.runner.group import Control, GroupSpec, Resources
from benchmarks.runner.local import Job, Outcome
from results.cell import Cell

STOP = "stop"


class Threads(Executor):
    """One device, or the cores of the CPU."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def execute(self, cells: list[Cell], job: Job) -> Outcome:
        outcome = local.execute(cells, job)
        job.prepared.verification.check()
        return outcome


class Processes(Executor):
    """A process for each device. What one of them held when it died, the others take."""

    def __init__(self, devices: list[torch.device]) -> None:
        """devices: of one kind."""
        self.names = [str(device) for device in devices]
        self.device = torch.device(devices[0].type)

    @property
    def side_by_side(self) -> int:
        return len(self.names)

    def execute(self, cells: list[Cell], job: Job) -> Outcome:
        outcome = Outcome()
        groups = local.checked_groups(cells, job, outcome)
        lanes = [_Lane(name, _Share(groups, job.steal)) for name in self.names] if groups else []
        outcomes = [outcome]
        listening = Thread(target=_listen, args=(list(lanes), job.control.reporter, outcomes), daemon=True)
        listening.start()
        try:
            listening.join()
        except KeyboardInterrupt:
            outcome.interrupted = True
            for lane in lanes:
                lane.stop()
            listening.join()
        whole = merged(outcomes)
        if not whole.interrupted:
            whole.errors += unaccounted(groups, whole)
        return local.stored(whole, cells, job.root)


@dataclass(frozen=True)
class _Share:
    """What each process is given: all groups, of which it takes one after another."""

    groups: list[GroupSpec]
    steal: frozenset[str]


class _Lane:
    """A process on one device, and this end of the pipe to it."""

    def __init__(self, device: str, share: _Share) -> None:
        context = multiprocessing.get_context("spawn")
        self.device = device
        self.pipe, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(target=_serve, args=(share, device, theirs), daemon=True)
        self.process.start()
        theirs.close()

    def stop(self) -> None:
        with suppress(OSError):  # it has ended
            self.pipe.send(STOP)


def _listen(lanes: list[_Lane], reporter: Watcher, outcomes: list[Outcome]) -> None:
    """Show what the processes tell until all have ended, and keep what they report.

    In a thread of its own, because Ctrl-C must not end the reading of a message in its middle.
    """
    waiting = False
    while lanes:
        for ready in wait([lane.pipe for lane in lanes]):
            lane = next(each for each in lanes if each.pipe is ready)
            try:
                told = lane.pipe.recv()
            except EOFError:
                lane.process.join()
                lanes.remove(lane)
                if lane.process.exitcode:
                    reporter.note(f"The process on {lane.device} died (exit code {lane.process.exitcode}).")
                continue
            if isinstance(told, Outcome):
                outcomes.append(told)
            elif not (waits := isinstance(told, Note) and told.text.startswith(WAITING)) or not waiting:
                reporter.show(told)
                waiting |= waits  # once of all processes, which wait for one another in the end


def _serve(share: _Share, device: str, pipe: Connection) -> None:
    """The whole life of a worker process. It ends with its groups, or soon after the command has."""
    for each in (signal.SIGINT, signal.SIGTERM):  # these reach all processes of a group; the command passes them on
        signal.signal(each, signal.SIG_IGN)
    stop, sending = Event(), Lock()

    def tell(told: Any) -> None:
        with sending, suppress(OSError):  # the command has died: `_obey` will notice
            pipe.send(told)

    Thread(target=_obey, args=(pipe, stop), daemon=True).start()
    first, outcome = share.groups[0], Outcome()
    try:
        for group in share.groups:
            registry.from_specification(group.wanted)
        resources, control = Resources.found(first, device_named(device)), Control(Watcher(tell), stop)
        job = local.Job(first.recipe, first.root, resources, control, first.engine, first.deadline, share.steal)
        local.work_through(share.groups, job, outcome)
    except Exception as error:
        outcome.add(first.network, error)
    tell(portable(outcome))


def _obey(pipe: Connection, stop: Event) -> None:
    """Wait for the word to stop, or for the end of the command that would say it."""
    with suppress(EOFError, OSError):
        pipe.recv()
    stop.set()
