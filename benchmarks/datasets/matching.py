"""From the files of a folder or zip to pairs of image and mask: by the patterns of a layout, or by convention.

By convention a picture is a mask where its name ends as names of masks do ("_segmentation", "_mask") or the nearest
folder above it with a telling name says so ("masks", "Ground Truth", "IMD002_lesion"); all other pictures are images.
Image and mask belong together where their paths agree once those words are taken away: "images/a.jpg" and
"masks/a_segmentation.png", or "case 7/photo.png" and "case 7/mask.png".
"""

import contextlib
import csv
import functools
import hashlib
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from benchmarks.datasets import sources
from benchmarks.datasets.archives import Pair
from benchmarks.datasets.judging import listed
from benchmarks.datasets.layout import Groups, Layout, Part, texts
from benchmarks.datasets.sources import Member
from results.errors import RequestError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
_MASK = r"segmentations?|seg|masks?|gt|ground[ _-]?truth|labels?|annotations?"
_IMAGE = r"images?|imgs?|photos?|pictures?|originals?|inputs?|data|dermoscopic[ _-]image"
_IGNORED = r"superpixels|overlays?|rois?|thumbnails?|thumbs"
_ALSO = r"[ _-]lesion"  # only behind something: lesions/ may as well hold photographs
MASK_ENDING = re.compile(rf"([ _.-]|\b)({_MASK})([ _-]?\d+)?$|{_ALSO}$", re.IGNORECASE)
IMAGE_ENDING = re.compile(rf"(^|[ _-])({_IMAGE})$", re.IGNORECASE)
FOLDERS = {
    "mask": re.compile(rf"(^|[ _-])({_MASK})$|{_ALSO}$", re.IGNORECASE),
    "image": re.compile(rf"(^|[ _-])({_IMAGE})$", re.IGNORECASE),
    "ignored": re.compile(rf"(^|[ _-])({_IGNORED})$", re.IGNORECASE),
}


@dataclass(frozen=True)
class Matched:
    """The pairs of a data set, ascending by id, and how they were found."""

    pairs: list[Pair]
    convention: str
    """In words."""
    groups: tuple[str, ...] | None = None
    """Of each pair, where a table says so."""
    parts: tuple[str, ...] | None = None
    """Of each pair, where the publisher cut the set."""
    ignored: int = 0
    """Pictures that are neither image nor mask."""


@dataclass
class _Found:
    """Members by role and id."""

    image: dict[str, list[Member]] = field(default_factory=dict)
    mask: dict[str, list[Member]] = field(default_factory=dict)

    def add(self, role: str, identifier: str, member: Member) -> None:
        getattr(self, role).setdefault(identifier, []).append(member)


@contextlib.contextmanager
def opened(name: str, source: Path, layout: Layout, *, other_ids: bool = False) -> Iterator[Matched]:
    """The pairs of a data set at `source`, a folder or a zip; zips, also those in the folder, stay open inside.

    other_ids: whether parts may hold other ids than those that were published. Raises RequestError where there is no
    pair, an image or a mask stands alone or twice, ids or groups cannot be told, or ids are not the published ones.
    """
    if fault := sources.fault_of(source, folder=True):
        raise RequestError(f"{source} {fault}.")
    with contextlib.ExitStack() as stack:
        every = dict(_members(source.absolute(), stack))
        pictures = {path: each for path, each in every.items() if path.lower().endswith(SUFFIXES)}
        kept = {path: each for path, each in pictures.items() if not _matches(texts(layout.ignore), path)}
        if layout.part:
            matched = _of_parts(kept, layout, source, other_ids)
        elif layout.images:
            found, used = _by_patterns(kept, layout)
            words = f"images as {_either(layout.images)}, masks as {_either(layout.masks)}"
            matched = Matched(_pairs(found, source, layout), words, ignored=len(pictures) - used)
        else:
            found, used = _by_convention(kept)
            matched = Matched(_pairs(found, source, layout), _in_words(found), ignored=len(pictures) - used)
        if not matched.pairs:
            raise RequestError(f"{source} holds no pictures of {name}; {_expected(layout)}.")
        if layout.groups:
            groups = _groups(layout.groups, every, [pair.id for pair in matched.pairs], source)
            matched = replace(matched, groups=groups)
        yield matched


def _members(source: Path, stack: contextlib.ExitStack) -> Iterator[tuple[str, Member]]:
    """Every visible file by its path below the source; a zip counts as a folder of its name."""
    inside = sources.members(source, stack)
    for member in inside:
        if member.archive is None and member.entry.lower().endswith(".zip"):
            zipped = Path(source, member.entry)
            beside = PurePosixPath(member.entry).with_suffix("")
            for each in sources.members(zipped, stack):
                yield str(source.name / beside / each.entry), each
        else:
            yield str(PurePosixPath(source.stem if member.archive else source.name, member.entry)), member


# By patterns


@functools.cache
def _regex(pattern: str) -> re.Pattern:
    """Of the end of a path, from a folder's boundary on; upper and lower case are the same."""
    words = {r"\*\*/": "(?:.*/)?", r"\*\*": ".*", r"\*": "[^/]*", r"\{id\}": "(?P<id>[^/]+?)"}
    escaped = re.escape(pattern)
    for written, meant in words.items():
        escaped = escaped.replace(written, meant)
    return re.compile(rf"(?:.*/)?{escaped}", re.IGNORECASE)


def _matches(patterns: Iterable[str], path: str) -> bool:
    return any(_regex(pattern).fullmatch(path) for pattern in patterns)


def _identified(patterns: Iterable[re.Pattern], path: str) -> str | None:
    return next((match["id"] for each in patterns if (match := each.fullmatch(path))), None)


def _by_patterns(members: Mapping[str, Member], layout: Layout | Part) -> tuple[_Found, int]:
    """What the patterns find, and how many pictures that are. What could be a mask is none of the images."""
    patterns = {role: [_regex(each) for each in texts(getattr(layout, f"{role}s"))] for role in ("mask", "image")}
    found, used = _Found(), 0
    for path, member in members.items():
        for role, mine in patterns.items():
            if (identifier := _identified(mine, path)) is not None:
                found.add(role, identifier, member)
                used += 1
                break
    return found, used


def _of_parts(members: Mapping[str, Member], layout: Layout, source: Path, other_ids: bool) -> Matched:
    """The parts that a publisher cut, each checked against the ids that were published."""
    pairs: list[tuple[Pair, str]] = []
    used = 0
    for part in layout.part:
        found, count = _by_patterns(members, part)
        used += count
        mine = _pairs(found, source, layout)
        if not mine:
            raise RequestError(
                f"{source} holds no pictures of its part {part.part} ({_either(part.images)} and "
                f"{_either(part.masks)}); add them."
            )
        if not other_ids:
            _check_ids(part, [pair.id for pair in mine], source)
        pairs += [(pair, part.part) for pair in mine]
    if twice := [each for each, count in Counter(pair.id for pair, _ in pairs).items() if count > 1]:
        raise RequestError(f"{source} has ids in two of its parts: {listed(twice)}; leave each in one.")
    pairs.sort(key=lambda each: each[0].id)
    words = "the parts that its publisher cut: " + ", ".join(
        f"{count:,} {part}" for part, count in Counter(part for _, part in pairs).items()
    )
    parts = tuple(part for _, part in pairs)
    return Matched([pair for pair, _ in pairs], words, parts=parts, ignored=len(members) - used)


def ids_checksum(ids: Iterable[str]) -> str:
    """Hex SHA-256 of the ids, ascending, each followed by a line end."""
    return hashlib.sha256("".join(f"{each}\n" for each in sorted(ids)).encode()).hexdigest()


def _check_ids(part: Part, ids: Sequence[str], source: Path) -> None:
    published = f"{part.count:,} images" if part.count else "other ids"
    if (part.count and len(ids) != part.count) or (part.sha256 and ids_checksum(ids) != part.sha256):
        raise RequestError(
            f"{source}: the {len(ids):,} images of its part {part.part} are not those that were published ({published}"
            f"{', ids with SHA-256 ' + part.sha256[:12] if part.sha256 else ''}); get the archives again, or prepare a "
            "data set of another name with --layout and --allow-other-ids."
        )


# By convention


def _role(path: PurePosixPath) -> str:
    """Image, mask or ignored."""
    stem = path.stem
    if any(FOLDERS["ignored"].search(each) for each in (stem, *path.parent.parts)):
        return "ignored"
    if MASK_ENDING.search(stem):
        return "mask"
    for folder in reversed(path.parent.parts):
        for role, words in FOLDERS.items():
            if words.search(folder):
                return role
    return "image"


def _key(path: PurePosixPath, role: str) -> tuple[str, ...]:
    """What image and mask have in common: the path without the words that tell them apart."""
    ending = MASK_ENDING if role == "mask" else IMAGE_ENDING
    stem = ending.sub("", path.stem)
    folders = [each for each in path.parent.parts if not any(words.search(each) for words in FOLDERS.values())]
    return tuple(each.lower() for each in (*folders, stem) if each)


def _by_convention(members: Mapping[str, Member]) -> tuple[_Found, int]:
    """What is found, and how many pictures that are."""
    keys: dict[str, dict[tuple[str, ...], list[tuple[str, Member]]]] = {"image": {}, "mask": {}}
    for whole, member in members.items():
        path = PurePosixPath(*PurePosixPath(whole).parts[1:])  # what the source itself is called tells nothing
        if (role := _role(path)) != "ignored":
            keys[role].setdefault(_key(path, role), []).append((str(path), member))
    names, found, used = _names([*keys["image"], *keys["mask"]]), _Found(), 0
    spelled = {names[key]: _spelled(each[0][0], names[key]) for key, each in keys["image"].items()}
    for role, mine in keys.items():
        for key, each in mine.items():
            for _, member in each:
                found.add(role, spelled.get(names[key], names[key]), member)
                used += 1
    return found, used


def _names(keys: Iterable[tuple[str, ...]]) -> dict[tuple[str, ...], str]:
    """An id for each key: its last part where that is enough to tell all apart, else all parts that differ."""
    every = list(dict.fromkeys(keys))
    if not every:
        return {}
    if len({key[-1:] for key in every}) == len(every):
        return {key: key[-1] for key in every}
    shared = 0
    while len({key[: shared + 1] for key in every}) == 1:
        shared += 1
    return {key: "-".join(dict.fromkeys(key[shared:])) or "-".join(key) for key in every}


def _spelled(path: str, identifier: str) -> str:
    """The id with the upper case that the image's file has."""
    at = path.lower().rfind(identifier)
    return path[at : at + len(identifier)] if at >= 0 else identifier


def _in_words(found: _Found) -> str:
    image, mask = (next(iter(each.values()))[0] if each else None for each in (found.image, found.mask))
    return f"images as {image and image.entry}, masks as {mask and mask.entry}"


# What both have in common


def _pairs(found: _Found, source: Path, layout: Layout) -> list[Pair]:
    """Ascending by id. Raises RequestError for what stands alone or twice."""
    for role, mine, other in (("image", found.image, found.mask), ("mask", found.mask, found.image)):
        several = role == "mask" and layout.mask.several
        if twice := [] if several else [each for each, members in mine.items() if len(members) > 1]:
            first = " and ".join(str(each) for each in mine[twice[0]][:2])
            raise RequestError(
                f"{source} has {len(twice)} ids with more than one {role}: {twice[0]} has {first}; remove one, or say "
                f"in a layout file which are meant (--layout{', mask.several = true' if role == 'mask' else ''})."
            )
        if alone := sorted(str(members[0]) for each, members in mine.items() if each not in other):
            raise RequestError(
                f"{source} has {len(alone)} {role}s without {'a mask' if role == 'image' else 'an image'}: "
                f"{listed(alone)}; add what is missing, or say in a layout file which files are images and masks "
                "(--layout)."
            )
    spelled = {each: re.sub(r"[^\w.-]+", "_", each).strip("._") or each for each in found.image}
    if clash := [name for name, count in Counter(spelled.values()).items() if count > 1]:
        raise RequestError(f"{source} has ids that only differ in signs, as of {clash[0]}; rename the files.")
    return [
        Pair(spelled[each], found.image[each][0], first, tuple(others))
        for each in sorted(found.image, key=lambda each: spelled[each])
        for first, *others in [found.mask[each]]
    ]


def _groups(asked: Groups, members: Mapping[str, Member], ids: Sequence[str], source: Path) -> tuple[str, ...]:
    """The group of each id, by the table that a layout names."""
    tables = [each for path, each in members.items() if _matches([asked.file], path)]
    if len(tables) != 1:
        raise RequestError(
            f"{source} has {len(tables)} files {asked.file}, the table of its groups; there must be one."
        )
    text = tables[0].read().decode("utf-8-sig", "replace")
    rows = list(csv.DictReader(io.StringIO(text, newline=""), dialect=_dialect(text)))
    columns = list(rows[0]) if rows else []
    for column in (asked.id, asked.group):
        if column not in columns:
            raise RequestError(f"{tables[0]} has no column {column!r}; its columns are {', '.join(map(str, columns))}.")
    known = {str(row[asked.id]).strip(): str(row[asked.group] or "").strip() for row in rows}
    by_stem = {PurePosixPath(each).stem: group for each, group in known.items()}
    found = {each: known.get(each) or by_stem.get(each) for each in ids}
    if lacking := [each for each, group in found.items() if not group]:
        raise RequestError(f"{tables[0]} names no group of {len(lacking)} images: {listed(lacking)}; add them.")
    return tuple(str(found[each]) for each in ids)


def _dialect(text: str) -> type[csv.Dialect]:
    first = text.partition("\n")[0]
    return csv.excel_tab if "\t" in first else csv.excel


def _either(patterns: str | list[str] | None) -> str:
    return " or ".join(texts(patterns))


def _expected(layout: Layout) -> str:
    if layout.images:
        return f"its layout expects images as {_either(layout.images)} and masks as {_either(layout.masks)}"
    return (
        "--from takes a folder or zip with images/NAME.jpg and masks/NAME.png, with endings such as _mask or "
        "_segmentation, or a folder for each case; else say in a layout file which files are images and masks "
        "(--layout)"
    )
