"""From the official archives to a prepared set: verify, decode on all cores, store as a whole or not at all."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import PIL

from benchmarks.datasets import archives, decoding, judging, loading, pixels, store
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
    workers: int | None = None,
    progress: bool = True,
) -> store.PreparedSet:
    """Prepare a data set at `size` pixels in the cache folder, replacing an earlier one of that size, and open it.

    `source` is where the pictures are (see `archives.opened`). With `download` the official archives are fetched first,
    into `source` or else into downloads/ in the cache folder. `synthetic` needs neither: it is drawn. `workers` threads
    decode (default: one per core). Raises RequestError, one sentence with file and cure, for whatever is wrong with the
    request or the data, with `strict` also for what is unlikely of it (`PreparedSet.doubts`); nothing half-prepared is
    left behind then, nor after Ctrl-C.
    """
    loading.check_request(name, size)
    if name == "synthetic":
        if source or download:
            raise RequestError("synthetic is drawn, not read; leave out --from and --download.")
        return loading.load(name, size)
    if download:
        from benchmarks.datasets.download import fetch

        source = source or store.cache_folder() / "downloads"
        official = archives.OFFICIAL[name]
        fetch((official.images, official.masks), source, progress=progress)
    if source is None:
        raise RequestError(f"Say where the pictures of {name} are with --from PATH, or fetch them with --download.")
    folder = store.cache_folder() / name
    with archives.opened(name, source) as pairs, store.locked(folder), decoding.quiet():
        shown = _shown(pairs, f"Preparing {name}") if progress else pairs
        ids = [pair.id for pair in pairs]
        seen = _Seen(source, size, strict)

        def origin() -> dict:
            about = {"source": str(source.absolute()), "pillow": PIL.__version__}
            return about | {"originals": seen.originals.summary(), "doubts": seen.doubts}

        return store.write(folder / str(size), name, size, ids, seen.pictures(shown, workers), origin)


@dataclass
class _Seen:
    """Lets the pictures of one preparation through, and judges them when all are seen."""

    source: Path
    size: int
    strict: bool
    originals: Originals = field(default_factory=Originals)
    doubts: list[str] = field(default_factory=list)

    def pictures(self, pairs: Iterable[archives.Pair], workers: int | None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Decoded and resized, in order. Raises RequestError, after the last one, for what the set cannot be."""
        signs = []
        for each in pixels.in_order(partial(pixels.decoded, size=self.size), pairs, workers):
            self.originals.add(each.original)
            signs.append(each.signs)
            yield each.image, each.mask
        if all(max(each.width, each.height) < self.size for each in self.originals.seen):
            raise RequestError(
                f"Every image in {self.source} is smaller than {self.size} pixels; "
                "prepare from the full-size originals or ask for a smaller --size."
            )
        self._judge(signs)

    def _judge(self, signs: list[judging.Signs]) -> None:
        found = judging.judged(signs)
        if found.impossible:
            raise RequestError(f"{self.source} is refused: {'; and '.join(found.impossible)}.")
        self.doubts = found.unlikely
        if self.strict:
            vanished = [each.name for each in signs if each.share == 0]
            judging.refuse(self.source, self.doubts, vanished, self.size)


def _shown(pairs: list[archives.Pair], label: str) -> Iterator[archives.Pair]:
    """The pairs, with a progress bar on a terminal and one closing line elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        yield from bar.track(pairs, description=label)
