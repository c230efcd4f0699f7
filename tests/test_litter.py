"""What killed processes leave in the folder of a cell is removed, and nothing else."""

from pathlib import Path

import pytest

from benchmarks.runner.claims import Claims
from benchmarks.runner.litter import clean, sweep
from results import files
from results.cell import CLAIM, Cell
from results.claims import Claim
from tests import fake_runs

CHECKPOINTS = ("checkpoint.safetensors", "checkpoint.previous.safetensors")
PARTIALS = (".report.json.0a1b2c3d.partial", "masks/.ISIC_0000001.png.0a1b2c3d.partial")


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("ending", ["finished", "given up", "unfinished", "damaged"])
def test_litter_goes_and_a_cell_that_needs_its_checkpoint_keeps_it(ending: str, tmp_path: Path) -> None:
    folder = fake_runs.write_run(tmp_path, images=4, masks=2)
    if ending != "finished":
        (folder / "report.json").unlink()
    if ending == "given up":
        fake_runs.write_failure(tmp_path, "unet", 1)
    if ending == "damaged":
        (folder / "report.json").write_text('{"format": 1')
    whole = names(folder)
    for name in (*PARTIALS, *CHECKPOINTS):
        (folder / name).write_text("x")
    kept = set() if ending in ("finished", "given up") else set(CHECKPOINTS)
    assert {path.relative_to(folder).as_posix() for path in clean(folder)} == {*PARTIALS, *CHECKPOINTS} - kept
    assert names(folder) == whole | kept
    assert files.partials(tmp_path) == []
    assert clean(folder) == []


def test_a_cell_without_a_folder_has_no_litter(tmp_path: Path) -> None:
    assert clean(tmp_path / "seed-1") == []


def test_what_a_kill_left_of_a_done_cell_goes_with_the_next_command_unless_somebody_is_at_work(tmp_path: Path) -> None:
    done = {seed: fake_runs.write_run(tmp_path, seed=seed, images=4, masks=2) for seed in (1, 2)}
    cells = {seed: Cell.of_folder(folder) for seed, folder in done.items()}
    whole = names(done[1])
    for folder in done.values():
        (folder / CHECKPOINTS[0]).write_text("left")
    Claim.new("its job").changed(process=2**22 + 1).write(done[1] / CLAIM)  # no process has such a number
    with Claims(tmp_path) as others:
        assert others.take(cells[2])
        sweep(cells.values(), tmp_path)
        assert names(done[1]) == whole
        assert CHECKPOINTS[0] in names(done[2])
