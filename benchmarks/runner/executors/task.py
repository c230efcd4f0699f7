"""What one process, on whatever machine, is given to do; how it does it; and what it reports. All of it pickles."""

import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from hashlib import sha256

from benchmarks.runner.claims import ClaimLost
from benchmarks.runner.group import Control, GroupSpec, run_alone
from benchmarks.runner.local import Outcome
from benchmarks.training.engine import announcing
from benchmarks.training.loop import Interrupted
from results import installation
from results.errors import RequestError

CODE = ("models", "baselines", "benchmarks", "results")  # packages whose sources make the numbers


@dataclass(frozen=True)
class Task:
    """One group for one process."""

    group: GroupSpec
    device: str
    """As `machine.device_named` takes it."""
    job: str
    """Of the command that hands it out: a task that is begun again goes on at once with the claims of the lost one."""
    steal: frozenset[str]
    """Claims of others that are taken over."""
    code: str
    """`code()` of the process that planned it."""


class Elsewhere(Exception):
    """What was raised in another process: the text of its traceback."""


@cache
def code() -> str:
    """Hash of the sources that make the numbers: equal where the same version of this package is installed."""
    digest = sha256()
    for package in CODE:
        for path in sorted((installation.FOLDER / package).rglob("*.py")):
            content = path.read_bytes()
            digest.update(f"{path.relative_to(installation.FOLDER).as_posix()} {len(content)}:".encode() + content)
    return digest.hexdigest()


def require_code(planned_by: str, machine: str) -> None:
    """Raises RequestError where this process, on a machine of this name, has not the code of the planning one."""
    if code() != planned_by:
        raise RequestError(
            f"{machine} runs another version of this package, in {installation.FOLDER}, than this command; install the "
            "same one on every machine."
        )


def work(task: Task, control: Control, machine: str) -> Outcome:
    """Train what is free of the group of a task. What goes wrong is part of the outcome; nothing is raised."""
    outcome, group = Outcome(), task.group
    try:
        require_code(task.code, machine)
        with announcing(control.reporter.note):
            run_alone(group, control, task.device, job=task.job, steal=task.steal)
    except ClaimLost as lost:
        control.reporter.note(f"{lost}: another process has taken over")
    except Interrupted:
        outcome.interrupted = True
    except (Exception, SystemExit) as error:
        outcome.add(group.network, error)
    return portable(outcome)


def portable(outcome: Outcome) -> Outcome:
    """The same with causes that any process can unpickle."""
    outcome.causes = [Elsewhere("".join(traceback.format_exception(cause))) for cause in outcome.causes]
    return outcome


def merged(outcomes: Iterable[Outcome]) -> Outcome:
    """What several processes report, as one; an error that several of them met is said once."""
    whole = Outcome()
    for each in outcomes:
        whole.errors += [error for error in each.errors if error not in whole.errors]
        whole.causes += each.causes
        whole.interrupted |= each.interrupted
    return whole


def unaccounted(groups: Iterable[GroupSpec], outcome: Outcome) -> list[tuple[str, str]]:
    """Errors for cells that are neither done nor in error, because their processes died."""
    told = {network for network, _ in outcome.errors}
    networks = dict.fromkeys(group.network for group in groups if group.network not in told and group.left)
    return [(network, "its processes died; run the same command again to go on") for network in networks]
