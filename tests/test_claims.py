"""Claims: one holder a cell, who keeps it while he lives and no longer; several processes on one results folder."""

import errno
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console

from benchmarks import datasets
from benchmarks.cli.listing import _runs
from benchmarks.cli.session import Session
from benchmarks.protocol.recipe import RECIPES
from benchmarks.runner import backlog, litter, local
from benchmarks.runner.claims import ClaimLost, Claims, held_now
from benchmarks.runner.console import Event, Note, Watcher
from benchmarks.runner.group import Control, Resources
from results import claims as stored
from results import files
from results.cell import CLAIM, Cell
from results.claims import Claim
from results.runs import is_finished

CELL = Cell("synthetic", "quick", "aulunet_v3", 1)
RECIPE = RECIPES["quick"].changed(size=32, epochs=2, batch=8)


def elsewhere(root: Path, *, age: float = 0.0, **fields: object) -> Claim:
    """A claim of a process on another machine, whose last sign of life is `age` seconds old."""
    claim = Claim.new("its job").changed(**({"machine": "another", "host": "far"} | fields))
    path = CELL.folder(root) / CLAIM
    claim.write(path)
    os.utime(path, (time.time() - age,) * 2)
    return claim


def test_a_cell_is_held_by_one_until_it_is_released(tmp_path):
    with Claims(tmp_path) as first, Claims(tmp_path) as second:
        assert first.take(CELL)
        assert first.take(CELL), "it is its own"
        assert not second.take(CELL)
        assert f"process {os.getpid()} on" in str(stored.found(CELL, tmp_path))
        second.release(CELL)
        assert not second.take(CELL)
        first.release(CELL)
        assert second.take(CELL)
    assert os.listdir(CELL.folder(tmp_path)) == []


def test_the_claim_of_a_dead_process_of_this_machine_is_over_at_once(tmp_path):
    code = "from benchmarks.runner.claims import Claims; from results.cell import Cell; from pathlib import Path; "
    code += f"assert Claims(Path({str(tmp_path)!r})).take(Cell{(CELL.dataset, CELL.recipe, CELL.network, 1)}); "
    process = subprocess.Popen(
        [sys.executable, "-c", code + "print(1, flush=True); input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"1\n"
    with Claims(tmp_path) as mine:
        assert not mine.take(CELL)
        process.kill()
        while stored.found(CELL, tmp_path).claim.process == process.pid and not mine.take(CELL):
            time.sleep(0.01)  # until the system has ended it; it stays a zombie, for nobody has waited for it
        assert stored.found(CELL, tmp_path).claim.process == os.getpid()
        process.communicate()


def test_a_number_that_another_process_has_now_holds_nothing(tmp_path):
    live = Claim.new("its job")
    for started, over in ((live.started, False), (live.started - 60, True)):
        claim = live.changed(started=started)
        assert claim.is_of_a_dead_process == over


@pytest.mark.parametrize(("age", "free"), [(0, False), (stored.LIFETIME - 20, False), (stored.LIFETIME + 1, True)])
def test_a_claim_from_elsewhere_counts_while_it_shows_signs_of_life(tmp_path, age, free):
    elsewhere(tmp_path, age=age)
    with Claims(tmp_path) as mine:
        assert mine.take(CELL) == free


def test_a_claim_that_cannot_be_read_counts_by_its_age(tmp_path):
    elsewhere(tmp_path)
    path = CELL.folder(tmp_path) / CLAIM
    path.write_text("{")
    with Claims(tmp_path) as mine:
        assert not mine.take(CELL)
        assert "cannot be told" in str(stored.found(CELL, tmp_path))
        os.utime(path, (time.time() - 121,) * 2)
        assert mine.take(CELL)


def test_a_job_goes_on_with_what_its_lost_process_held(tmp_path):
    elsewhere(tmp_path)
    with Claims(tmp_path, job="another job") as other, Claims(tmp_path, job="its job") as restarted:
        assert not other.take(CELL)
        assert restarted.take(CELL)


def test_what_was_held_at_the_beginning_can_be_stolen_and_nothing_else(tmp_path):
    later = replace(CELL, seed=2)
    with Claims(tmp_path) as first:
        assert first.take(CELL)
        with Claims(tmp_path, steal=held_now([CELL, later], tmp_path)) as thief:
            assert first.take(later)
            assert thief.take(CELL)
            assert not thief.take(later)
            with pytest.raises(ClaimLost, match="seed 1"):
                first.check([CELL, later])
            thief.check([CELL])
            assert not first.take(CELL)
            first.release(CELL)
            assert stored.found(CELL, tmp_path).token == thief._mine[CELL].token, "it released what is not its own"


def test_signs_of_life_keep_a_claim_and_find_out_when_it_is_lost(tmp_path, monkeypatch):
    monkeypatch.setattr(stored, "BEAT", 0.01)
    path = CELL.folder(tmp_path) / CLAIM

    def within_a_second(condition) -> bool:
        deadline = time.monotonic() + 1
        while not condition() and time.monotonic() < deadline:
            time.sleep(0.005)
        return condition()

    with Claims(tmp_path) as mine:
        assert mine.take(CELL)
        os.utime(path, (time.time() - 100,) * 2)
        assert within_a_second(lambda: path.stat().st_mtime > time.time() - 50)
        path.unlink()
        assert within_a_second(path.exists), "a claim that went away for a moment is put back"
        elsewhere(tmp_path)
        assert within_a_second(lambda: CELL in mine._lost)
    assert stored.found(CELL, tmp_path).claim.host == "far"


@pytest.mark.parametrize("links", [True, False])
def test_of_many_that_find_a_claim_over_one_gets_the_cell(tmp_path, monkeypatch, links):
    if not links:

        def none_here(*_):
            raise OSError(errno.EPERM, "Operation not permitted")

        monkeypatch.setattr(os, "link", none_here)
    for _ in range(20):
        elsewhere(tmp_path, age=1000)
        everyone = [Claims(tmp_path) for _ in range(8)]
        start, got = threading.Barrier(8), []

        def take(claims: Claims, start=start, got=got):
            start.wait()
            got.append(claims.take(CELL))

        threads = [threading.Thread(target=take, args=(each,)) for each in everyone]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert sum(got) == 1
        (winner,) = [each for each in everyone if CELL in each._mine]
        assert stored.found(CELL, tmp_path).token == winner._mine[CELL].token
        winner.release(CELL)
        assert os.listdir(CELL.folder(tmp_path)) == files.partials(tmp_path) == []


def test_a_claim_that_the_holder_cleaned_away_while_it_was_written_came_too_late(tmp_path, monkeypatch):
    """Between the rival's look at the cell and its claim, another process takes the cell and cleans its folder."""
    link = os.link
    with Claims(tmp_path) as holder, Claims(tmp_path) as rival:

        def after_the_holder(*paths, **options):
            monkeypatch.setattr(os, "link", link)
            assert holder.take(CELL)
            assert litter.clean(CELL.folder(tmp_path))
            return link(*paths, **options)

        monkeypatch.setattr(os, "link", after_the_holder)
        assert not rival.take(CELL)
        holder.check([CELL])
    assert os.listdir(CELL.folder(tmp_path)) == []


@pytest.fixture(scope="module")
def resources(tmp_path_factory) -> Resources:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LESION_BENCHMARKS_CACHE", str(tmp_path_factory.mktemp("cache")))
        return Resources.of(datasets.load("synthetic", 32), RECIPE, torch.device("cpu"))


@pytest.fixture
def jobs(tmp_path, resources, monkeypatch):
    """Two jobs on one results folder, as two commands have them, and what each of them said."""
    monkeypatch.setattr(backlog, "LOOK", 0.05)
    said = [[], []]

    def job(lines: list[str]) -> local.Job:
        def show(event: Event) -> None:
            if isinstance(event, Note):
                lines.append(event.text)
            elif not event.state and not event.ended:
                lines.append(f"{event.title}: starting at {event.epoch}")

        return local.Job(RECIPE, tmp_path / "results", resources, Control(Watcher(show)))

    return [job(lines) for lines in said], said


def test_two_commands_share_a_plan_and_train_each_cell_once(jobs):
    (first, second), said = jobs
    cells = [replace(CELL, recipe=RECIPE.name, seed=seed) for seed in range(1, 6)]
    outcomes = {}
    threads = [
        threading.Thread(target=lambda k=k, job=job: outcomes.update({k: local.execute(cells, job)}))
        for k, job in enumerate((first, second))
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join(300)
    assert outcomes[0].finished == outcomes[1].finished == cells, "both end when the plan is done"
    assert not outcomes[0].errors
    assert not outcomes[1].errors
    began = Counter(line.partition(":")[0] for lines in said for line in lines if "starting at" in line)
    assert began == {f"aulunet_v3 seed {seed}": 1 for seed in range(1, 6)}
    assert all(any("starting at" in line for line in lines) for lines in said), "one did it all; the test says little"
    assert list(first.root.rglob(CLAIM)) == []


def test_what_another_machine_holds_is_waited_for_and_taken_when_it_is_silent(jobs):
    (job, _), (said, _) = jobs
    cell = replace(CELL, recipe=RECIPE.name)
    path = cell.folder(job.root) / CLAIM
    Claim.new("its job").changed(machine="another", host="far").write(path)

    def dies():
        while not any("Waiting" in line for line in said):
            time.sleep(0.01)
        assert not is_finished(cell, job.root)
        os.utime(path, (time.time() - 121,) * 2)

    died = threading.Thread(target=dies)
    died.start()
    assert local.execute([cell], job).finished == [cell]
    died.join()
    waiting = [line for line in said if "Waiting" in line]
    assert len(waiting) == 1, "it is said once"
    assert "aulunet_v3 / seed 1 by process" in waiting[0]
    assert "on far since" in waiting[0]


def test_waiting_ends_at_the_stop_and_at_the_deadline(jobs):
    (job, other), _ = jobs
    cell = replace(CELL, recipe=RECIPE.name)
    Claim.new("its job").changed(machine="another").write(cell.folder(job.root) / CLAIM)
    assert local.execute([cell], replace(job, deadline=time.time() + 0.2)).interrupted
    other.control.stop.set()
    assert local.execute([cell], other).interrupted


def test_the_list_of_runs_tells_who_works_on_what(tmp_path):
    held, left = CELL, replace(CELL, seed=2)
    (left.folder(tmp_path)).mkdir(parents=True)
    with Claims(tmp_path) as mine:
        assert mine.take(held)
        table = _runs(tmp_path, Session())
    console = Console(width=200)
    with console.capture() as captured:
        console.print(table)
    rows = [line for line in captured.get().splitlines() if "aulunet_v3" in line]
    assert "training" in rows[0]
    assert f"process {os.getpid()} on" in rows[0]
    assert "last seen 0 s ago" in rows[0]
    assert "unfinished" in rows[1]
    assert "nobody" in rows[1]
