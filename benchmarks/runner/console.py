"""What a person sees while networks train: live bars on a terminal, plain lines elsewhere (logs, CI)."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from benchmarks.runner.rhythm import Lines
from benchmarks.training.replicas import Replicas


class Reporter:
    """Shows the groups in training; called from several threads. Use as a context manager."""

    def __init__(self, console: Console) -> None:
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

    def note(self, text: str) -> None:
        """A line that stays."""
        self.console.print(text, highlight=False)

    @contextmanager
    def showing(self, replicas: Replicas) -> Iterator[None]:
        """A bar of the group as long as it trains."""
        title, total = _title(replicas), replicas.recipe.epochs
        with self._lock:
            self._lines[title] = Lines()
            self._tasks[title] = self._bars.add_task(title, total=total, completed=replicas.epoch, state="")
        if not self.console.is_terminal:
            self.note(
                f"{title}: {'resumed after' if replicas.epoch else 'starting at'} epoch {replicas.epoch} of {total}"
            )
        try:
            yield
        finally:
            with self._lock:
                self._bars.remove_task(self._tasks.pop(title))

    def epoch(self, replicas: Replicas) -> None:
        """After each epoch: mean losses of the group and its speed; after the first, why it cannot be captured."""
        title, state, total = _title(replicas), _state(replicas), replicas.recipe.epochs
        with self._lock:
            self._bars.update(self._tasks[title], completed=replicas.epoch, state=state)
            said = not self.console.is_terminal and self._lines[title].due(final=replicas.epoch == total)
        if said:
            self.note(f"{title}: epoch {replicas.epoch}/{total}, {state}")
        if replicas.eager_because and replicas.epoch == 1:
            self.note(f"{replicas.name}: its step cannot be captured ({replicas.eager_because}) and runs eagerly")

    def closing(self, replicas: Replicas) -> None:
        """The line that stays of a group."""
        failed = [f"seed {each.seed} at epoch {each.failed_at}" for each in replicas.progress if each.failed_at]
        best = ", ".join(str(each.best_epoch) for each in replicas.progress)
        outcome = f"FAILED, loss not finite: {'; '.join(failed)}" if failed else f"done, best epoch {best}"
        self.note(f"{_title(replicas)}: {outcome}")


def _title(replicas: Replicas) -> str:
    seeds = ",".join(str(each.seed) for each in replicas.progress)
    return f"{replicas.name} seed{'s' if len(replicas) > 1 else ''} {seeds}"


def _state(replicas: Replicas) -> str:
    rows = [each.history[-1] for each in replicas.progress]
    training, validation = (sum(row[key] for row in rows) / len(rows) for key in ("train_loss", "validation_loss"))
    speed = sum(each.images for each in replicas.progress) / replicas.progress[0].seconds
    return f"loss {training:.3f}, validation {validation:.3f}, {speed:.0f} images/s"
