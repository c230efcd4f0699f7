"""The command line as a user meets it: mistakes are one sentence and exit code 2, never a traceback."""

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.cli.app import app, main
from benchmarks.networks import registry
from results import citations
from results.installation import version

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
        (
            ["list", "cats"],
            "There is no list of 'cats'; `list` takes one of networks, datasets, splits, suites, recipes, runs.",
        ),
        (["list", "network"], "did you mean networks?"),
        (["cite", "egeunet"], "There is no entry to cite for 'egeunet'; did you mean ege_unet"),
        (["rnu"], "Did you mean 'run'?"),
        (["report", "--format", "pdf"], "pdf"),
        (["check", "--accept"], "--accept needs --baseline"),
        (["check", "--results", "nowhere"], "The results folder nowhere does not exist; name the one that holds runs/"),
        (
            ["report", "--results", "nowhere"],
            "The results folder nowhere does not exist; name the one that holds runs/",
        ),
        (["list", "runs", "--results", "nowhere"], "The results folder nowhere does not exist; "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_mistake_is_one_sentence_and_exit_code_2(arguments, said, tmp_path):
    done = benchmarks(*arguments, LESION_BENCHMARKS_CACHE=str(tmp_path), LESION_BENCHMARKS_RESULTS=str(tmp_path))
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert said in done.stderr.replace("\n", " ")
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.name != ".lock"]


@pytest.mark.parametrize("arguments", [["report", "--format", "md"], ["check"], ["list", "runs"]])
def test_a_folder_that_the_environment_names_must_exist(arguments, tmp_path, monkeypatch):
    monkeypatch.setenv("LESION_BENCHMARKS_RESULTS", str(tmp_path / "nowhere"))
    done = CliRunner().invoke(app, arguments)
    assert str(done.exception) == (
        f"The results folder {tmp_path / 'nowhere'} does not exist; name the one that holds runs/ with "
        "LESION_BENCHMARKS_RESULTS."
    )
    (tmp_path / "nowhere").write_text("")
    assert "is no folder" in str(CliRunner().invoke(app, arguments).exception)


def test_a_results_folder_without_runs_is_said(tmp_path):
    (tmp_path / "results").mkdir()
    options = ["--format", "md", "--results", str(tmp_path / "results"), "--output", str(tmp_path / "report")]
    done = CliRunner().invoke(app, ["report", *options])
    assert done.exit_code == 0, done.output
    assert done.stderr == f"{tmp_path / 'results'} holds no runs: only published numbers and counts can be shown.\n"
    assert (tmp_path / "report" / "table1.md").exists()


def test_a_run_whose_reader_goes_away_can_be_gone_on_with(tmp_path):
    command = [sys.executable, "-m", "benchmarks", "run", "--network", "aulunet_v3", "--size", "32", "--no-kernels"]
    command += ["--seeds", "1", "--epochs", "40", "--results", str(tmp_path)]
    environment = os.environ | {"LESION_BENCHMARKS_CACHE": str(tmp_path / "cache")}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as left:
        said = [left.stdout.readline() for _ in range(4)]
        left.stdout.close()
        assert (left.wait(), left.stderr.read()) == (130, b""), said
    (folder,) = tmp_path.glob("runs/*/*/*/seed-1")
    assert {path.name for path in folder.iterdir()} <= {"config.json", "checkpoint.safetensors", "history.csv"}


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
    assert done.stdout.splitlines()[0] == f"Results folder: {tmp_path / 'results'}"
    assert "3 cells to do, 0 done" in done.stdout
    assert "Runs are begun with torch." in done.stdout
    assert "Estimated time of all" in done.stdout
    assert not (tmp_path / "results").exists()


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    done = benchmarks("report", "--format", "md", "--output", str(tmp_path / "file" / "report"))
    assert done.returncode == 2
    assert done.stderr == (
        f"Error: {tmp_path / 'file' / 'report'} cannot be written (Not a directory); a file lies where a folder is "
        "needed: move it away, or name another place, then give the same command again.\n"
    )


def test_what_the_system_refuses_elsewhere_is_one_sentence(monkeypatch, capsys):
    """Outside of results/files.py, as in a library that makes a folder."""

    def refused(**_):
        raise OSError(errno.EROFS, "Read-only file system", "/somewhere/cache")

    monkeypatch.setattr("benchmarks.cli.app.app", refused)
    with pytest.raises(SystemExit, match="2"):
        main()
    said = "/somewhere/cache cannot be used (Read-only file system); make it writable, or name another place"
    assert capsys.readouterr().err == f"Error: {said}.\n"


def test_another_error_of_the_system_is_a_fault_of_ours(monkeypatch):
    def lost(**_):
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", "/somewhere/template")

    monkeypatch.setattr("benchmarks.cli.app.app", lost)
    with pytest.raises(FileNotFoundError):
        main()


def test_a_home_is_written_as_a_tilde_where_no_shell_replaces_it(monkeypatch, tmp_path):
    """As in --results=~/runs, and as in a file of a scheduler; names may hold spaces and any letter."""
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / "my networks \u00fc"
    folder.mkdir()
    example = (ROOT / "examples" / "own_network.py").read_text()
    (folder / "my own.py").write_text(example.replace('Entry("tiny"', 'Entry("at_home"'))
    monkeypatch.setattr(registry, "ENTRIES", {})
    options = ["--plugin", "~/my networks \u00fc/my own.py", "--results=~/runs"]
    done = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["count", "--network", "at_home", *options])
    assert done.exit_code == 0, done.output
    assert "at_home" in done.output
    (tmp_path / "runs").mkdir()
    done = CliRunner().invoke(app, ["report", "--format", "csv", "--results=~/runs", "--output=~/report \u00fc"])
    assert done.exit_code == 0, done.output
    assert list((tmp_path / "report \u00fc").iterdir())


@pytest.mark.parametrize("code", ["0", "", "'done'"])
def test_a_command_that_a_library_ends_is_a_mistake_too(code, monkeypatch, capsys):
    """Whatever calls sys.exit() inside of a command: exit code 0 would say that it was done."""
    monkeypatch.setattr(citations, "bibtex", lambda names: exec(f"import sys; sys.exit({code})"))
    monkeypatch.setattr(sys, "argv", ["benchmarks", "cite"])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert re.fullmatch(r"Error: <string> line 1 ended the command by sys.exit\(.*\) .*\n", capsys.readouterr().err)


def test_bibtex_is_printed_as_it_is_written():
    done = CliRunner().invoke(app, ["cite", "ege_unet", "smp:unet/resnet18"])
    assert done.exit_code == 0, done.output
    assert done.output == citations.bibtex(["ege_unet", "smp:unet/resnet18"])
    assert CliRunner().invoke(app, ["cite"]).output == citations.bibtex()


def test_it_tells_its_version():
    assert CliRunner().invoke(app, ["--version"]).output == f"lesion-benchmarks {version()}\n"


def test_help_reads_neither_torch_nor_tables():
    code = "import sys; from benchmarks.cli.app import app; app(['--help'], standalone_mode=False); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "Train and score" in done.stdout
    assert not {"torch", "pandas", "numpy", "scipy", "PIL"} & set(done.stdout.split())


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        (["run", "--suite", ""], "ablation-modules"),
        (["run", "--recipe", "pa"], "paper-bf16"),
        (["run", "--network", "aulunet_"], "aulunet_d357"),
        (["run", "--set", "weight"], "weight_decay="),
        (["run", "--split", ""], "sorted"),
        (["run", "--device", "c"], "cuda"),
        (["data", "isic"], "isic2017"),
        (["list", ""], "networks"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_shell_is_offered_the_names(typed, offered):
    environment = {
        "_LESION_BENCHMARKS_COMPLETE": "complete_bash",
        "COMP_WORDS": " ".join(["lesion-benchmarks", *typed]),
        "COMP_CWORD": str(len(typed)),
    }
    done = CliRunner().invoke(app, [], prog_name="lesion-benchmarks", env=environment)
    assert offered in done.output.split()


def test_completion_is_installed_for_the_script():
    """Also where the tests are run by no shell, such as a scheduler's: typer would look for one."""
    done = benchmarks("--show-completion", "bash", _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert "lesion-benchmarks" in done.stdout + done.stderr


def without_reader(code: str) -> tuple[str, int]:
    """Standard error and exit code of a process whose output nobody reads any more."""
    command = [sys.executable, "-c", code]
    started = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert started.stdout is not None
    started.stdout.close()
    started.stdout = None
    try:
        return started.communicate(timeout=120)[1], started.returncode
    finally:
        started.kill()


def test_a_command_whose_reader_has_gone_ends_without_a_word():
    code = "import sys; sys.argv[1:] = ['list', 'suites']; from benchmarks.cli import main; main()"
    assert without_reader(code) == ("", 130)


def test_ctrl_c_within_a_command_ends_it_with_130_and_no_more_words(monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("benchmarks.datasets.prepare", interrupted)
    done = CliRunner().invoke(app, ["data", "synthetic"])
    assert (done.exit_code, done.output) == (130, "")


TRAINING = """
import signal, sys, threading
from benchmarks.cli.session import Session
signal.signal(signal.SIGTERM, signal.default_int_handler)
session = Session()
try:
    threading.Thread(target=session.say, args=["loss"]).start()
    threading.Event().wait(60)
except KeyboardInterrupt:
    session.say("Stopped.")
    sys.exit(130)
"""


def test_training_whose_reader_has_gone_is_stopped_from_the_thread_that_prints():
    assert without_reader(TRAINING) == ("", 130)
