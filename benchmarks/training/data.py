"""One data set on the device, cut once into its three parts; each part knows its ids."""

from dataclasses import dataclass

import torch

from benchmarks.datasets import PreparedSet
from benchmarks.training.batches import ImageStore


@dataclass(frozen=True)
class Data:
    """The three parts of a data set, and what says which data these are."""

    train: ImageStore
    validation: ImageStore
    test: ImageStore
    fingerprint: str = ""
    """Of the prepared set that was cut, `PreparedSet.fingerprint`; empty for images that come from none."""
    rule: str = ""
    """Rule that cut it, one of `benchmarks.datasets.splits.RULES`."""

    @classmethod
    def of(cls, prepared: PreparedSet, rule: str, device: torch.device) -> "Data":
        """A prepared set on the device, cut by the rule. Raises RequestError for an unknown rule."""
        split = prepared.split(rule)
        train, validation, test = (
            ImageStore(prepared.images[rows], prepared.masks[rows], device, ids=[prepared.ids[row] for row in rows])
            for rows in (split.train, split.validation, split.test)
        )
        return cls(train, validation, test, prepared.fingerprint, rule)
