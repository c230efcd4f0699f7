"""From the official archives to a prepared set: verify, decode on all cores, store as a whole or not at all."""

import contextlib
import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import PIL

from benchmarks.datasets import archives, decoding, judging, loading, matching, pixels, store
from benchmarks.datasets import layout as layouts
from benchmarks.datasets.originals import Originals
from results.errors import RequestError

SIZE = 256  # side in pixels of the paper's images


def prepare(
    name: str,
    source: Path | None = None,
    *,
    download: bool = False,
    size: int = SIZE,
    strict: bool = False,
    layout: str | None = None,
    other_ids: bool = False,
    workers: int | None = None,
    progress: bool = True,
) -> store.PreparedSet:
    """Prepare a data set at `size` pixels in the cache folder, replacing an earlier one of that size, and open it.

    `source` is where the pictures are (see `archives.opened` for the official training sets, `matching.opened` for
    all others, which `layout` may explain: a TOML file or the name of a known set). With `download` the official
    archives are fetched first, into `source` or else into downloads/ in the cache folder. `synthetic` needs
    neither: it is drawn. `other_ids` allows the parts of a known set to hold other images than the published ones.
    `workers` threads decode (default: one per core). Raises RequestError, one sentence with file and cure, for
    whatever is wrong with the request or the data, with `strict` also for what is unlikely of it
    (`PreparedSet.doubts`); nothing half-prepared is left behind then, nor after Ctrl-C.
    """
    loading.check_size(size)
    loading.check_name(name)
    if name == "synthetic":
        if source or download:
            raise RequestError("synthetic is drawn, not read; leave out --from and --download.")
        return loading.load(name, size)
    if download:
        from benchmarks.datasets.download import fetch

        if name not in archives.OFFICIAL:
            raise RequestError(f"--download fetches {' and '.join(archives.OFFICIAL)} alone; get {name} yourself.")
        source = source or store.cache_folder() / "downloads"
        official = archives.OFFICIAL[name]
        fetch((official.images, official.masks), source, progress=progress)
    if source is None:
        fetched = ", or fetch them with --download" if name in archives.OFFICIAL else ""
        raise RequestError(f"Say where the pictures of {name} are with --from PATH{fetched}.")
    wanted = Wanted(name, source, size, layout, other_ids, strict)
    folder = store.cache_folder() / name
    with wanted.opened() as matched, store.locked(folder), decoding.quiet():
        seen = wanted.seen(matched, progress)
        pictures = seen.pictures(matched.pairs, workers)
        known = {"groups": matched.groups, "parts": matched.parts}
        ids = [pair.id for pair in matched.pairs]
        return store.write(folder / str(size), name, size, ids, pictures, seen.origin, **known)


def checked(
    name: str,
    source: Path,
    *,
    size: int = SIZE,
    strict: bool = False,
    layout: str | None = None,
    other_ids: bool = False,
    workers: int | None = None,
    progress: bool = True,
) -> "Findings":
    """Read and judge the pictures as `prepare` does, and store nothing. Raises as it does."""
    loading.check_size(size)
    loading.check_name(name)
    wanted = Wanted(name, source, size, layout, other_ids, strict)
    with wanted.opened() as matched, decoding.quiet():
        seen = wanted.seen(matched, progress)
        for _ in seen.pictures(matched.pairs, workers):
            pass
        return Findings(name, len(matched.pairs), size, seen.origin(), matched.groups)


@dataclass(frozen=True)
class Findings:
    """What is known of a data set that was read and not stored: as in prepared.json."""

    name: str
    images: int
    size: int
    origin: dict
    groups: tuple[str, ...] | None


@dataclass(frozen=True)
class Wanted:
    """What is asked for: a data set, where its files are, and how they are to be read."""

    name: str
    source: Path
    size: int
    layout: str | None
    other_ids: bool
    strict: bool

    @contextlib.contextmanager
    def opened(self) -> Iterator[matching.Matched]:
        """The pairs, official or by layout."""
        if self.name in archives.OFFICIAL:
            if self.layout or self.other_ids:
                raise RequestError(
                    f"{self.name} has a layout and ids of its own; leave out --layout, or take another name."
                )
            with archives.opened(self.name, self.source) as pairs:
                yield matching.Matched(pairs, "the official archives")
            return
        chosen, _ = self._layout
        if self.other_ids and self.name in layouts.known():
            raise RequestError(f"--allow-other-ids makes another data set of {self.name}; give it another name.")
        with matching.opened(self.name, self.source, chosen, other_ids=self.other_ids) as matched:
            yield matched

    @functools.cached_property
    def _layout(self) -> tuple[layouts.Layout, str]:
        return layouts.asked(self.name, self.source, self.layout)

    def seen(self, matched: matching.Matched, progress: bool) -> "_Seen":
        """Looks at the pictures as they pass."""
        if self.name in archives.OFFICIAL:
            return _Seen(self, layouts.Layout(), {}, progress)
        layout, where = self._layout
        about: dict = {"convention": matched.convention, "ignored": matched.ignored}
        about |= {key: getattr(layout, key) for key in store.CREDITS if getattr(layout, key)}
        about |= {"layout": where} if where else {}
        return _Seen(self, layout, about, progress)


@dataclass
class _Seen:
    """Lets the pictures of one preparation through, and judges them when all are seen."""

    wanted: Wanted
    layout: layouts.Layout
    about: dict
    """What prepared.json says of a user's own data set."""
    progress: bool
    originals: Originals = field(default_factory=Originals)
    doubts: list[str] = field(default_factory=list)
    signs: list[judging.Signs] = field(default_factory=list)

    def pictures(self, pairs: list[archives.Pair], workers: int | None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Decoded and resized, in order. Raises RequestError, after the last one, for what the set cannot be."""
        shown = _shown(pairs, f"Preparing {self.wanted.name}") if self.progress else pairs
        decode, size = partial(pixels.decoded, size=self.wanted.size, rule=self.layout.mask), self.wanted.size
        for each in pixels.in_order(decode, shown, workers):
            self.originals.add(each.original)
            self.signs.append(each.signs)
            yield each.image, each.mask
        if all(max(each.width, each.height) < size for each in self.originals.seen):
            raise RequestError(
                f"Every image in {self.wanted.source} is smaller than {size} pixels; "
                "prepare from the full-size originals or ask for a smaller --size."
            )
        self._judge()

    def origin(self) -> dict:
        """For prepared.json."""
        about = {"source": str(self.wanted.source.absolute()), "pillow": PIL.__version__, **self.about}
        if self.layout.mask.empty:
            marked = [each.name for each in self.signs if each.levels > 1 and each.share == 0]
            about |= {"vanished": marked, "empty": sum(each.levels == 1 for each in self.signs)}
        if self.about:
            about["shares"] = [float(each) for each in np.quantile([sign.share for sign in self.signs], (0, 0.5, 1))]
        return about | {"originals": self.originals.summary(), "doubts": self.doubts}

    def _judge(self) -> None:
        marked = [each for each in self.signs if each.levels > 1 or not self.layout.mask.empty]
        if not marked:
            raise RequestError(f"{self.wanted.source}: no mask marks anything; get or draw the masks again.")
        found = judging.judged(marked)
        if found.impossible:
            raise RequestError(f"{self.wanted.source} is refused: {'; and '.join(found.impossible)}.")
        self.doubts = found.unlikely
        if self.wanted.strict:
            vanished = [each.name for each in marked if each.share == 0]
            judging.refuse(self.wanted.source, self.doubts, vanished, self.wanted.size)


def _shown(pairs: list[archives.Pair], label: str) -> Iterator[archives.Pair]:
    """The pairs, with a progress bar on a terminal and one closing line elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        yield from bar.track(pairs, description=label)
