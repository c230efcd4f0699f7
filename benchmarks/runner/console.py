"""What is told of groups in training, and what a person sees of it: bars on a terminal, lines elsewhere (logs, CI).

A `Watcher` is told by the training and makes plain events of it, which may cross to another process or machine.
`Reporter` is the one that shows them to a person.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from benchmarks.runner.rhythm import Lines
from benchmarks.training.replicas import Replicas


@dataclass(frozen=True)
class Note:
    """A line that stays."""

    text: str


@dataclass(frozen=True)
class Moment:
    """Where a group stands: its title, epochs done of all, and its losses and speed in words.

    state: empty before its first epoch here. ended: it trains no more, finished or not. unit: what is counted.
    """

    title: str
    epoch: int
    total: int
    state: str = ""
    ended: bool = False
    unit: str = "epoch"


Event = Note | Moment


class Watcher:
    """Is told how groups stand, from several threads, and hands it on as events."""

    def __init__(self, show: Callable[[Event], object]) -> None:
        self.show = show

    def note(self, text: str) -> None:
        """A line that stays."""
        self.show(Note(text))

    @contextmanager
    def showing(self, replicas: Replicas) -> Iterator[None]:
        """The group trains as long as this lasts."""
        title, total = _title(replicas), replicas.recipe.epochs
        self.show(Moment(title, replicas.epoch, total))
        try:
            yield
        finally:
            self.show(Moment(title, replicas.epoch, total, ended=True))

    def epoch(self, replicas: Replicas) -> None:
        """After each epoch: mean losses of the group and its speed; after the first, why it cannot be captured."""
        self.show(Moment(_title(replicas), replicas.epoch, replicas.recipe.epochs, _state(replicas)))
        if replicas.eager_because and replicas.epoch == 1:
            self.note(f"{replicas.name}: its step cannot be captured ({replicas.eager_because}) and runs eagerly")

    def closing(self, replicas: Replicas) -> None:
        """The line that stays of a group."""
        failed = [f"seed {each.seed} at epoch {each.failed_at}" for each in replicas.progress if each.failed_at]
        best = ", ".join(str(each.best_epoch) for each in replicas.progress)
        outcome = f"FAILED, loss not finite: {'; '.join(failed)}" if failed else f"done, best epoch {best}"
        self.note(f"{_title(replicas)}: {outcome}")


class Reporter(Watcher):
    """Shows the groups in training, those of this process and those it is told of. Use as a context manager."""

    def __init__(self, console: Console) -> None:
        super().__init__(self._show)
        self.console = console
        self._lock = Lock()
        self._lines: dict[str, Lines] = {}
        self._tasks: dict[str, TaskID] = {}
        self._bars = Bars(
            TextColumn("{task.description:<28}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[state]}"),
            TimeRemainingColumn(compact=True),
            console=console,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> "Reporter":
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def _show(self, event: Event) -> None:
        line = event.text if isinstance(event, Note) else self._moved(event)
        if line:
            self.console.print(line, highlight=False, markup=False)

    def _moved(self, now: Moment) -> str:
        """Move the bar of a group; the line that is due of it where there are no bars.

        A group whose machine was lost begins again under its title, and may end twice.
        """
        with self._lock:
            if now.ended:
                if now.title in self._tasks:
                    self._bars.remove_task(self._tasks.pop(now.title))
                return ""
            if now.title not in self._tasks:
                self._lines[now.title] = Lines()
                self._tasks[now.title] = self._bars.add_task(now.title, total=now.total, state="")
            self._bars.update(self._tasks[now.title], completed=now.epoch, state=now.state)
            if self.console.is_terminal:
                return ""
            if not now.state:
                begun = "resumed after" if now.epoch else "starting at"
                return f"{now.title}: {begun} epoch {now.epoch} of {now.total}"
            due = self._lines[now.title].due(final=now.epoch == now.total)
        return f"{now.title}: {now.unit} {now.epoch}/{now.total}, {now.state}" if due else ""


def _title(replicas: Replicas) -> str:
    seeds = ",".join(str(each.seed) for each in replicas.progress)
    return f"{replicas.name} seed{'s' if len(replicas) > 1 else ''} {seeds}"


def _state(replicas: Replicas) -> str:
    rows = [each.history[-1] for each in replicas.progress]
    training, validation = (sum(row[key] for row in rows) / len(rows) for key in ("train_loss", "validation_loss"))
    speed = sum(each.images for each in replicas.progress) / replicas.progress[0].seconds
    return f"loss {training:.3f}, validation {validation:.3f}, {speed:.0f} images/s"
