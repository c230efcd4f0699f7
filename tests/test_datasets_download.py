"""Downloads from a server on loopback that breaks off, refuses, lies or lacks ranges."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from benchmarks import datasets
from benchmarks.datasets import archives, download
from benchmarks.datasets.archives import Archive, Official
from results.errors import RequestError
from tests import dataset_files as fake

PAYLOAD = np.random.default_rng(0).bytes(300_000)


class Server(ThreadingHTTPServer):
    """Serves `files`; `breaks` lists after how many bytes the next answers break off (None: not at all)."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {"/a.zip": PAYLOAD}
        self.breaks: list[int | None] = []
        self.statuses: list[int] = []
        self.ranges = True
        self.asked: list[str | None] = []

    def archive(self, name: str = "a", data: bytes = PAYLOAD) -> Archive:
        return Archive(name, f"http://127.0.0.1:{self.server_port}/{name}.zip", f"md5:{hashlib.md5(data).hexdigest()}")


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.asked.append(wanted)
        data = self.server.files.get(self.path)
        if data is None or self.server.statuses:
            self.send_error(self.server.statuses.pop(0) if data is not None else 404)
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.server.ranges else 0
        if start >= len(data):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(data)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        stop = self.server.breaks.pop(0) if self.server.breaks else None
        self.wfile.write(data[start : None if stop is None else start + stop])

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def fetch(archive: Archive, folder: Path) -> Path:
    return download.fetch([archive], folder, progress=False, pause=0)[0]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_broken_transfer_goes_on_where_it_stopped(server: Server, tmp_path: Path) -> None:
    server.breaks = [2 * download.CHUNK + 500, download.CHUNK]
    path = fetch(server.archive(), tmp_path)
    assert path.read_bytes() == PAYLOAD
    assert server.asked == [None, f"bytes={2 * download.CHUNK}-", f"bytes={3 * download.CHUNK}-"]
    assert names(tmp_path) == ["a.zip"]


def test_part_stays_for_the_next_call(server: Server, tmp_path: Path) -> None:
    server.breaks = [2 * download.CHUNK, *[0] * download.TRIES]
    with pytest.raises(RequestError, match=r"a\.zip cannot be fetched .*run the command again to go on"):
        fetch(server.archive(), tmp_path)
    assert names(tmp_path) == ["a.zip.part"]
    server.asked.clear()
    assert fetch(server.archive(), tmp_path).read_bytes() == PAYLOAD
    assert server.asked == [f"bytes={2 * download.CHUNK}-"]
    assert names(tmp_path) == ["a.zip"]


def test_server_without_ranges_starts_again(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    server.breaks = [2 * download.CHUNK]
    assert fetch(server.archive(), tmp_path).read_bytes() == PAYLOAD
    assert server.asked == [None, f"bytes={2 * download.CHUNK}-"]


def test_part_that_is_whole_already(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.zip.part").write_bytes(PAYLOAD)
    assert fetch(server.archive(), tmp_path).read_bytes() == PAYLOAD
    assert server.asked == [f"bytes={len(PAYLOAD)}-"]


def test_part_longer_than_the_file_starts_again(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.zip.part").write_bytes(PAYLOAD + b"more")
    assert fetch(server.archive(), tmp_path).read_bytes() == PAYLOAD


def test_wrong_checksum_removes_the_file(server: Server, tmp_path: Path) -> None:
    archive = server.archive(data=b"another file")
    with pytest.raises(RequestError, match=rf"a\.zip from .* does not have the checksum {archive.checksum}.*again"):
        fetch(archive, tmp_path)
    assert names(tmp_path) == []


def test_file_that_is_there_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(PAYLOAD)
    fetch(server.archive(), tmp_path)
    assert server.asked == []


def test_damaged_file_that_is_there_is_fetched_again(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(PAYLOAD[:-1])
    assert fetch(server.archive(), tmp_path).read_bytes() == PAYLOAD


def test_busy_server_is_asked_again_and_a_missing_file_is_not(server: Server, tmp_path: Path) -> None:
    server.statuses = [503, 500]
    assert fetch(server.archive(), tmp_path).read_bytes() == PAYLOAD
    server.asked.clear()
    with pytest.raises(RequestError, match=r"b\.zip cannot be fetched \(404"):
        fetch(server.archive("b"), tmp_path)
    assert len(server.asked) == 1


def test_no_server(server: Server, tmp_path: Path) -> None:
    archive = Archive("a", "http://127.0.0.1:9/a.zip", "md5:0")
    with pytest.raises(RequestError, match=r"check the network and run the command again.*--from PATH"):
        fetch(archive, tmp_path)


def test_folder_that_cannot_be_written(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RequestError, match=r"Cannot write .*make it writable or name another folder with --from"):
        fetch(server.archive(), tmp_path / "file")


def test_download_then_prepare(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.install(monkeypatch, tmp_path / "cache")
    monkeypatch.setattr(download, "PAUSE", 0)
    contents = fake.files("Images", "Masks")
    fake.as_zip_per_folder(contents, tmp_path / "upstream")
    for name in ("Images", "Masks"):
        server.files[f"/{name}.zip"] = (tmp_path / "upstream" / f"{name}.zip").read_bytes()
    official = Official(*(server.archive(name, server.files[f"/{name}.zip"]) for name in ("Images", "Masks")))
    monkeypatch.setitem(archives.OFFICIAL, "isic2018", official)
    prepared = datasets.prepare("isic2018", download=True, size=16, progress=False)
    assert prepared.ids == fake.IDS
    assert names(tmp_path / "cache" / "downloads") == ["Images.zip", "Masks.zip"]
    elsewhere = datasets.prepare("isic2018", tmp_path / "mine", download=True, size=16, progress=False)
    assert elsewhere.fingerprint == prepared.fingerprint
    assert names(tmp_path / "mine") == ["Images.zip", "Masks.zip"]
