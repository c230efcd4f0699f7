"""Jobs of a Slurm array, through submitit, one per group. Time-out or preemption pauses a job and queues it again."""

import platform
import secrets
import shlex
import shutil
import sys
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from typing import Any

import torch
from rich.console import Console

from benchmarks.runner.console import Moment, Reporter, Watcher
from benchmarks.runner.executors import rounds
from benchmarks.runner.executors.executor import Executor
from benchmarks.runner.executors.task import Task, code, work
from benchmarks.runner.group import Control, GroupSpec
from benchmarks.runner.local import Job, Outcome
from results.cell import Cell
from results.errors import RequestError
from results.runs import is_done

NOTICE, STOPPING = 120, 30  # seconds before the end of a job when it is told; of these, for the last step
REQUEUED = 100  # times a job may run out of time
LOOK = 5.0  # seconds between two looks at the jobs
LOGS = "slurm"  # folder beside runs/


@dataclass(frozen=True)
class Request:
    """What is asked of Slurm for each job."""

    options: dict[str, str]
    """Long options of sbatch, without dashes: partition, account, mem, ..."""
    minutes: int = 240
    """Time limit of one job, which goes on in the next."""
    cpus: int = 1
    gpus: int = 0
    at_once: int = 256
    """Jobs that run side by side."""

    @classmethod
    def of(cls, given: list[str], gpus: int) -> "Request":
        """From KEY=VALUE texts; gpus: per job where none are asked for. Raises RequestError for what is none."""
        options = {}
        for text in given:
            key, found, value = text.partition("=")
            if not (found and key and value):
                raise RequestError(f"--slurm {text} is not KEY=VALUE; give for example partition=gpu or time=4:00:00.")
            options[key.replace("-", "_")] = value
        minutes = _minutes(options.pop("time", "240"))
        numbers = {"cpus": 1, "gpus": gpus, "at_once": 256}
        for key, default in numbers.items():
            value = options.pop(key, str(default))
            least = 0 if key == "gpus" else 1
            if not value.isdecimal() or int(value) < least:
                raise RequestError(f"--slurm {key}={value} is not a whole number of {least} or more.")
            numbers[key] = int(value)
        return cls(options, minutes, **numbers)

    @property
    def parameters(self) -> dict[str, Any]:
        """As submitit's executor for Slurm takes them."""
        return {
            "job_name": "lesion-benchmarks",
            "time": self.minutes,
            "cpus_per_task": self.cpus,
            "array_parallelism": self.at_once,
            "signal_delay_s": NOTICE,
            "additional_parameters": {key.replace("_", "-"): value for key, value in self.options.items()},
        } | ({"gpus_per_node": self.gpus} if self.gpus else {})


def _minutes(text: str) -> int:
    """ "90", "4:00:00" or "1-12:00:00" as Slurm writes times, in minutes. Raises RequestError for anything else."""
    days, _, clock = text.rpartition("-")
    parts = clock.split(":")
    if not all(part.isdecimal() for part in [days or "0", *parts]) or len(parts) not in (1, 3):
        raise RequestError(f"--slurm time={text} is no time; give minutes, H:MM:SS or D-HH:MM:SS.")
    hours, minutes, seconds = (int(part) for part in parts) if len(parts) == 3 else (0, int(parts[0]), 0)
    total = (int(days or 0) * 24 + hours) * 60 + minutes + -(-seconds // 60)
    if total * 60 < 2 * NOTICE:
        raise RequestError(f"--slurm time={text} is too short: a job needs {2 * NOTICE // 60} minutes at least.")
    return total


class Slurm(Executor):
    """A Slurm cluster that this machine can submit to."""

    def __init__(self, request: Request, device: str) -> None:
        """device: "cpu" or "cuda" of the jobs. Raises RequestError where submitit is not installed."""
        if find_spec("submitit") is None:
            raise RequestError('--executor slurm needs submitit; type: pip install "lesion-benchmarks[slurm]".')
        self.request, self.token = request, secrets.token_hex(8)
        self.device = torch.device(device)

    @classmethod
    def asked(cls, options: list[str], device: str) -> "Slurm":
        """options: KEY=VALUE. device: "auto" is a GPU where the options ask for one. Raises RequestError."""
        if device not in ("auto", "cpu", "cuda"):
            raise RequestError(f"--device is {device!r}; with --executor slurm give auto, cpu or cuda.")
        request = Request.of(options, gpus=int(device == "cuda"))
        return cls(request, "cuda" if request.gpus and device != "cpu" else "cpu")

    def script(self, groups: int, root: Path) -> str:
        """What sbatch is given for so many groups; nothing is submitted."""
        from submitit.slurm.slurm import _make_sbatch_string  # submitit's public way to it needs a Slurm cluster

        folder = (root / LOGS).absolute()
        command = f"{shlex.quote(sys.executable)} -u -m submitit.core._submit {shlex.quote(str(folder))}"
        parameters = self.request.parameters | ({"map_count": groups} if groups > 1 else {})
        return _make_sbatch_string(command=command, folder=folder, **parameters)

    def execute(self, cells: list[Cell], job: Job) -> Outcome:
        return rounds.execute(cells, job, self._hand_out)

    def _hand_out(self, groups: list[GroupSpec], job: Job) -> list[Outcome]:
        """Submit one job per group and wait for all; what they report."""
        device = self.device.type
        tasks = [Attempt(Task(group, device, self.token, job.steal, code())) for group in groups]
        submitter = self._submitter(job.root)
        with submitter.batch():
            jobs = [submitter.submit(task) for task in tasks]
        names = sorted({each.job_id.partition("_")[0] for each in jobs})
        job.control.reporter.note(
            f"Submitted {len(jobs)} jobs to Slurm ({', '.join(names)}); logs in {job.root / LOGS}"
        )
        try:
            _watch(jobs, groups, job.control.reporter)
        except KeyboardInterrupt:
            job.control.reporter.note(f"The jobs go on; `scancel {' '.join(names)}` ends them.")
            return [Outcome(interrupted=True)]
        return [_reported(each, group.network) for each, group in zip(jobs, groups, strict=True)]

    def _submitter(self, root: Path) -> Any:
        """submitit's executor. Raises RequestError where there is no Slurm."""
        import submitit

        if shutil.which("srun") is None:
            raise RequestError("--executor slurm finds no srun on this machine; type the command on a login node.")
        submitter = submitit.SlurmExecutor(root / LOGS, max_num_timeout=REQUEUED)
        submitter.update_parameters(**self.request.parameters)
        return submitter


class Attempt:
    """What a job runs. Slurm's signal before its end, or when it is preempted, pauses it; then it is queued again."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def __call__(self) -> Outcome:
        """Not in the main thread, which receives the signal."""
        outcomes: list[Outcome] = []
        with Reporter(Console()) as reporter:
            self.control = Control(reporter)
            self.thread = Thread(target=lambda: outcomes.append(work(self.task, self.control, platform.node())))
            self.thread.start()
            self.thread.join()
        return outcomes[0]

    def checkpoint(self) -> Any:
        """Called by submitit in the main thread, on the signal: end at this epoch, or at this step if that is long."""
        from submitit.helpers import DelayedSubmission

        self.control.pause.set()
        self.thread.join(NOTICE - 2 * STOPPING)
        self.control.stop.set()
        self.thread.join(STOPPING)
        return DelayedSubmission(Attempt(self.task))


def _watch(jobs: list[Any], groups: list[GroupSpec], reporter: Watcher) -> None:
    """Show how many cells are done, from the results folder, until no job is left."""
    cells = [(cell, group.root) for group in groups for cell in group.cells]
    title = f"{len(jobs)} jobs"
    while True:
        ended = sum(each.done() for each in jobs)
        done = sum(is_done(cell, root) for cell, root in cells)
        state = f"{ended} of {len(jobs)} jobs ended"
        reporter.show(Moment(title, done, len(cells), state, ended=ended == len(jobs), unit="cell"))
        if ended == len(jobs):
            return
        time.sleep(LOOK)


def _reported(job: Any, network: str) -> Outcome:
    """What a job reports, or how it died."""
    error = job.exception()
    if error is None:
        return job.result()
    what = str(error).strip().splitlines()[-1].rstrip(".")
    return Outcome(errors=[(network, f"job {job.job_id} died ({what}); its log is {job.paths.stderr}")])
