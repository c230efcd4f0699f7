"""A prepared set on its way to the cache folder of a machine that has none."""

import json
from dataclasses import dataclass

import numpy as np

from benchmarks.datasets import loading, store
from results.errors import RequestError

MEASURED = ("name", "size", "images", "fingerprint", "soft_share", "vanished")  # on arrival; the rest is sent


@dataclass(frozen=True)
class Shipped:
    """All of a prepared set."""

    name: str
    size: int
    ids: tuple[str, ...]
    images: np.ndarray  # (N, H, W, 3) uint8
    masks: np.ndarray  # (N, H, W) uint8
    fingerprint: str
    origin: dict
    """What prepared.json says of where it comes from."""
    groups: tuple[str, ...] | None = None
    parts: tuple[str, ...] | None = None

    @classmethod
    def of(cls, prepared: store.PreparedSet) -> "Shipped":
        """Of a set on this machine."""
        about = json.loads((prepared.folder / "prepared.json").read_text())
        return cls(
            prepared.name,
            prepared.size,
            prepared.ids,
            prepared.images,
            prepared.masks,
            prepared.fingerprint,
            {key: value for key, value in about.items() if key not in MEASURED},
            prepared.groups,
            prepared.parts,
        )

    def arrive(self) -> None:
        """Store it in this machine's cache folder, unless another process did meanwhile.

        Raises RequestError where the folder cannot be written or the pixels were changed on their way.
        """
        folder = store.cache_folder() / self.name / str(self.size)
        with store.locked(folder.parent):
            if store.described(folder) is not None:
                return
            pictures = zip(self.images, self.masks, strict=True)
            known = {"groups": self.groups, "parts": self.parts}
            arrived = store.write(folder, self.name, self.size, self.ids, pictures, self.origin, **known)
        if arrived.fingerprint != self.fingerprint:
            raise RequestError(f"{folder} has received other pixels than were sent; delete it and run again.")


def is_prepared(name: str, size: int) -> bool:
    """Whether this machine has the data set at that size, or could make it from a larger one."""
    if name not in loading.names():
        return False
    try:
        loading.load(name, size)
    except loading.NotPrepared:
        return False
    return True
