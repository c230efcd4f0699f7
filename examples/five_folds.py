"""Five folds of a data set: every image is tested once, and one table says how far the folds agree.

    python examples/five_folds.py [data set] [network]

The same from the command line:

    python -m benchmarks run --dataset synthetic --network aulunet_v3 --recipe quick --split 'fold-*-of-5' --seeds 1,
    python -m benchmarks report
"""

import subprocess
import sys
import tempfile
from pathlib import Path


def main(dataset: str = "synthetic", network: str = "aulunet_v3", *options: str) -> None:
    """Train the five folds, report, and print the table over them."""
    with tempfile.TemporaryDirectory() as folder:
        where = ["--results", folder]
        request = ["--dataset", dataset, "--network", network, "--recipe", "quick", "--split", "fold-*-of-5"]
        benchmarks("run", *request, "--seeds", "1,", *options, *where)
        benchmarks("report", "--format", "md", "--no-pictures", "--output", f"{folder}/report", *where)
        print(Path(folder, "report", "folds.md").read_text())


def benchmarks(*arguments: str) -> None:
    """A command of the suite."""
    subprocess.run([sys.executable, "-m", "benchmarks", *arguments], check=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
