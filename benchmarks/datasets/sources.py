"""Reading files as people have them: in folders and in zips, whole ones and damaged ones, and what only looks like one.

Nothing here knows a data set. A file is read when its turn comes; whatever is wrong with it is then one sentence that
blames the right thing: a link that leads nowhere, a pipe, a missing permission, a password, or the archive itself.
"""

import contextlib
import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from typing import IO

from results.errors import RequestError

MOST_BYTES = 1 << 27  # of one file: a photograph of 134 megapixels is smaller, unless it is stored raw
DEEPEST = 3  # folders between the path that was given and the pictures
_HIDDEN = ("__MACOSX", ".")
_ZIP_FAULTS = (
    zipfile.BadZipFile,
    zlib.error,
    LZMAError,
    struct.error,
    EOFError,
    OSError,
    RuntimeError,
    ValueError,
    OverflowError,
)
_SPECIAL = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}


@dataclass(frozen=True)
class Member:
    """One file in a folder or in an open zip."""

    container: Path
    entry: str  # path inside the container, with /
    archive: zipfile.ZipFile | None = None
    stored: zipfile.ZipInfo | None = None  # of the archive, which may name two entries alike

    def __str__(self) -> str:
        return str(self.container / self.entry)

    def read(self) -> bytes:
        """The whole file; threads may read from one zip at the same time.

        Raises RequestError for what cannot be read and for what has more than MOST_BYTES, which is never read whole.
        """
        with self._opened() as file:
            try:
                content = file.read(MOST_BYTES + 1)
            except _ZIP_FAULTS as error:
                raise _unreadable(str(self), error) from error
        if len(content) > MOST_BYTES:
            raise self._too_large()
        return content

    def _opened(self) -> IO[bytes]:
        if self.archive is None:
            return opened_file(self.container / self.entry)
        assert self.stored is not None
        if self.stored.flag_bits & 1:
            raise RequestError(
                f"{self} is locked with a password; unpack {self.container.name} with it and give --from the folder."
            )
        if self.stored.file_size > MOST_BYTES:
            raise self._too_large()
        try:
            return self.archive.open(self.stored)
        except NotImplementedError as error:
            raise RequestError(
                f"{self} cannot be read ({error}); unpack {self.container.name} and give --from the folder."
            ) from error
        except _ZIP_FAULTS as error:
            raise _unreadable(str(self), error) from error

    def _too_large(self) -> RequestError:
        return RequestError(
            f"{self} has more than {MOST_BYTES >> 20} MiB, which no picture of a data set has; remove it or save it "
            "smaller."
        )


def _unreadable(name: str, error: BaseException) -> RequestError:
    if isinstance(error, PermissionError):
        return RequestError(f"{name} cannot be read ({error.strerror}); let this user read it.")
    reason = (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
    return RequestError(f"{name} cannot be read ({reason}); get the file or its archive again.")


def opened_file(path: Path) -> IO[bytes]:
    """An ordinary file, links followed. Raises RequestError for all else; a pipe or device is never opened."""
    if fault := fault_of(path):
        raise RequestError(f"{path} {fault}.")
    try:
        return path.open("rb")
    except OSError as error:
        raise _unreadable(str(path), error) from error


def fault_of(path: Path, *, folder: bool = False) -> str:
    """Why a path is no file (with `folder`: no file and no folder), and the cure; empty when it is one."""
    try:
        kind = stat.S_IFMT(path.stat().st_mode)
    except FileNotFoundError:
        if path.is_symlink():
            return f"is a link to {os.readlink(path)}, which does not exist; mend the link or put the file in its place"
        return "does not exist; give --from the path of the zips or folders that you have"
    except (OSError, ValueError) as error:  # ValueError: a path that cannot be, such as one with a null character
        return f"cannot be reached ({getattr(error, 'strerror', None) or error}); let this user read it, or copy it"
    if kind == stat.S_IFREG or (folder and kind == stat.S_IFDIR):
        return ""
    return f"is {_SPECIAL.get(kind, 'no ordinary file')}, not a {'zip or folder' if folder else 'file'}; replace it"


def containers(source: Path, names: Collection[str]) -> list[Path]:
    """The zips and folders to read at `source`.

    names: in lower case, of the folders and zips in which pictures lie. `source` is a zip, one of those, the folder
    that holds them, or a folder up to DEEPEST levels above. Where one is there both as folder and as zip, the folder.
    Raises RequestError for a path that is neither file nor folder.
    """
    if fault := fault_of(source, folder=True):
        raise RequestError(f"{source} {fault}.")
    source = source.absolute()
    if source.is_file() and source.stem.lower() not in names:
        return [source]
    if source.is_file() or source.name.lower() in names:
        return _named(source.parent, names)
    level = [source]
    for _ in range(DEEPEST):
        if found := [each for folder in level for each in _named(folder, names)]:
            return found
        level = [each for folder in level for each in _listed(folder) if each.is_dir() and not _hidden(each.name)]
    return []


def _named(base: Path, names: Collection[str]) -> list[Path]:
    folders, zips = {}, {}
    for path in _listed(base):
        zipped = path.suffix.lower() == ".zip"
        name = (path.stem if zipped else path.name).lower()
        if name not in names:
            continue
        if fault := fault_of(path, folder=True):
            raise RequestError(f"{path} {fault}.")
        if path.is_dir():
            folders[path] = name
        elif zipped:
            zips[path] = name
    return sorted([*folders, *(path for path, name in zips.items() if name not in folders.values())])


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise _not_listed(error) from error


def _not_listed(error: OSError) -> RequestError:
    return RequestError(f"{error.filename} cannot be listed ({error.strerror}); let this user read it.")


def _hidden(name: str) -> bool:
    return name.startswith(_HIDDEN)


def members(container: Path, stack: contextlib.ExitStack) -> list[Member]:
    """Every visible file of a folder or zip, by name; a zip stays open until the stack is closed.

    Raises RequestError for a zip that is broken or whose entries lead out of it, and a folder that cannot be listed.
    """
    if container.is_dir():
        return [Member(container, entry) for entry in sorted(_walked(container))]
    file = stack.enter_context(opened_file(container))
    try:
        archive = stack.enter_context(zipfile.ZipFile(file))
    except _ZIP_FAULTS as error:
        reason = str(error) or type(error).__name__
        raise RequestError(
            f"{container} is not a complete zip file ({reason}); download it again or name another path."
        ) from error
    entries = [(_checked(info, container), info) for info in archive.infolist() if not info.is_dir()]
    return [
        Member(container, entry, archive, info)
        for entry, info in entries
        if not entry.endswith("/") and not any(map(_hidden, PurePosixPath(entry).parts))
    ]


def _walked(container: Path) -> Iterator[str]:
    """Paths below the folder, of files and of what only looks like one; links are followed, each folder once."""

    def refuse(error: OSError) -> None:
        raise _not_listed(error)

    seen = set()
    for root, folders, names in os.walk(container, onerror=refuse, followlinks=True):
        about = os.stat(root)
        if (about.st_dev, about.st_ino) in seen:
            folders.clear()
            continue
        seen.add((about.st_dev, about.st_ino))
        folders[:] = [each for each in folders if not _hidden(each)]
        for name in [*names, *(each for each in folders if Path(each).suffix)]:  # a folder may have a picture's name
            if not _hidden(name):
                yield Path(root, name).relative_to(container).as_posix()


def _checked(info: zipfile.ZipInfo, container: Path) -> str:
    """The entry's path with /; RequestError when unpacking it could write outside the zip's own folder."""
    entry = info.filename.replace("\\", "/")
    path = PurePosixPath(entry)
    climbs = ".." in path.parts or path.is_absolute() or re.match("[A-Za-z]:", entry)
    if climbs or stat.S_ISLNK(info.external_attr >> 16):
        raise RequestError(
            f"{container} is refused: its entry {info.filename!r} leads out of the archive; "
            "get the archive from its official source."
        )
    return entry
