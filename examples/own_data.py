"""From a folder of photographs to a table: own_data.toml says what cannot be guessed of it.

    python examples/own_data.py

The folder is drawn here; with yours, only the three commands at the end are needed.
"""

import csv
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

LAYOUT = Path(__file__).with_name("own_data.toml")


def main(images: int = 40, *options: str) -> None:
    """Draw a folder, prepare it, train on it for three epochs, and print its table."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        draw(home / "photographs", images)
        os.environ["LESION_BENCHMARKS_CACHE"] = str(home / "cache")  # leave this out to keep what was prepared
        benchmarks("data", "clinic", "--from", str(home / "photographs"), "--layout", str(LAYOUT), "--size", "32")
        request = ["--dataset", "clinic", "--network", "unext_s", "--recipe", "quick", "--seeds", "2"]
        benchmarks("run", *request, "--size", "32", "--epochs", "3", "--results", str(home / "results"), *options)
        where = ["--results", str(home / "results"), "--output", str(home / "report")]
        benchmarks("report", "--format", "md", "--no-pictures", *where)
        table = (home / "report" / "table1.md").read_text()
        print(table[table.index("## Measured: clinic") :])


def draw(folder: Path, images: int) -> None:
    """Photographs of 48 x 40 pixels, masks with two classes, and two images for each patient."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:40, :48]
    with (folder.mkdir(parents=True) or folder / "patients.csv").open("w", newline="") as file:
        patients = csv.writer(file)
        patients.writerow(["image", "patient"])
        for number in range(images):
            distance = np.hypot(y - rng.integers(15, 25), x - rng.integers(18, 30)) / rng.integers(6, 12)
            photograph = rng.normal(170, 8, (40, 48, 3)) - 70 * (distance < 1)[..., None]
            visit = folder / "visits" / f"day {number % 3}"
            visit.mkdir(parents=True, exist_ok=True)
            Image.fromarray(photograph.clip(0, 255).astype(np.uint8)).save(visit / f"{number:03d}.jpg")
            Image.fromarray(((distance < 1) + (distance < 0.5)).astype(np.uint8)).save(
                visit / f"{number:03d}_drawn.png"
            )
            patients.writerow([f"{number:03d}", number // 2])


def benchmarks(*arguments: str) -> None:
    """A command of the suite."""
    subprocess.run([sys.executable, "-m", "benchmarks", *arguments], check=True)


if __name__ == "__main__":
    main()
