"""The command line as a user meets it: mistakes are one sentence and exit code 2, never a traceback."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def benchmarks(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", **environment},
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "--suite", "isic2019"], "--suite takes one of"),
        (["run", "--network", "aulunet_v9"], "list networks"),
        (["run", "--recipe", "fast"], "--recipe takes one of"),
        (["run", "--seeds", "none"], "--seeds is 'none'"),
        (["run", "--epochs", "0"], "--epochs is 0"),
        (["run", "--set", "t_max=0"], "--set t_max is 0; give a whole number"),
        (["run", "--epochs", "3", "--set", "epochs=4"], "--epochs and --set epochs change the same setting"),
        (["run", "--suite", "isic2018"], "python -m benchmarks data isic2018 --from PATH"),
        (["run", "--network", "smp:unet/resnet999"], "smp:<architecture>/<encoder>"),
        (["run", "--plugin", "nowhere.py"], "--plugin nowhere.py cannot be imported"),
        (["data", "isic2018", "--from", "nowhere.zip"], "nowhere.zip"),
        (["data", "isic2020"], "isic2020"),
        (["list", "cats"], "networks, suites or runs"),
        (["report", "--format", "pdf"], "pdf"),
        (["check", "--accept"], "--accept needs --baseline"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_mistake_is_one_sentence_and_exit_code_2(arguments, said, tmp_path):
    done = benchmarks(*arguments, LESION_BENCHMARKS_CACHE=str(tmp_path), LESION_BENCHMARKS_RESULTS=str(tmp_path))
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert said in done.stderr.replace("\n", " ")
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.name != ".lock"]


def test_lists_show_what_there_is(tmp_path):
    networks = benchmarks("list", "networks", HOME=str(tmp_path))
    assert networks.returncode == 0
    assert "aulunet_v3" in networks.stdout
    assert "28,636" in networks.stdout
    assert "ablation-dilations" in benchmarks("list", "suites", HOME=str(tmp_path)).stdout


def test_a_dry_run_trains_nothing(tmp_path):
    done = benchmarks(
        *["run", "--suite", "quick", "--network", "aulunet_v3", "--size", "32", "--dry-run", "--no-kernels"],
        LESION_BENCHMARKS_CACHE=str(tmp_path / "cache"),
        LESION_BENCHMARKS_RESULTS=str(tmp_path / "results"),
    )
    assert done.returncode == 0, done.stderr
    assert "3 cells to do, 0 done" in done.stdout
    assert "Runs are begun with torch." in done.stdout
    assert "Estimated time of all" in done.stdout
    assert not (tmp_path / "results").exists()
