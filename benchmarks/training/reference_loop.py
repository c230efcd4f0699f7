"""The loop that the field writes: one seed, one picture at a time, eager. What the trainer is held against.

It serves the tests and the speed command; no result comes from it. A `DataLoader` scales and augments each picture with
numpy and scipy, the network is called as a module, every step waits for its loss, and validation runs picture by
picture. Everything random is the trainer's own (`draw_epoch`, initial weights), so both see the same batches and must
reach the same losses.

Letters: N images of a split, B of a batch, H = W pixels.
"""

from collections.abc import Iterator
from copy import deepcopy

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from benchmarks.networks import registry
from benchmarks.objectives.losses import bce_dice_per_image
from benchmarks.protocol.recipe import Recipe
from benchmarks.training.batches import FIRST_ANGLE, NO_CHANGE, draw_epoch
from benchmarks.training.pixel_counts import predicted
from benchmarks.training.progress import EpochRecord
from benchmarks.training.replicas import initialised
from results.metrics import pooled

Key = tuple[int, int, int]  # position in the split, row of `rot90_flip_table`, row of `rotation_table`


class Pictures(Dataset):
    """One split; an item is an image (3, H, W) in [0, 255] with its mask (1, H, W) in [0, 1], augmented."""

    def __init__(self, images: np.ndarray, masks: np.ndarray, dtype: torch.dtype = torch.float32) -> None:
        """images (N, H, W, 3) uint8, masks (N, H, W) uint8; dtype: of the items."""
        self.images, self.masks, self.dtype = images, masks, dtype

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, key: Key) -> tuple[Tensor, Tensor]:
        index, rot90_flip, rotation = key
        image = transformed(min_max_scaled(self.images[index]), rot90_flip, rotation).transpose(2, 0, 1)
        mask = transformed(self.masks[index] / 255, rot90_flip, rotation)[None]
        return self._tensor(image), self._tensor(mask)

    def _tensor(self, pixels: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(pixels)).to(self.dtype)


def min_max_scaled(image: np.ndarray) -> np.ndarray:
    """An image's own range spread over [0, 255], float64; zeros where it has but one value."""
    low, high = float(image.min()), float(image.max())
    return (image - low) / (high - low) * 255 if high > low else np.zeros(image.shape)


def transformed(pixels: np.ndarray, rot90_flip: int, rotation: int) -> np.ndarray:
    """(H, W, ...) pixels after rot90 with a flip, then a rotation, by their rows in the tables of `batches`."""
    if rot90_flip != NO_CHANGE:
        k, axis = divmod(rot90_flip - 1, 2)
        pixels = np.flip(np.rot90(pixels, k), axis)
    if rotation != NO_CHANGE:
        pixels = ndimage.rotate(pixels, FIRST_ANGLE + rotation - 1, order=0, reshape=False)
    return pixels


class ReferenceLoop:
    """One seed of one network, trained plainly."""

    def __init__(
        self, network: str, seed: int, recipe: Recipe, device: torch.device, dtype: torch.dtype = torch.float32
    ) -> None:
        self.seed, self.recipe, self.device = seed, recipe, device
        self.entry = registry.entry(network)
        self.module = initialised(network, recipe.size, seed).to(device, dtype)
        self.optimizer = torch.optim.AdamW(
            self.module.parameters(),
            lr=recipe.lr,
            betas=(recipe.beta1, recipe.beta2),
            eps=recipe.eps,
            weight_decay=recipe.weight_decay,
        )
        self.best = deepcopy(self.module.state_dict())

    def forward(self, images: Tensor) -> Tensor:
        """What the network makes of images (B, 3, H, W); in training some return more than logits."""
        return self.module(images if self.entry.preprocess is None else self.entry.preprocess(images))

    def batches(self, pictures: Pictures, epoch: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Images (B, 3, H, W), masks (B, 1, H, W) and the objective's draws of each step, on the device."""
        recipe = self.recipe
        groups = draw_epoch(self.seed, epoch, len(pictures), recipe.batch, recipe.augment)
        steps = [step for group in groups for step in zip(group.order, group.rot90_flip, group.rotation, strict=True)]
        keys = [list(zip(*(rows.tolist() for rows in step), strict=True)) for step in steps]
        draws = np.concatenate([group.objective for group in groups])
        for (images, masks), numbers in zip(DataLoader(pictures, batch_sampler=keys), draws, strict=True):
            yield images.to(self.device), masks.to(self.device), torch.from_numpy(numbers).to(self.device)

    def train_epoch(self, pictures: Pictures, epoch: int) -> list[float]:
        """One pass over the training split; the loss of each step."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.lr_at(epoch)
        self.module.train()
        losses = []
        for images, masks, draws in self.batches(pictures, epoch):
            self.optimizer.zero_grad()
            loss = self.entry.objective(self.forward, images, masks, draws)
            loss.backward()
            self.optimizer.step()
            losses.append(loss.item())
        return losses

    @torch.no_grad()
    def validate(self, pictures: Pictures) -> tuple[np.ndarray, np.ndarray]:
        """BCE + Dice of each image, (N,), and its tp, fp, fn, tn in pixels, (N, 4)."""
        self.module.eval()
        losses, counts = [], []
        unchanged = [(index, NO_CHANGE, NO_CHANGE) for index in range(len(pictures))]
        for images, masks in DataLoader(pictures, batch_size=1, sampler=unchanged):
            logits = self.forward(images.to(self.device))
            losses.append(bce_dice_per_image(logits, masks.to(self.device)).item())
            found, truth = predicted(logits).cpu().numpy(), masks.numpy() >= 0.5
            pairs = (found & truth, found & ~truth, ~found & truth, ~found & ~truth)
            counts.append([int(pair.sum()) for pair in pairs])
        return np.array(losses), np.array(counts)

    def train(self, training: Pictures, validation: Pictures) -> list[EpochRecord]:
        """The whole recipe, from its first epoch; keeps the weights of the lowest validation loss in `best`."""
        history: list[EpochRecord] = []
        for epoch in range(1, self.recipe.epochs + 1):
            steps = self.train_epoch(training, epoch)
            widths = [self.recipe.batch] * (len(training) // self.recipe.batch) + [len(training) % self.recipe.batch]
            mean = float(np.average(steps, weights=widths[: len(steps)]))
            losses, counts = self.validate(validation)
            metrics, loss = pooled(counts), float(losses.mean())
            if loss < min((row.validation_loss for row in history), default=np.inf):
                self.best = deepcopy(self.module.state_dict())
            rate = self.recipe.lr_at(epoch)
            history.append(EpochRecord(epoch, rate, mean, loss, metrics["iou"], metrics["dsc"]))
        return history
