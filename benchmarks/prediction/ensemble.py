"""Several networks, or several seeds of one, asked about the same pictures: their mean, and where they disagree.

Letters: M members, B pictures, S the side that a member works at, H and W the sides of a photograph, all in pixels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Protocol

import numpy as np

from benchmarks.prediction.trained import enlarged
from benchmarks.training.pixel_counts import THRESHOLD

FLIPS = ((), (1,), (2,), (1, 2))  # axes of (B, H, W, C): none, upside down, left to right, both
GREATEST_SPREAD = 0.5  # standard deviation of numbers in [0, 1], half of them 0 and half 1


class Member(Protocol):
    """Whatever predicts: a network by torch, or a file by onnxruntime."""

    name: str
    size: int

    @property
    def words(self) -> str:
        """What it is, for people."""
        ...

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """(B, S, S, 3) uint8 to (B, S, S) float32 in [0, 1]."""
        ...


@dataclass(frozen=True, eq=False)
class Opinions:
    """What all members say of one picture."""

    maps: Sequence[np.ndarray]
    """A probability map (S, S) float32 for each member."""

    def mean(self, size: tuple[int, int]) -> np.ndarray:
        """(H, W) float32: mean probability at this (width, height). Members of one size are averaged at that size."""
        total: np.ndarray = np.zeros(size[::-1], dtype=np.float32)
        for maps in self._by_size().values():
            share = np.float32(len(maps) / len(self.maps))
            total = total + share * enlarged(np.stack(maps).mean(axis=0), size)
        return total

    def spread(self) -> np.ndarray:
        """(S, S) float32 in [0, 0.5]: standard deviation of the probability over members, at the largest size."""
        side = max(self._by_size())
        return np.std([enlarged(each, (side, side)) for each in self.maps], axis=0, dtype=np.float32)

    @property
    def disagreement(self) -> float:
        """1 minus the Dice coefficient of two members' masks, mean over pairs: 0 where all draw the same."""
        side = max(self._by_size())
        masks = [enlarged(each, (side, side)) >= THRESHOLD for each in self.maps]
        dice = [_dice(first, second) for first, second in combinations(masks, 2)]
        return float(1 - np.mean(dice)) if dice else 0.0

    def _by_size(self) -> Mapping[int, list[np.ndarray]]:
        found: dict[int, list[np.ndarray]] = {}
        for each in self.maps:
            found.setdefault(len(each), []).append(each)
        return found


def _dice(first: np.ndarray, second: np.ndarray) -> float:
    """Of two masks; 1 where both are empty."""
    both = int(first.sum()) + int(second.sum())
    return 2 * int((first & second).sum()) / both if both else 1.0


def ask(members: Sequence[Member], small: Mapping[int, np.ndarray], *, flips: bool = False) -> Opinions:
    """What each member says of one picture, given at each member's size, (S, S, 3) uint8.

    flips: each says it of the picture and its three mirror images, and the mean of the four counts.
    """
    return Opinions([_said(member, small[member.size], flips) for member in members])


def _said(member: Member, picture: np.ndarray, flips: bool) -> np.ndarray:
    if not flips:
        return member.probabilities(picture[None])[0]
    turned = np.concatenate([np.flip(picture[None], axes) for axes in FLIPS])
    found = member.probabilities(turned)
    back = np.stack([np.flip(found[k : k + 1], axes)[0] for k, axes in enumerate(FLIPS)])
    return np.asarray(back.mean(axis=0))
