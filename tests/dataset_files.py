"""A data set of six pictures in the layouts that people have, for the tests of benchmarks/datasets."""

import io
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.datasets import archives, splits

IDS = tuple(f"ISIC_000000{number}" for number in (0, 1, 3, 4, 7, 9))
COUNTS = (3, 1, 2)


def install(monkeypatch, cache: Path) -> None:
    """Make these six the ids of isic2018 and isic2017, and `cache` the cache folder."""
    monkeypatch.setattr(archives, "manifest", lambda name: IDS)
    monkeypatch.setattr(splits, "COUNTS", {"isic2018": COUNTS, "isic2017": COUNTS, "synthetic": COUNTS})
    monkeypatch.setenv("LESION_BENCHMARKS_CACHE", str(cache))


def photograph(number: int, width: int = 40, height: int = 30) -> Image.Image:
    """Noise, so that no two pictures and no two ways of resizing agree by chance."""
    pixels = np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def truth(number: int, width: int = 40, height: int = 30) -> Image.Image:
    """A rectangle that depends on the number."""
    pixels = np.zeros((height, width), dtype=np.uint8)
    pixels[5 + number : height - 4, 6 : width - 9 - number] = 255
    return Image.fromarray(pixels)


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    """The bytes of a file."""
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def files(images: str, masks: str, suffix: str = "jpg", side: tuple[int, int] = (40, 30)) -> dict[str, bytes]:
    """Contents by path: photographs under `images`, truths under `masks`."""
    kind = "JPEG" if suffix.lower() in {"jpg", "jpeg"} else "PNG"
    contents = {}
    for number, identifier in enumerate(IDS):
        contents[f"{images}/{identifier}.{suffix}"] = encoded(photograph(number, *side), kind)
        contents[f"{masks}/{identifier}_segmentation.png"] = encoded(truth(number, *side))
    return contents


def as_folder(contents: dict[str, bytes], root: Path) -> Path:
    """Write the contents below `root`."""
    for path, data in contents.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    return root


def as_zip(contents: dict[str, bytes], path: Path) -> Path:
    """Write the contents into a zip at `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in contents.items():
            archive.writestr(name, data)
    return path


def as_zip_per_folder(contents: dict[str, bytes], root: Path) -> Path:
    """Write one zip for each first folder of the paths, as the official archives are."""
    for top in dict.fromkeys(path.partition("/")[0] for path in contents):
        as_zip({path: data for path, data in contents.items() if path.startswith(f"{top}/")}, root / f"{top}.zip")
    return root
