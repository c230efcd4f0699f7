"""Whether this checkout trains the same numbers, to the last bit, as another checkout or as it did before.

    python tests/benchmarks_by_hand/same_numbers.py --store FOLDER       keep what this checkout trains
    python tests/benchmarks_by_hand/same_numbers.py --against FOLDER     compare with what was kept
    python tests/benchmarks_by_hand/same_numbers.py --against CHECKOUT   train there too, then compare

A few epochs of the quick suite on drawn lesions, with the CPU kernels and without, for each network and seed. Compared
byte by byte: per-image counts, histories, weights and predicted masks. Exit code 1 where anything differs. The kernels
are compiled by an epoch before, in another process, because those of 0.3.0 round otherwise in the process that compiles
them. Two networks of the defaults take about three minutes on two cores.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parents[2]
ENGINES = {"kernels": [], "torch": ["--no-kernels"]}
COMPARED = ("per_image.csv", "history.csv", "weights.safetensors", "masks/*.png")


def train(checkout: Path, folder: Path, options: argparse.Namespace) -> None:
    """The runs of one checkout, in `folder`/kernels and `folder`/torch."""
    networks = [word for name in options.network for word in ("--network", name)]
    request = ["run", "--suite", "quick", *networks, "--seeds", options.seeds, "--size", str(options.size)]
    with tempfile.TemporaryDirectory() as compiled:
        benchmarks(checkout, [*request, "--set", "epochs=1", "--results", compiled])
    for engine, words in ENGINES.items():
        command = [*request, "--set", f"epochs={options.epochs}", *words, "--results", str(folder / engine)]
        benchmarks(checkout, command)


def benchmarks(checkout: Path, command: list[str]) -> None:
    """Run a command of a checkout. Raises CalledProcessError where it fails."""
    print(f"{checkout}: {' '.join(command)}", flush=True)
    subprocess.run([sys.executable, "-m", "benchmarks", *command], cwd=checkout, check=True, capture_output=True)


def numbers(folder: Path) -> dict[str, bytes]:
    """Content of every compared file, by its path below `folder`."""
    found = (path for pattern in COMPARED for path in folder.glob(f"*/runs/*/*/*/seed-*/{pattern}"))
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def differences(here: dict[str, bytes], there: dict[str, bytes]) -> list[str]:
    """A line per file that is not the same, or that only one side has."""
    return [name for name in sorted(here.keys() | there.keys()) if here.get(name) != there.get(name)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, help="folder to keep this checkout's runs in")
    parser.add_argument("--against", type=Path, help="another checkout, or a folder written by --store")
    parser.add_argument("--network", action="append", help="may be repeated; default aulunet_v3 and ege_unet")
    parser.add_argument("--seeds", default="2")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=3)
    options = parser.parse_args()
    options.network = options.network or ["aulunet_v3", "ege_unet"]
    if options.store is None and options.against is None:
        parser.error("give --store, --against, or both")
    with tempfile.TemporaryDirectory() as temporary:
        mine = (options.store or Path(temporary) / "here").resolve()
        train(HERE, mine, options)
        if options.against is None:
            return 0
        other = options.against.resolve()
        if (other / "benchmarks").is_dir():
            train(other, Path(temporary) / "there", options)
            other = Path(temporary) / "there"
        here, there = numbers(mine), numbers(other)
    different = differences(here, there)
    for name in different:
        print(f"differs: {name}")
    print(f"{len(here)} files here, {len(there)} there, {len(different)} differ")
    return 1 if different or not here else 0


if __name__ == "__main__":
    sys.exit(main())
