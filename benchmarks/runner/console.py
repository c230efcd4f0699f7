"""What is told of groups in training, and what a person sees of it: bars on a terminal, lines elsewhere (logs, CI).

A `Watcher` is told by the training and makes plain events of it, which may cross to another process or machine.
`Reporter` is the one that shows them to a person.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from benchmarks.runner.rhythm import Lines
from benchmarks.training.replicas import Replicas

SELDOM = 0.5  # seconds between two events within an epoch


@dataclass(frozen=True)
class Note:
    """A line that stays."""

    text: str


@dataclass(frozen=True)
class Moment:
    """Where a group stands: its title, epochs done of all, and its losses and speed in words.

    state: empty before its first epoch here. ended: it trains no more, finished or not. unit: what is counted.
    seeds: how many train together. share: of the epoch that is under way, from 0 to 1.
    """

    title: str
    epoch: int
    total: int
    state: str = ""
    ended: bool = False
    unit: str = "epoch"
    seeds: int = 1
    share: float = 0.0


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
        title, total, seeds = _title(replicas), replicas.recipe.epochs, len(replicas)
        self.show(Moment(title, replicas.epoch, total, seeds=seeds))
        try:
            yield
        finally:
            self.show(Moment(title, replicas.epoch, total, ended=True, seeds=seeds))

    def within_epoch(self, replicas: Replicas) -> Callable[[float], None]:
        """What is to be called with the share of an epoch that is done, after each step; seldom says something."""
        last = time.monotonic()

        def step(share: float) -> None:
            nonlocal last
            if time.monotonic() - last >= SELDOM:
                last = time.monotonic()
                state = _state(replicas) if replicas.epoch else "first epoch"
                self.show(Moment(_title(replicas), replicas.epoch, replicas.recipe.epochs, state, share=share))

        return step

    def epoch(self, replicas: Replicas) -> None:
        """After each epoch: mean losses of the group and its speed; after the first, why it cannot be captured."""
        now = Moment(_title(replicas), replicas.epoch, replicas.recipe.epochs, _state(replicas), seeds=len(replicas))
        self.show(now)
        if replicas.eager_because and replicas.epoch == 1:
            self.note(f"{replicas.name}: its step cannot be captured ({replicas.eager_because}) and runs eagerly")

    def closing(self, replicas: Replicas, scores: Sequence[float]) -> None:
        """The line that stays of a group. scores: IoU of each replica on the test part."""
        failed = [f"seed {each.seed} at epoch {each.failed_at}" for each in replicas.progress if each.failed_at]
        best = ", ".join(str(each.best_epoch) for each in replicas.progress)
        iou = ", ".join(f"{100 * score:.2f}" for score in scores)
        done = f"done, best epoch {best}, IoU {iou} %"
        outcome = f"FAILED, loss not finite: {'; '.join(failed)}" if failed else done
        self.note(f"{_title(replicas)}: {outcome}")


class Reporter(Watcher):
    """Shows the groups in training, those of this process and those it is told of. Use as a context manager."""

    def __init__(self, console: Console, *, plan: str = "", epochs: int = 0) -> None:
        """plan: what all groups together are, in words, and epochs: how many their seeds have; a bar of its own."""
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
        self._done: dict[str, int] = {}
        self._whole = self._bars.add_task(plan, total=epochs, state="all cells") if epochs else None

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
            self._advance(now)
            if now.ended:
                if now.title in self._tasks:
                    self._bars.remove_task(self._tasks.pop(now.title))
                return ""
            if now.title not in self._tasks:
                self._lines[now.title] = Lines()
                self._tasks[now.title] = self._bars.add_task(now.title, total=now.total, state="")
            self._bars.update(self._tasks[now.title], completed=now.epoch + now.share, state=now.state)
            if self.console.is_terminal or now.share:
                return ""
            if not now.state:
                begun = "resumed after" if now.epoch else "starting at"
                return f"{now.title}: {begun} epoch {now.epoch} of {now.total}"
            due = self._lines[now.title].due(final=now.epoch == now.total)
        return f"{now.title}: {now.unit} {now.epoch}/{now.total}, {now.state}" if due else ""

    def _advance(self, now: Moment) -> None:
        """The bar of the whole plan, by the epochs that each seed has done since the last event."""
        if self._whole is not None and not now.share and now.unit == "epoch":
            new = now.epoch - self._done.get(now.title, 0)
            self._done[now.title] = now.epoch
            self._bars.advance(self._whole, max(0, new) * now.seeds)


def _title(replicas: Replicas) -> str:
    seeds = ",".join(str(each.seed) for each in replicas.progress)
    return f"{replicas.name} seed{'s' if len(replicas) > 1 else ''} {seeds}"


def _state(replicas: Replicas) -> str:
    rows = [each.history[-1] for each in replicas.progress]
    training, validation = (sum(row[key] for row in rows) / len(rows) for key in ("train_loss", "validation_loss"))
    speed = sum(each.images for each in replicas.progress) / replicas.progress[0].seconds
    return f"loss {training:.3f}, validation {validation:.3f}, {speed:.0f} images/s"
