"""How well do weights do on pictures that they were not trained on?

    python examples/evaluate_elsewhere.py

Trains on drawn lesions, then scores the same weights on a folder of other drawings. With data of your own, these are

    python -m benchmarks run --dataset clinic --network aulunet_v3 --recipe half
    python -m benchmarks evaluate --on ph2
    python -m benchmarks report
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image


def main(*options: str) -> None:
    """Train, evaluate elsewhere, report, and print the table "Trained on, tested on"."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        where = ["--results", str(home / "results")]
        os.environ["LESION_BENCHMARKS_CACHE"] = str(home / "cache")  # leave this out to keep what was prepared
        draw(home / "photographs", 20)
        benchmarks("data", "elsewhere", "--from", str(home / "photographs"), "--size", "32")
        request = ["--dataset", "synthetic", "--network", "unext_s", "--recipe", "quick", "--size", "32"]
        benchmarks("run", *request, "--seeds", "2", *options, *where)
        benchmarks("evaluate", "--on", "elsewhere", *where)
        benchmarks("report", "--format", "md", "--no-pictures", "--output", str(home / "report"), *where)
        print((home / "report" / "external.md").read_text())


def draw(folder: Path, images: int) -> None:
    """Photographs of dark discs on skin, and their masks."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:40, :40]
    for role in ("images", "masks"):
        (folder / role).mkdir(parents=True)
    for number in range(images):
        lesion = np.hypot(y - rng.integers(16, 24), x - rng.integers(16, 24)) < rng.integers(7, 12)
        photograph = rng.normal(180, 8, (40, 40, 3)) - 80 * lesion[..., None]
        Image.fromarray(photograph.clip(0, 255).astype(np.uint8)).save(folder / "images" / f"{number:02d}.jpg")
        Image.fromarray(np.where(lesion, 255, 0).astype(np.uint8)).save(folder / "masks" / f"{number:02d}.png")


def benchmarks(*arguments: str) -> None:
    """A command of the suite."""
    subprocess.run([sys.executable, "-m", "benchmarks", *arguments], check=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
