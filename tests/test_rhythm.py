"""When a group saves, pauses and reports; nothing is trained, and clocks are turned by hand."""

from itertools import pairwise

import pytest

from benchmarks.runner.rhythm import LATEST, QUIET, QUIET_SHARE, SHARE, SOONEST, Due, Lines, Rhythm


class Clock:
    """Stands still until it is told to go on."""

    def __init__(self, at: float = 100.0) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at

    def later(self, seconds: float) -> None:
        self.at += seconds


def epoch(rhythm: Rhythm, clock: Clock, number: int, seconds: float, cost: float = 0.0) -> Due:
    """An epoch that takes so long, and the save after it, if there is one, that costs so much."""
    clock.later(seconds)
    due = rhythm.after_epoch(number)
    if due.save:
        clock.later(cost)
        rhythm.saved()
    return due


def saves(seconds: float, cost: float, epochs: int) -> list[int]:
    """The epochs after which a cell with epochs of this length is saved."""
    clock = Clock()
    rhythm = Rhythm(epochs, clock=clock)
    return [k for k in range(1, epochs + 1) if epoch(rhythm, clock, k, seconds, cost).save]


@pytest.mark.parametrize(
    ("seconds", "cost", "expected"),
    [
        pytest.param(0.25, 0.01, [4, 8, 10], id="no sooner than SOONEST, and a cell of 2.5 s is saved too"),
        pytest.param(1.0, 0.25, [1, 6, 10], id="SHARE times the cost of the last save apart"),
        pytest.param(20.0, 10.0, [1, 3, 5, 7, 9, 10], id="no later than LATEST, whatever a save costs"),
        pytest.param(100.0, 1.0, list(range(1, 11)), id="after each long epoch"),
    ],
)
def test_saves_follow_what_they_cost(seconds, cost, expected):
    assert (SHARE, SOONEST, LATEST) == (20, 1.0, 30.0)
    assert saves(seconds, cost, 10) == expected


@pytest.mark.parametrize("seconds", [0.01, 1000.0])
def test_the_last_epoch_is_saved_and_never_paused_after(seconds):
    clock = Clock()
    rhythm = Rhythm(3, deadline=5.0, clock=clock, wall=Clock(0.0))
    assert epoch(rhythm, clock, 3, seconds) == Due(save=True, pause=False)


def test_a_pause_comes_before_an_epoch_that_would_end_too_late_and_is_saved():
    clock, wall = Clock(), Clock(1_800_000_000.0)
    rhythm = Rhythm(100, deadline=wall.at + 1.0, clock=clock, wall=wall)
    dues = [epoch(rhythm, clock, k, 0.3) for k in (1, 2, 3)]
    assert dues == [Due(False, False), Due(False, False), Due(True, True)]  # a fourth would end at 1.2


def test_an_epoch_is_taken_to_be_as_long_as_the_last_one_with_the_save_before_it():
    clock = Clock()
    rhythm = Rhythm(100, deadline=10.0, clock=clock, wall=Clock(0.0))
    assert epoch(rhythm, clock, 1, 1.0, cost=3.0) == Due(save=True, pause=False)
    assert rhythm.cost == 3.0
    assert epoch(rhythm, clock, 2, 1.0) == Due(save=False, pause=False)  # ends at 5; the next, at 9 at the latest
    assert epoch(rhythm, clock, 3, 3.0) == Due(save=True, pause=True)  # ends at 8


def test_the_deadline_is_read_on_the_clock_on_the_wall_once():
    """What sets the clock of the machine later changes nothing."""
    clock, wall = Clock(), Clock(5000.0)
    rhythm = Rhythm(10, deadline=5001.0, clock=clock, wall=wall)
    wall.later(3600)
    assert not rhythm.overdue
    clock.later(1.0)
    assert rhythm.overdue
    assert not Rhythm(10, clock=clock).overdue


def test_lines_of_a_log_grow_rarer():
    clock = Clock()
    lines, spoken = Lines(clock=clock), []
    for second in range(1000):
        clock.at = 100.0 + second
        if lines.due(final=False):
            spoken.append(second)
    gaps = [b - a for a, b in pairwise(spoken)]
    assert spoken[0] == 0
    assert gaps[0] == QUIET
    assert gaps == sorted(gaps)
    assert QUIET_SHARE * 900 - 1 <= gaps[-1] <= QUIET_SHARE * 1000 + 1
    assert lines.due(final=True)
