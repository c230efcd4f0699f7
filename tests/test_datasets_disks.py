"""Real disks that are full or read-only: a sentence with path and cure, nothing left, and the same command goes on."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import datasets
from results.errors import RequestError
from tests import dataset_files as fake

resource = pytest.importorskip("resource")

ON_A_DISK_OF_ITS_OWN = """
import subprocess, sys
from pathlib import Path
from benchmarks import datasets
from benchmarks.datasets import archives, splits
from results.errors import RequestError
from tests import dataset_files

archives.manifest = lambda name: dataset_files.IDS
splits.COUNTS["isic2018"] = dataset_files.COUNTS
source, cache = map(Path, sys.argv[1:])

def mount(*options):
    subprocess.run(["mount", *options, cache], check=True)

def attempt(function, *arguments, **options):
    try:
        function("isic2018", *arguments, **options)
        print("done")
    except RequestError as error:
        print(error)

mount("-t", "tmpfs", "-o", "size=1m", "none")
attempt(datasets.prepare, source, size=300, progress=False)
print(*[path.name for path in cache.rglob("*") if path.is_file()])
mount("-o", "remount,size=9m")
attempt(datasets.prepare, source, size=300, progress=False)
mount("-o", "remount,ro")
attempt(datasets.load, 300)
attempt(datasets.load, 64)
attempt(datasets.prepare, source, size=300, progress=False)
"""


def test_a_small_disk_and_a_read_only_one(tmp_path: Path) -> None:
    source = fake.as_folder(fake.files("images", "masks", "png", side=(300, 300)), tmp_path / "source")
    cache = tmp_path / "cache"
    cache.mkdir()
    alone = ["unshare", "-rm"]
    if shutil.which("unshare") is None or subprocess.run([*alone, "mount", "-t", "tmpfs", "none", cache]).returncode:
        pytest.skip("no file systems of one's own here")
    done = subprocess.run(
        [*alone, sys.executable, "-c", ON_A_DISK_OF_ITS_OWN, source, cache],
        env={**os.environ, "LESION_BENCHMARKS_CACHE": str(cache)},
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    cannot = f"Cannot write the prepared set to {cache / 'isic2018'}"
    cure = "free some space or set LESION_BENCHMARKS_CACHE to another folder."
    assert done.stdout.splitlines() == [
        f"{cannot} (No space left on device); {cure}",
        ".lock",
        "done",
        "done",
        f"{cannot} (Read-only file system); {cure}",
        f"{cannot} (Read-only file system); {cure}",
    ], done.stderr


def test_a_limit_on_the_size_of_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake.install(monkeypatch, tmp_path / "cache")
    source = fake.as_folder(fake.files("images", "masks"), tmp_path / "source")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    try:
        with pytest.raises(RequestError, match=r"Cannot write the prepared set to .*/isic2018 \(File too large\)"):
            datasets.prepare("isic2018", source, size=16, progress=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()] == [".lock"]
