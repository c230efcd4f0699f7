"""Where the pictures come from: the official archives and their ids, and the pairs that zips and folders hold.

Source of names, addresses and checksums: the ISIC challenge archive, https://challenge.isic-archive.com/data/.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path, PurePosixPath

from benchmarks.datasets import sources
from benchmarks.datasets.sources import Member
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
class Pair:
    """An image and its mask, still encoded."""

    id: str
    image: Member
    mask: Member
    others: tuple[Member, ...] = ()
    """Further masks, where all together are the truth."""


@contextlib.contextmanager
def opened(name: str, source: Path) -> Iterator[list[Pair]]:
    """The pairs of the data set found at `source`, in the order of the manifest; zips stay open inside the context.

    `source` is one of the two official zips or unpacked folders (the other one is looked for beside it), the folder
    that holds both, or a zip or folder with images/ID.jpg|png and masks/ID_segmentation.png, at any level of a zip and
    a few below a folder. Upper and lower case are the same. Raises RequestError for a path that is none of these, a
    zip that is broken or climbs out of its folder, and missing, extra or duplicate ids.
    """
    official = OFFICIAL[name]
    folders = {
        "image": {"images", official.images.name.lower()},
        "mask": {"masks", official.masks.name.lower()},
    }
    with contextlib.ExitStack() as stack:
        found: dict[str, list[Member]] = {"image": [], "mask": []}
        for container in sources.containers(source, folders["image"] | folders["mask"]):
            for member in sources.members(container, stack):
                parent = PurePosixPath(container.stem if member.archive else container.name, member.entry).parent.name
                for role, names in folders.items():
                    if parent.lower() in names:
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


def _by_id(role: str, members: list[Member], ids: Sequence[str], source: Path, archive: Archive) -> dict[str, Member]:
    """The members of one role by id, exactly those of the manifest; else RequestError."""
    found: dict[str, Member] = {}
    spelled = {each.lower(): each for each in ids}
    for member in members:
        identifier = _identifier(role, member)
        if identifier is None:
            continue
        identifier = spelled.get(identifier.lower(), identifier)
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
    stem, lower = path.stem, path.stem.lower()
    if path.suffix.lower() not in _IMAGE_SUFFIXES or lower.endswith(_SUPERPIXELS_ENDING):
        return None
    return stem[: -len(_MASK_ENDING)] if role == "mask" and lower.endswith(_MASK_ENDING) else stem


def _listed(names: Sequence[str]) -> str:
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")
