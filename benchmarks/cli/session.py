"""What one call of the command line shares among its parts: where it prints, and whether it shows tracebacks."""

import _thread
import os
import signal
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from traceback import print_exception

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from results.errors import RequestError


class Output(Console):
    """Standard output. Where its reader goes away (`| head`), the command stops as by Ctrl-C, and without a word."""

    def __init__(self) -> None:
        super().__init__(width=None if sys.stdout.isatty() else 120)

    def on_broken_pipe(self) -> None:
        """Called from any thread: training prints from several."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt
        if not hasattr(signal, "pthread_kill"):  # Windows
            _thread.interrupt_main(signal.SIGTERM)
            return
        signal.pthread_kill(
            threading.main_thread().ident or 0, signal.SIGTERM
        )  # as `run` takes it: a KeyboardInterrupt


@dataclass
class Session:
    """Kept as the object of the context of all commands."""

    console: Output = field(default_factory=Output)
    tracebacks: bool = False
    """Whether --debug was given."""

    def say(self, text: str) -> None:
        """A line of plain text, broken at the width of the output."""
        self.console.print(text, highlight=False, markup=False)

    def say_whole(self, text: str) -> None:
        """Text whose lines are not broken, such as paths."""
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def say_path(self, path: Path) -> None:
        """A file that was written, relative to the working folder where it lies in it."""
        here = Path.cwd()
        self.say_whole(str(path.relative_to(here) if path.is_absolute() and path.is_relative_to(here) else path))

    def warn(self, kind: str, text: str) -> None:
        """A line that begins with a red word."""
        self.console.print(f"[red]{kind}:[/] {escape(text)}", highlight=False)

    def show(self, table: Table) -> None:
        self.console.print(table)

    def show_traceback(self, error: BaseException) -> None:
        """Of what lies behind an error, on stderr, where --debug asks for it."""
        cause = error.__cause__ if isinstance(error, RequestError) else error
        if self.tracebacks and cause is not None:
            print_exception(cause)


def session_of(context: typer.Context) -> Session:
    """The session of the call that a command is part of."""
    return context.ensure_object(Session)
