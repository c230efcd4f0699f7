"""Folders and zips as people have them, and whatever else lies in their place: each blamed for what it is."""

import os
import socket
import stat
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks import datasets
from benchmarks.datasets import sources
from results.errors import RequestError
from tests import dataset_files as fake
from tests.test_datasets_hostile import is_sentence

WHOLE = fake.files("images", "masks")
FIRST_IMAGE, FIRST_MASK = f"images/{fake.IDS[0]}.jpg", f"masks/{fake.IDS[0]}_segmentation.png"


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    fake.install(monkeypatch, tmp_path / "cache")
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The fingerprint of the plain folder."""
    with pytest.MonkeyPatch.context() as patch:
        fake.install(patch, tmp_path_factory.mktemp("cache"))
        return prepare(fake.as_folder(WHOLE, tmp_path_factory.mktemp("source"))).fingerprint


def prepare(source: Path) -> datasets.PreparedSet:
    return datasets.prepare("isic2018", source, size=16, progress=False)


def said(source: Path) -> str:
    with pytest.raises(RequestError) as caught:
        prepare(source)
    assert is_sentence(str(caught.value)), str(caught.value)
    return str(caught.value)


def renamed(change: Callable[[str], str]) -> dict[str, bytes]:
    return {change(path): data for path, data in WHOLE.items()}


NAMES = {
    "one level more": lambda path: f"mine/{path}",
    "two levels more": lambda path: f"mine/2018/{path}",
    "Images and Masks": lambda path: path.replace("images", "Images").replace("masks", "MASKS"),
    "_Segmentation": lambda path: path.replace("_segmentation.png", "_Segmentation.PNG"),
    "ids in lower case": lambda path: path.replace("ISIC", "isic"),
    "official in lower case": lambda path: path.replace("images", "isic2018_task1-2_training_input").replace(
        "masks", "isic2018_task1_training_groundtruth"
    ),
}


@pytest.mark.parametrize("as_zip", [False, True])
@pytest.mark.parametrize("change", NAMES)
def test_folders_and_zips_accept_the_same(tmp_path: Path, expected: str, change: str, as_zip: bool) -> None:
    contents = renamed(NAMES[change])
    zipped = tmp_path / "mine.zip"
    source = fake.as_zip(contents, zipped) if as_zip else fake.as_folder(contents, tmp_path / "source")
    assert prepare(source).fingerprint == expected


def test_a_zip_with_backslashes(tmp_path: Path, expected: str) -> None:
    contents = {"mine\\": b"", **renamed(lambda path: "mine\\" + path.replace("/", "\\"))}
    assert prepare(fake.as_zip(contents, tmp_path / "mine.zip")).fingerprint == expected


def test_links_are_followed_and_circles_are_not(tmp_path: Path, expected: str) -> None:
    fake.as_folder(WHOLE, tmp_path / "elsewhere")
    source = tmp_path / "source"
    source.mkdir()
    (source / "images").symlink_to(tmp_path / "elsewhere" / "images")
    (source / "masks").mkdir()
    (source / "masks" / "masks").symlink_to(source / "masks")
    for path in (tmp_path / "elsewhere" / "masks").iterdir():
        (source / "masks" / path.name).symlink_to(path)
    assert prepare(source).fingerprint == expected


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's path is short
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(here)


INSTEAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "dangling link": (lambda path: path.symlink_to("/nowhere/at/all"), "is a link to /nowhere/at/all, which does not"),
    "link in a circle": (lambda path: path.symlink_to(path), "cannot be reached"),
    "pipe": (a_pipe, "is a pipe, not a"),
    "socket": (a_socket, "is a socket, not a"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "is a device, not a"),
    "folder": (lambda path: path.mkdir(), "is a folder, not a file"),
}


@pytest.mark.parametrize("place", [FIRST_IMAGE, FIRST_MASK])
@pytest.mark.parametrize("what", INSTEAD)
def test_what_is_no_file_is_named_and_never_opened(tmp_path: Path, what: str, place: str) -> None:
    source = fake.as_folder(WHOLE, tmp_path / "source")
    (source / place).unlink()
    INSTEAD[what][0](source / place)
    words = said(source)
    assert f"{place} {INSTEAD[what][1]}" in words


@pytest.mark.parametrize("what", [name for name in INSTEAD if name != "folder"])
@pytest.mark.parametrize("name", ["source", "source/images", "source/masks.zip"])
def test_what_is_no_source_is_named(tmp_path: Path, what: str, name: str) -> None:
    (tmp_path / "source").mkdir() if "/" in name else None
    INSTEAD[what][0](tmp_path / name)
    assert f"{name} {INSTEAD[what][1]}" in said(tmp_path / "source")


def test_a_file_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = fake.as_folder(WHOLE, tmp_path / "source")
    if os.geteuid() == 0:  # to whom everything is permitted

        def refuse(path: Path, *_: object) -> None:
            raise PermissionError(13, "Permission denied", str(path))

        monkeypatch.setattr(Path, "open", refuse)
    (source / FIRST_IMAGE).chmod(0)
    assert f"{FIRST_IMAGE} cannot be read (Permission denied); let this user read it." in said(source)


def test_a_folder_that_cannot_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = fake.as_folder(WHOLE, tmp_path / "source")
    real = os.scandir

    def refuse(path: str | Path) -> object:
        if str(path).endswith("images"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert "source/images cannot be listed (Permission denied); let this user read it." in said(source)


# Zips


def zipped(tmp_path: Path, kind: int = zipfile.ZIP_STORED) -> Path:
    path = tmp_path / "mine.zip"
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, data in WHOLE.items():
            archive.writestr(name, data)
    return path


def patched(path: Path, signature: bytes, offset: int, value: bytes) -> None:
    """Write into each header of the kind: b"PK\\3\\4" before a member, b"PK\\1\\2" in the directory."""
    data = bytearray(path.read_bytes())
    at = data.find(signature)
    while at >= 0:
        data[at + offset : at + offset + len(value)] = value
        at = data.find(signature, at + 4)
    path.write_bytes(data)


@pytest.mark.parametrize("kind", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_every_compression_is_read(tmp_path: Path, expected: str, kind: int) -> None:
    assert prepare(zipped(tmp_path, kind)).fingerprint == expected


def test_a_zip_with_a_password(tmp_path: Path) -> None:
    path = zipped(tmp_path)
    patched(path, b"PK\1\2", 8, b"\1")
    patched(path, b"PK\3\4", 6, b"\1")
    assert f"{FIRST_IMAGE} is locked with a password; unpack mine.zip with it and give --from the folder" in said(path)


def test_a_compression_that_is_not_known(tmp_path: Path) -> None:
    path = zipped(tmp_path)
    patched(path, b"PK\1\2", 10, b"\x61")
    patched(path, b"PK\3\4", 8, b"\x61")
    assert "unpack mine.zip and give --from the folder" in said(path)


def test_a_member_that_is_too_large_is_never_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its own word, or in spite of it: 9 MB of zeros in 9 kB, of which the directory says that they are 9 MB."""
    monkeypatch.setattr(sources, "MOST_BYTES", 1 << 20)
    path = tmp_path / "mine.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in {**WHOLE, FIRST_IMAGE: bytes(9 << 20)}.items():
            archive.writestr(name, data)
    assert f"{FIRST_IMAGE} has more than 1 MiB, which no picture" in said(path)
    folder = fake.as_folder({**WHOLE, FIRST_MASK: bytes((1 << 20) + 1)}, tmp_path / "source")
    assert f"{FIRST_MASK} has more than 1 MiB" in said(folder)


def test_a_member_that_lies_about_its_size(tmp_path: Path) -> None:
    path = tmp_path / "mine.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in {**WHOLE, FIRST_IMAGE: bytes(9 << 20)}.items():
            archive.writestr(name, data)
    patched(path, b"PK\1\2", 24, (100).to_bytes(4, "little"))
    assert FIRST_IMAGE in said(path)


def test_a_bomb_is_bounded(tmp_path: Path) -> None:
    """A member of 300 MB: its sentence comes before a byte of it is unpacked."""
    path = zipped(tmp_path, zipfile.ZIP_DEFLATED)
    patched(path, b"PK\1\2", 24, (300 << 20).to_bytes(4, "little"))
    assert "has more than 128 MiB" in said(path)


@pytest.mark.parametrize("share", np.linspace(0, 0.999, 12))
def test_a_truncated_zip(tmp_path: Path, share: float) -> None:
    path = zipped(tmp_path)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    assert "mine.zip is not a complete zip file" in said(path)


def test_a_damaged_zip_is_a_sentence_or_the_right_pixels(tmp_path: Path, expected: str) -> None:
    """Also inside of JPEGs, which have no checksum of their own: the zip has one."""
    path = zipped(tmp_path, zipfile.ZIP_DEFLATED)
    data, rng = path.read_bytes(), np.random.default_rng(0)
    directory = data.index(b"PK\1\2")
    outcomes = []
    for at in [*rng.integers(0, directory, 15), *rng.integers(directory, len(data), 25)]:
        path.write_bytes(data[:at] + bytes([data[at] ^ int(rng.integers(1, 256))]) + data[at + 1 :])
        try:
            outcomes.append("right" if prepare(path).fingerprint == expected else f"{at}: other pixels")
        except RequestError as error:
            outcomes.append("sentence" if is_sentence(str(error)) else f"{at}: {error}")
    assert set(outcomes) == {"right", "sentence"}


def test_crc_is_the_zips(tmp_path: Path) -> None:
    path = zipped(tmp_path)
    patched(path, b"PK\1\2", 16, zlib.crc32(b"another").to_bytes(4, "little"))
    assert f"{FIRST_IMAGE} cannot be read (Bad CRC-32" in said(path)


@pytest.mark.skipif(os.name != "posix", reason="umask is POSIX")
@pytest.mark.parametrize("umask", [0o022, 0o002, 0o077])
def test_a_prepared_set_obeys_the_umask(tmp_path: Path, cache: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        folder = prepare(fake.as_folder(WHOLE, tmp_path / "source")).folder
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in [folder, *folder.iterdir(), cache, folder.parent]}
    files = {"images.npy", "masks.npy", "ids.csv", "prepared.json"}
    assert modes == {name: (0o666 if name in files else 0o777) & ~umask for name in modes}
    assert stat.S_IMODE((folder.parent / ".lock").stat().st_mode) == 0o666 & ~umask
