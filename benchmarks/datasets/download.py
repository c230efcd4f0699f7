"""Fetching the official archives: resumed where they broke off, verified before anyone reads them.

Pooch stores and verifies; its own HTTP downloader starts a broken transfer from zero, so `Resuming` stands in for it.
"""

import errno
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

import pooch
import requests

from benchmarks.datasets.archives import Archive
from results.errors import RequestError

CHUNK = 1 << 16  # bytes; a broken transfer loses less than one
TIMEOUT = 60  # seconds without a byte
PAUSE = 2.0  # seconds before the first new try; doubled after each that brings nothing
TRIES = 6  # in a row that bring nothing

Report = Callable[[int, int | None], None]  # bytes so far, bytes in all where the server says so


class _BrokenOff(Exception):
    """The transfer ended early; another try may go on from there."""


class Resuming:
    """A downloader for pooch that keeps what it has in `<file>.part` and asks the server only for the rest.

    Reference: RFC 9110, section 14 (range requests).
    """

    def __init__(self, part: Path, report: Report, pause: float = PAUSE) -> None:
        self.part = part
        self.report = report
        self.pause = pause

    def __call__(self, url: str, output_file: str, _: object) -> None:
        """Fetch `url` whole into `output_file`; requests.RequestException when it will not come."""
        failures = 0
        while True:
            before = self._have()
            try:
                self._transfer(url)
                break
            except (_BrokenOff, requests.ConnectionError, requests.Timeout) as error:
                failures = 0 if self._have() > before else failures + 1
                if failures == TRIES:
                    raise requests.ConnectionError(str(error)) from error
                time.sleep(self.pause * 2 ** max(failures - 1, 0))
        self.part.replace(output_file)

    def _have(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _transfer(self, url: str) -> None:
        """One request for what is missing; returns when the file is whole."""
        have = self._have()
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
            described, _, total = response.headers.get("Content-Range", "").partition("/")
            if response.status_code == requests.codes.requested_range_not_satisfiable:
                if total == str(have):
                    return
                self._start_over("the part that is here is longer than the file on the server")
            if response.status_code >= 500:
                raise _BrokenOff(f"the server answered {response.status_code}")
            response.raise_for_status()
            partial = response.status_code == requests.codes.partial_content
            if partial and not described.startswith(f"bytes {have}-"):
                self._start_over(f"the server sent {described!r} in place of the bytes from {have}")
            self._append(response, have if partial else 0)

    def _start_over(self, reason: str) -> NoReturn:
        self.part.unlink(missing_ok=True)
        raise _BrokenOff(reason)

    def _append(self, response: requests.Response, have: int) -> None:
        length = response.headers.get("Content-Length")
        total = have + int(length) if length else None
        self.report(have, total)
        with open(self.part, "r+b" if have else "wb") as file:
            file.seek(have)
            try:
                for chunk in response.iter_content(CHUNK):
                    file.write(chunk)
                    self.report(file.tell(), total)
            except requests.exceptions.ChunkedEncodingError as error:
                raise _BrokenOff(str(error)) from error
            if total is not None and file.tell() < total:
                raise _BrokenOff(f"{file.tell()} of {total} bytes came")


def fetch(archives: Sequence[Archive], folder: Path, *, progress: bool = True, pause: float = PAUSE) -> list[Path]:
    """Bring the archives into `folder` as <name>.zip, each verified; those that are there and whole are kept.

    Interrupted, it leaves <name>.zip.part, from which the next call goes on. A file whose checksum is wrong is removed.
    Raises RequestError for that, for a server that cannot be reached and for a folder that cannot be written.
    """
    from rich.console import Console
    from rich.progress import DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    columns = (*Progress.get_default_columns()[:2], DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not progress) as bar:

        def reporter(name: str) -> Report:
            task = bar.add_task(name, total=None)
            return lambda done, total: bar.update(task, completed=done, total=total)

        return [_fetch_one(archive, folder, reporter(archive.name), pause) for archive in archives]


def _fetch_one(archive: Archive, folder: Path, report: Report, pause: float) -> Path:
    path = folder / f"{archive.name}.zip"
    downloader = Resuming(path.with_name(path.name + ".part"), report, pause)
    try:
        pooch.retrieve(archive.url, archive.checksum, path.name, folder, downloader=downloader)
    except ValueError as error:  # pooch's word for a wrong checksum
        raise RequestError(
            f"{path.name} from {archive.url} does not have the checksum {archive.checksum} and was removed; "
            "run the command again, and if that does not help, the file on the server has changed."
        ) from error
    except requests.RequestException as error:
        raise RequestError(
            f"{archive.url} cannot be fetched ({error}); check the network and run the command again to go on, "
            "or name files that you have with --from PATH."
        ) from error
    except OSError as error:
        full = (
            "free some space" if error.errno == errno.ENOSPC else "make it writable or name another folder with --from"
        )
        raise RequestError(f"Cannot write {path} ({error.strerror or error}); {full}.") from error
    report(path.stat().st_size, path.stat().st_size)
    return path
