"""Batches on the device: gather, augment and scale in one pass over uint8 pixels.

Every transform of the recipe moves pixels without mixing them (rot90, flips, nearest-neighbour rotation), so
each is a table of source positions, and a batch is one gather. The rotation tables are made by `scipy.ndimage.rotate`
itself, so there is no pixel in which the two could differ.

Letters: N images of the set, B of a batch, P = H * W pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from benchmarks.objectives.losses import DRAWS

FIRST_ANGLE, LAST_ANGLE = 20, 79  # degrees, whole, counter-clockwise; section 4 of the design: uniform in [20, 80)
NO_CHANGE = 0
ROT90_FLIPS = 8  # rot90 by k, k = 0..3, then a flip of axis 0 or 1
OUTSIDE = -1
COLOUR_FLIPS = "colour_flips"
FLIPS = 2  # of the rows of `rot90_flip_table`, the first two after NO_CHANGE: without rot90
FACTORS = (0.8, 1.2)  # of brightness, contrast and saturation


def rot90_flip_table(size: int) -> np.ndarray:
    """(1 + 8, P) source position of each pixel: row 0 leaves it, row 1 + 2k + axis is rot90(k), then flip(axis)."""
    positions = np.arange(size * size, dtype=np.int64).reshape(size, size)
    moved = [np.flip(np.rot90(positions, k), axis) for k in range(4) for axis in range(2)]
    return np.stack([positions, *moved]).reshape(1 + ROT90_FLIPS, -1)


def rotation_table(size: int) -> np.ndarray:
    """(1 + 60, P) source position of each pixel or OUTSIDE: row 0 leaves it, row 1 + i rotates by 20 + i degrees."""
    positions = np.arange(size * size, dtype=np.int64).reshape(size, size)
    angles = range(FIRST_ANGLE, LAST_ANGLE + 1)
    rotated = [ndimage.rotate(positions, angle, order=0, reshape=False, cval=OUTSIDE) for angle in angles]
    return np.stack([positions, *rotated]).reshape(1 + len(angles), -1)


@dataclass(frozen=True)
class EpochDraws:
    """All that is random in one epoch of one replica; each row is one step."""

    order: np.ndarray  # (steps, batch) positions in the training split
    rot90_flip: np.ndarray  # (steps, batch) rows of the rot90_flip table
    rotation: np.ndarray  # (steps, batch) rows of the rotation table
    objective: np.ndarray  # (steps, DRAWS) uniform in [0, 1), float32
    colour: np.ndarray  # (steps, batch, 3) factors of `coloured`, float32; (steps, batch, 0) without


def draw_epoch(
    seed: int, epoch: int, images: int, batch: int, augment: bool, augmentation: str = "paper"
) -> list[EpochDraws]:
    """The draws of one epoch, from the seed and its number alone: full batches, then the rest if it has two images.

    Returns at most two groups because steps of one shape are stacked; both together use every image at most once.
    """
    order_stream, augment_stream, objective_stream = (
        np.random.Generator(np.random.PCG64(stream)) for stream in np.random.SeedSequence([seed, epoch]).spawn(3)
    )
    order = order_stream.permutation(images)

    def rows(number: int) -> np.ndarray:
        """NO_CHANGE with p 0.5, else one of so many rows of a table, for each image."""
        changed = augment_stream.random(images) < 0.5
        return np.where(changed, augment_stream.integers(1, 1 + number, images), NO_CHANGE)

    colours = augment and augmentation == COLOUR_FLIPS
    rot90_flip, rotation = rows(FLIPS if colours else ROT90_FLIPS), rows(LAST_ANGLE - FIRST_ANGLE + 1)
    colour = augment_stream.uniform(*FACTORS, (images, 3 if colours else 0)).astype(np.float32)
    if colours:
        rotation = np.zeros_like(rotation)
    if not augment:
        rot90_flip, rotation = np.zeros_like(rot90_flip), np.zeros_like(rotation)
    full = images // batch * batch
    objective = objective_stream.random((images // batch + 1, DRAWS), dtype=np.float32)
    groups = []
    for part, width in ((slice(0, full), batch), (slice(full, images), images - full)):
        if width > 1 and part.stop > part.start:
            steps = slice(0, full // batch) if width == batch else slice(full // batch, None)
            drawn = [each[part].reshape(-1, width) for each in (order, rot90_flip, rotation)]
            colours_of_part = colour[part].reshape(*drawn[0].shape, colour.shape[1])
            groups.append(EpochDraws(drawn[0], drawn[1], drawn[2], objective[steps], colours_of_part))
    return groups


def coloured(images: Tensor, factors: Tensor) -> Tensor:
    """Images (..., 3, H, W) in [0, 255] with brightness, contrast and saturation times their factors (..., 3).

    One after the other; contrast is around the mean of the image, saturation around the mean of a pixel's channels.
    """
    brightness, contrast, saturation = (each[..., None, None, None] for each in factors.to(images.dtype).unbind(-1))
    images = images * brightness
    middle = images.mean(dim=(-3, -2, -1), keepdim=True)
    images = middle + (images - middle) * contrast
    grey = images.mean(dim=-3, keepdim=True)
    return (grey + (images - grey) * saturation).clamp(0, 255)


class ImageStore:
    """One split, or a whole set, on the device as uint8, and the gather that makes batches of it."""

    def __init__(
        self,
        images: np.ndarray,
        masks: np.ndarray,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        *,
        ids: Sequence[str] = (),
    ) -> None:
        """images (N, H, W, 3) uint8, masks (N, H, W) uint8 with soft edges 0..255, H = W; dtype: of the batches.

        ids: names of the images, in their order; needed where the images are scored. Raises ValueError where there are
        some, but not as many as images.
        """
        if ids and len(ids) != len(images):
            raise ValueError(f"{len(ids)} ids for {len(images)} images")
        self.ids = tuple(ids)
        (count, self.size), self.dtype = images.shape[:2], dtype
        self.images = torch.from_numpy(images.reshape(count, -1, 3)).to(device)  # (N, P, 3)
        self.masks = torch.from_numpy(masks.reshape(count, -1)).to(device)  # (N, P)
        low, high = self.images.amin(dim=(1, 2)).to(dtype), self.images.amax(dim=(1, 2)).to(dtype)
        self.low = low
        self.gain = torch.where(high > low, 255 / (high - low).clamp(min=1), 0)  # min-max scaling to [0, 255]

    @cached_property
    def rot90_flip(self) -> Tensor:
        """`rot90_flip_table` on the device; made when first needed: only training needs it."""
        return torch.from_numpy(rot90_flip_table(self.size)).to(self.low.device)

    @cached_property
    def rotation(self) -> Tensor:
        """`rotation_table` on the device."""
        return torch.from_numpy(rotation_table(self.size)).to(self.low.device)

    def __len__(self) -> int:
        return len(self.images)

    def augmented(self, index: Tensor, rot90_flip: Tensor, rotation: Tensor) -> tuple[Tensor, Tensor]:
        """Augmented batch of images `index` (B,), transformed by rows `rot90_flip` and `rotation` (B,) of the tables.

        Returns images (B, 3, H, W) in [0, 255], each min-max scaled by itself before zeros are filled in, and
        masks (B, 1, H, W) in [0, 1]. B may be several axes, such as (R, B) for R replicas.
        """
        shape = index.shape
        index, rot90_flip, rotation = index.flatten(), rot90_flip.flatten(), rotation.flatten()
        rotated = self.rotation[rotation]  # (B, P) positions in the image after rot90 and flip
        source = self.rot90_flip[rot90_flip].gather(1, rotated.clamp(min=0))  # (B, P) positions in the stored image
        inside = rotated >= 0
        pixels = self.images[index[:, None], source]  # (B, P, 3)
        scaled = (pixels - self.low[index, None, None]) * self.gain[index, None, None]
        images = torch.where(inside[..., None], scaled, 0)
        masks = torch.where(inside, self.masks[index[:, None], source].to(self.dtype) / 255, 0)
        masks = masks.reshape(-1, 1, self.size, self.size)
        return self._shaped(images).unflatten(0, shape), masks.unflatten(0, shape)

    def plain(self, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """Images start..stop in order, scaled but not augmented: shapes and ranges as `augmented`."""
        part = slice(start, stop)
        scaled = (self.images[part] - self.low[part, None, None]) * self.gain[part, None, None]
        masks = self.masks[part].to(self.dtype) / 255
        return self._shaped(scaled), masks.reshape(-1, 1, self.size, self.size)

    def truth(self, start: int, stop: int) -> Tensor:
        """What is scored: mask >= 0.5, (B, 1, H, W) bool."""
        return (self.masks[start:stop] >= 128).reshape(-1, 1, self.size, self.size)

    def _shaped(self, pixels: Tensor) -> Tensor:
        """(B, P, 3) to (B, 3, H, W), contiguous.

        Left channels-last, as they lie, AULUNet is no faster on CPU, and batch norm there sums in plain order: median
        relative error of a gradient 3e-3 against 1e-4 (AULUNet-v3, 64 px, batch 8, float32 against float64).
        """
        return pixels.reshape(-1, self.size, self.size, 3).permute(0, 3, 1, 2).contiguous()
