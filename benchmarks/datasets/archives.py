"""Where the pictures come from: the official archives and their ids, and reading them from zips or folders.

Source of names, addresses and checksums: the ISIC challenge archive, https://challenge.isic-archive.com/data/.
"""

import contextlib
import re
import stat
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path, PurePosixPath

from results.errors import RequestError

_BUCKET = "https://isic-challenge-data.s3.amazonaws.com"
_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
_MASK_ENDING = "_segmentation"
_SUPERPIXELS_ENDING = "_superpixels"
_SHOWN = 5  # names spelled out in a sentence about many


@dataclass(frozen=True)
class Archive:
    """One official zip; its entries lie in a folder called `name`."""

    name: str
    url: str
    checksum: str  # algorithm:hex digest


@dataclass(frozen=True)
class Official:
    """The two archives of a data set."""

    images: Archive
    masks: Archive


def _archive(year: int, name: str, checksum: str) -> Archive:
    return Archive(name, f"{_BUCKET}/{year}/{name}.zip", checksum)


OFFICIAL = {
    "isic2018": Official(
        images=_archive(
            2018,
            "ISIC2018_Task1-2_Training_Input",
            "sha256:80f98572347a2d7a376227fa9eb2e4f7459d317cb619865b8b9910c81446675f",
        ),
        masks=_archive(
            2018,
            "ISIC2018_Task1_Training_GroundTruth",
            "sha256:99f8b2bb3c4d6af483362010715f7e7d5d122d9f6c02cac0e0d15bef77c7604c",
        ),
    ),
    "isic2017": Official(
        images=_archive(2017, "ISIC-2017_Training_Data", "md5:a14a7e622c67a358797ae59abb8a0b0c"),
        masks=_archive(2017, "ISIC-2017_Training_Part1_GroundTruth", "md5:77fdbeb6fbec4139937224416b250f4c"),
    ),
}


def manifest(name: str) -> tuple[str, ...]:
    """The ids of a data set, ascending: what a prepared set must hold, no more and no less."""
    return tuple(resources.files(__package__).joinpath("manifests", f"{name}.txt").read_text().split())


@dataclass(frozen=True)
class Member:
    """One file in a folder or in an open zip."""

    container: Path
    entry: str  # path inside the container
    archive: zipfile.ZipFile | None

    def __str__(self) -> str:
        return str(self.container / self.entry)

    def read(self) -> bytes:
        """The whole file; threads may read from one zip at the same time."""
        return self.archive.read(self.entry) if self.archive else (self.container / self.entry).read_bytes()


@dataclass(frozen=True)
class Pair:
    """An image and its mask, still encoded."""

    id: str
    image: Member
    mask: Member


@contextlib.contextmanager
def opened(name: str, source: Path) -> Iterator[list[Pair]]:
    """The pairs of the data set found at `source`, in the order of the manifest; zips stay open inside the context.

    `source` is one of the two official zips or unpacked folders (the other one is looked for beside it), the folder
    that holds both, or a zip or folder with images/ID.jpg|png and masks/ID_segmentation.png. Raises RequestError for
    a path that is none of these, a zip that is broken or climbs out of its folder, and missing, extra or duplicate ids.
    """
    official = OFFICIAL[name]
    folders = {"image": {"images", official.images.name}, "mask": {"masks", official.masks.name}}
    with contextlib.ExitStack() as stack:
        found: dict[str, list[Member]] = {"image": [], "mask": []}
        for container in _containers(source, folders["image"] | folders["mask"]):
            for member in _members(container, stack):
                parent = PurePosixPath(container.stem if member.archive else container.name, member.entry).parent.name
                for role, names in folders.items():
                    if parent in names:
                        found[role].append(member)
        if not found["image"] and not found["mask"]:
            raise RequestError(f"{source} holds no pictures of {name}; {_expected(official)}.")
        ids = manifest(name)
        images = _by_id("image", found["image"], ids, source, official.images)
        masks = _by_id("mask", found["mask"], ids, source, official.masks)
        yield [Pair(each, images[each], masks[each]) for each in ids]


def _expected(official: Official) -> str:
    return (
        f"--from takes {official.images.name}.zip or {official.masks.name}.zip (side by side, or unpacked), their "
        "folder, or a zip or folder with images/ID.jpg and masks/ID_segmentation.png"
    )


def _containers(source: Path, names: set[str]) -> list[Path]:
    """The zips and folders to read: of an archive that is there both as folder and as zip, the folder."""
    if not source.exists():
        raise RequestError(f"{source} does not exist; give --from the path of the zips or folders that you have.")
    source = source.absolute()
    if source.is_file() and source.stem not in names:
        return [source]
    base = source.parent if source.is_file() or source.name in names else source
    candidates = [(base / name, base / f"{name}.zip") for name in sorted(names)]
    return [path if path.is_dir() else zipped for path, zipped in candidates if path.is_dir() or zipped.is_file()]


def _members(container: Path, stack: contextlib.ExitStack) -> list[Member]:
    """Every visible file of a folder or zip."""
    if container.is_dir():
        entries = sorted(path.relative_to(container).as_posix() for path in container.rglob("*") if path.is_file())
        archive = None
    else:
        try:
            archive = stack.enter_context(zipfile.ZipFile(container))
        except (zipfile.BadZipFile, OSError) as error:
            message = f"{container} is not a complete zip file ({error}); download it again or name another path."
            raise RequestError(message) from error
        entries = [_checked(info, container) for info in archive.infolist() if not info.is_dir()]
    hidden = ("__MACOSX", ".")
    visible = [entry for entry in entries if not any(part.startswith(hidden) for part in PurePosixPath(entry).parts)]
    return [Member(container, entry, archive) for entry in visible]


def _checked(info: zipfile.ZipInfo, container: Path) -> str:
    """The entry's name; RequestError when unpacking it could write outside the zip's own folder."""
    path = PurePosixPath(info.filename.replace("\\", "/"))
    climbs = ".." in path.parts or path.is_absolute() or re.match("[A-Za-z]:", info.filename)
    if climbs or stat.S_ISLNK(info.external_attr >> 16):
        raise RequestError(
            f"{container} is refused: its entry {info.filename!r} leads out of the archive; "
            "get the archive from its official source."
        )
    return info.filename


def _by_id(role: str, members: list[Member], ids: Sequence[str], source: Path, archive: Archive) -> dict[str, Member]:
    """The members of one role by id, exactly those of the manifest; else RequestError."""
    found: dict[str, Member] = {}
    for member in members:
        identifier = _identifier(role, member)
        if identifier is None:
            continue
        if identifier in found:
            raise RequestError(
                f"{identifier} has two {role} files, {found[identifier]} and {member}; keep one of them."
            )
        found[identifier] = member
    if missing := [each for each in ids if each not in found]:
        raise RequestError(
            f"{source} lacks {len(missing)} of the {len(ids)} {role}s: {_listed(missing)}; "
            f"add them or get {archive.name}.zip again (--download does)."
        )
    if extra := [str(found[each]) for each in sorted(found.keys() - set(ids))]:
        raise RequestError(f"{source} holds {role}s that are not in the data set: {_listed(extra)}; remove them.")
    return found


def _identifier(role: str, member: Member) -> str | None:
    """The id a file stands for; None for what is no picture of its role, such as notes and superpixel maps.

    A picture in the folder of masks without the ending of a mask keeps its whole name, and so counts as extra.
    """
    path = PurePosixPath(member.entry)
    if path.suffix.lower() not in _IMAGE_SUFFIXES or path.stem.endswith(_SUPERPIXELS_ENDING):
        return None
    return path.stem.removesuffix(_MASK_ENDING) if role == "mask" else path.stem


def _listed(names: Sequence[str]) -> str:
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")
