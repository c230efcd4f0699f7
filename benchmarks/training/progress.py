"""What a replica has been through: the rows of history.csv, its best epoch, and its failure."""

from dataclasses import asdict, dataclass, field
from math import isfinite


@dataclass(frozen=True)
class EpochRecord:
    """One row of history.csv."""

    epoch: int
    lr: float
    train_loss: float
    validation_loss: float
    validation_iou: float
    validation_dsc: float


@dataclass
class Progress:
    """What one replica has been through: enough, with its tensors, to go on as if nothing had happened."""

    seed: int
    epoch: int = 0
    best_epoch: int = 0
    best_loss: float = float("inf")
    seconds: float = 0.0
    """Wall time of training and validation, with the replicas beside it."""
    images: int = 0
    """Training images seen."""
    history: list[dict] = field(default_factory=list)
    failed_at: int | None = None
    patience: int = 0
    """Epochs without a lower validation loss after which it stops; 0: never."""

    @property
    def stopped(self) -> bool:
        """Whether its patience is at an end. Epochs that its company trains after that are not its own."""
        return self.failed_at is None and 0 < self.patience <= self.epoch - self.best_epoch

    @property
    def over(self) -> bool:
        """Whether it failed or stopped."""
        return self.failed_at is not None or self.stopped

    @property
    def own_history(self) -> list[dict]:
        """The rows up to its stop: the same whoever trained beside it."""
        return self.history[: self.best_epoch + self.patience] if self.stopped else self.history

    def add(self, row: EpochRecord) -> bool:
        """Take note of an epoch; True where its validation loss is the lowest so far, and it had not stopped."""
        stopped = self.stopped
        self.epoch = row.epoch
        self.history.append(asdict(row))
        if stopped:
            return False
        improved = row.validation_loss < self.best_loss  # False for NaN
        if improved:
            self.best_epoch, self.best_loss = row.epoch, row.validation_loss
        if self.failed_at is None and not (isfinite(row.train_loss) and isfinite(row.validation_loss)):
            self.failed_at = row.epoch
        return improved
