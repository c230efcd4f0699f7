"""What is seen of a training: curves in a terminal, the bar of the whole plan, the score in the closing line."""

from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console
from typer.testing import CliRunner

from benchmarks.cli.app import app
from benchmarks.cli.session import Session
from benchmarks.cli.watch import curves, sparkline
from benchmarks.runner import group
from benchmarks.runner.console import Moment, Reporter
from results.errors import RequestError
from tests import fake_runs

SHORT = ("--size", "32", "--seeds", "1", "--no-kernels")


def command(*arguments: object) -> str:
    done = CliRunner().invoke(app, list(map(str, arguments)), obj=Session(), catch_exceptions=False)
    assert done.exit_code in (0, 130), done.output
    return " ".join(done.output.split())


def test_a_curve_is_drawn_from_low_to_high() -> None:
    assert sparkline([1, 2, 3, 4, 5, 6, 7, 8]) == "▁▂▃▄▅▆▇█"
    assert sparkline([2, 1]) == "█▁"
    assert sparkline([float("nan")]) == ""
    assert sparkline([3.0, 3.0]) == "▁▁"
    long = sparkline([float(k) for k in range(400)])
    assert len(long) == 40
    assert list(long) == sorted(long)


def test_what_is_training_is_shown(tmp_path: Path) -> None:
    """A cell that was paused, and none that is finished."""
    fake_runs.write_run(tmp_path, network="malunet")
    folder = fake_runs.write_run(tmp_path, network="unet", epochs=3)
    (folder / "report.json").unlink()
    (curve,) = curves(tmp_path)
    assert curve.cell.network == "unet"
    said = command("watch", "--once", "--results", tmp_path)
    history = pd.read_csv(folder / "history.csv")
    assert "3 of" in said
    assert f"{history['validation_loss'].iloc[-1]:.4f}" in said
    (folder / "history.csv").write_text("epoch\n1")
    assert "Nothing is training here" in command("watch", "--once", "--results", tmp_path)


def test_histories_are_there_while_it_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looked at between the last epoch and the test."""
    monkeypatch.setenv("LESION_BENCHMARKS_CACHE", str(tmp_path / "cache"))
    seen, score = [], group.score

    def looked_at(*arguments):
        seen.extend(curves(tmp_path / "results"))
        return score(*arguments)

    monkeypatch.setattr(group, "score", looked_at)
    command("run", "--network", "unext_s", *SHORT, "--epochs", "3", "--results", tmp_path / "results")
    (curve,) = seen
    assert (curve.epochs, list(curve.history["epoch"])) == (3, [1, 2, 3])
    assert curves(tmp_path / "results") == []


def test_the_closing_line_has_the_score(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LESION_BENCHMARKS_CACHE", str(tmp_path / "cache"))
    said = command("run", "--network", "unext_s", *SHORT, "--epochs", "1", "--results", tmp_path)
    from results.runs import load_runs

    (run,) = load_runs(tmp_path).runs
    assert f"unext_s seed 1: done, best epoch 1, IoU {100 * run.metrics['iou']:.2f} %" in said


def test_one_bar_stands_for_the_whole_plan() -> None:
    console = Console(file=StringIO(), force_terminal=True, width=140)
    with Reporter(console, plan="isic2018, 3 cells", epochs=30) as reporter:
        for moment in (
            Moment("a seeds 1,2", 4, 10, seeds=2),  # resumed
            Moment("a seeds 1,2", 4, 10, "loss", share=0.5),
            Moment("a seeds 1,2", 5, 10, "loss", seeds=2),
            Moment("b seed 1", 0, 10),
            Moment("b seed 1", 1, 10, "loss"),
        ):
            reporter.show(moment)
        whole = reporter._bars.tasks[0]
        assert (whole.description, whole.completed, whole.total) == ("isic2018, 3 cells", 11, 30)


def test_tensorboard_reads_the_histories(tmp_path: Path) -> None:
    fake_runs.write_run(tmp_path / "results", network="malunet")
    try:
        import tensorboard  # noqa: F401
    except ImportError:
        with pytest.raises(RequestError, match="--tensorboard needs the library tensorboard"):
            command("watch", "--tensorboard", tmp_path / "logs", "--results", tmp_path / "results")
        return
    assert "1 histories are written" in command(
        "watch", "--tensorboard", tmp_path / "logs", "--results", tmp_path / "results"
    )
    assert list((tmp_path / "logs").rglob("events.*"))
