"""When a group in training saves, pauses and reports. Clocks are given, so that the rules are tested without training.

What a kill loses is the time since the last save, and what a save costs is measured: a save is due when SHARE times its
cost has gone by, so that saving takes at most a twentieth of the time. That is never sooner than SOONEST, and never
later than LATEST, whatever a save costs. A cell of a few seconds is saved too.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

SHARE = 20  # seconds of training per second of saving
SOONEST, LATEST = 1.0, 30.0  # seconds between two saves

Clock = Callable[[], float]


@dataclass(frozen=True)
class Due:
    """What is to be done after an epoch: save a checkpoint; then pause, because there is no time for another epoch."""

    save: bool
    pause: bool


class Rhythm:
    """Of one group, from the moment it is made. Every epoch ends in `after_epoch`, every save in `saved`."""

    def __init__(
        self, epochs: int, deadline: float | None = None, *, clock: Clock = time.monotonic, wall: Clock = time.time
    ) -> None:
        """epochs: the recipe's last one. deadline: seconds since 1970 by which to pause; None: never.

        clock: seconds that only ever grow, by which durations are measured. wall: seconds since 1970, which another
        process and another machine know too; it is read once, here.
        """
        self.epochs, self.clock = epochs, clock
        self.ended = self.last_save = clock()
        self.until = None if deadline is None else self.ended + deadline - wall()
        self.cost = 0.0
        """Seconds that the last save took."""

    @property
    def overdue(self) -> bool:
        """Whether the deadline is over."""
        return self.until is not None and self.clock() >= self.until

    def after_epoch(self, epoch: int, *, pause: bool = False) -> Due:
        """What is due now that this epoch has ended: after the last one always a save, and never a pause.

        pause: whether one is asked for, whatever the deadline.
        """
        before, self.ended = self.ended, self.clock()
        if epoch >= self.epochs:
            return Due(save=True, pause=False)
        next_end = self.ended + (self.ended - before)  # the next epoch is as long as this one
        pause = pause or (self.until is not None and next_end > self.until)
        interval = min(LATEST, max(SOONEST, SHARE * self.cost))
        return Due(save=pause or self.ended - self.last_save >= interval, pause=pause)

    def saved(self) -> None:
        """Take note that the save which `after_epoch` asked for is done, and of what it cost."""
        self.last_save = self.clock()
        self.cost = self.last_save - self.ended


QUIET = 10.0  # seconds between two lines of one group in a log at least,
QUIET_SHARE = 0.05  # and this share of the time since its first, so that a long run fits on a page


class Lines:
    """When a group's next line in a log is due."""

    def __init__(self, *, clock: Clock = time.monotonic) -> None:
        self.clock = clock
        self.began, self.last = clock(), -float("inf")

    def due(self, *, final: bool) -> bool:
        """Whether to write a line now; it is taken as written. final: the last of all, which always is."""
        now = self.clock()
        if not final and now - self.last < max(QUIET, QUIET_SHARE * (now - self.began)):
            return False
        self.last = now
        return True
