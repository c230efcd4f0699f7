"""Taking cells, so that none is trained twice: this process's claims, and the signs of life that keep them.

What a claim is, and when one is over, stands in `results.claims`.
"""

import os
import secrets
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path
from threading import Event, Lock, Thread
from types import TracebackType

from benchmarks.training.loop import Interrupted
from results import claims, files
from results.cell import CLAIM, Cell
from results.claims import Claim, Held
from results.errors import Unwritable


class ClaimLost(Interrupted):
    """Another process took over a cell that this one was working on."""


class Claims:
    """The claims of this process in one results folder. Use as a context manager: at its end all are released."""

    def __init__(self, root: Path, *, job: str | None = None, steal: Collection[str] = ()) -> None:
        """job: what this process works for; it takes over claims of the same job at once. None: for itself alone.

        steal: tokens of claims that are taken over, whoever holds them: those that `held_now` found.
        """
        self.root, self.job = root, job or secrets.token_hex(8)
        self.stealable = frozenset(steal)
        self._mine: dict[Cell, Claim] = {}
        self._lost: set[Cell] = set()
        self._lock, self._end = Lock(), Event()
        self._beating = Thread(target=self._beat, name="claims", daemon=True)

    def __enter__(self) -> "Claims":
        self._beating.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._beating.join()
        for cell in list(self._mine):
            self.release(cell)

    def take(self, cell: Cell) -> bool:
        """Whether the cell is now this process's. A claim that is over is replaced."""
        path = cell.folder(self.root) / CLAIM
        with self._lock:
            if cell in self._mine:
                return cell not in self._lost
            claim = Claim.new(self.job)
            held = claims.at(path)
            if held is None:
                taken = _placed(claim, path)
            else:
                now = claims.clock(self.root)
                free = held.is_over(now) or self._may_take_over(held)
                taken = free and _replaced(claim, held, path, now)
            if taken:
                self._mine[cell] = claim
            return taken

    def release(self, cell: Cell) -> None:
        """Let go of a cell; nothing happens where this process does not hold it."""
        with self._lock:
            claim, path = self._mine.pop(cell, None), cell.folder(self.root) / CLAIM
            self._lost.discard(cell)
            held = claims.at(path)
            if claim is not None and held is not None and held.token == claim.token:
                path.unlink(missing_ok=True)

    def check(self, cells: Iterable[Cell]) -> None:
        """To be called before anything is written into folders of these cells. Raises ClaimLost."""
        for cell in cells:
            with self._lock:
                lost = cell in self._mine and not self._alive(cell)
            if lost:
                raise ClaimLost(str(cell))

    def _may_take_over(self, held: Held) -> bool:
        return held.claim is not None and (held.claim.job == self.job or held.token in self.stealable)

    def _alive(self, cell: Cell) -> bool:
        """Show a sign of life for a cell of this process; whether the claim is still there, or could be put back."""
        path, claim = cell.folder(self.root) / CLAIM, self._mine[cell]
        held = claims.at(path)
        if held is not None and held.token == claim.token:
            with suppress(FileNotFoundError):
                os.utime(path)
        elif held is not None or not _placed(claim, path):
            self._lost.add(cell)
        return cell not in self._lost

    def _beat(self) -> None:
        while not self._end.wait(claims.BEAT):
            for cell in list(self._mine):
                with self._lock, suppress(OSError):  # a file server that is away for a moment
                    if cell in self._mine:
                        self._alive(cell)


def held_now(cells: Iterable[Cell], root: Path) -> frozenset[str]:
    """Tokens of the claims that are on these cells at this moment."""
    found = (claims.found(cell, root) for cell in cells)
    return frozenset(held.token for held in found if held is not None and held.token is not None)


def _placed(claim: Claim, path: Path) -> bool:
    """Put a claim into its place, unless one is there; whether it was put.

    Whoever holds the cell cleans its folder, and with it a rival's claim that is being written: too late.
    """
    try:
        with files.beside(path) as whole:
            whole.write_bytes(files.json_text(claim.content()).encode())
            return _linked(whole, path)
    except Unwritable as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return False
        raise


def _linked(whole: Path, path: Path) -> bool:
    """Give a file its place, unless one is there; whether it has it. Raises FileNotFoundError where it was removed."""
    try:
        os.link(whole, path)
        return True
    except FileExistsError:
        return whole.stat().st_nlink == 2  # ours all the same, where a file server's first answer was lost
    except FileNotFoundError:
        raise
    except OSError:  # there are no hard links here
        content = whole.read_bytes()
        with suppress(FileExistsError), path.open("xb") as file:
            file.write(content)
            return True
        return False


def _replaced(claim: Claim, over: Held, path: Path, now: float) -> bool:
    """Put a claim into the place of one that is over, unless another process does.

    Many may find the same claim over. The one that makes a file named after it may replace it, and looks again first:
    a slower one finds that it was replaced. Such a file that is left by a kill counts as long as a claim.
    """
    right = path.with_name(f".{path.name}.{over.token}{files.PARTIAL}")
    try:
        right.touch(exist_ok=False)
    except FileExistsError:
        with suppress(FileNotFoundError):
            if now - right.stat().st_mtime > claims.LIFETIME:
                right.unlink()
        return False
    try:
        held = claims.at(path)
        if held is None or held.token != over.token:
            return False
        claim.write(path)
        return True
    finally:
        right.unlink(missing_ok=True)
