"""A trained network with its preprocessing inside: nobody can feed it pictures that are scaled in another way.

Letters: B pictures, H and W their sides, S the side that the network was trained at, all in pixels.
"""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from benchmarks.datasets.pixels import resized
from benchmarks.networks import registry
from benchmarks.networks.entry import Entry
from benchmarks.networks.seeding import undisturbed
from benchmarks.prediction.weights import Weights, of_file, of_shipped
from benchmarks.training.pixel_counts import THRESHOLD
from results import weights as shipped
from results.errors import RequestError
from results.installation import results_root
from results.weights import Card


class Scored(nn.Module):
    """uint8 RGB (B, 3, H, W), of sides that the network takes, to probabilities of lesion (B, 1, H, W) in [0, 1].

    Each picture is scaled to [0, 255] by its own least and greatest value, as in training.
    """

    def __init__(self, network: nn.Module, entry: Entry) -> None:
        super().__init__()
        self.network, self.preprocess = network, entry.preprocess

    def forward(self, images: Tensor) -> Tensor:
        pixels = images.to(torch.float32)
        low, high = pixels.amin(dim=(1, 2, 3), keepdim=True), pixels.amax(dim=(1, 2, 3), keepdim=True)
        scaled = (pixels - low) * torch.where(high > low, 255 / (high - low).clamp(min=1), 0)
        if self.preprocess is not None:
            scaled = self.preprocess(scaled)
        return self.network(scaled).sigmoid()


class Trained(nn.Module):
    """A network with trained weights, in eval mode: uint8 RGB of any size in, probabilities of lesion of that size out.

    `scored`: the network at its own size, with the scaling of pixels. `size`: that side, S. `card`: what is known of
    the weights; None for those from a file.
    """

    def __init__(self, weights: Weights, size: int, card: Card | None = None) -> None:
        """Raises RequestError where the network does not take pictures of that side."""
        super().__init__()
        entry = registry.entry(weights.network)
        if not entry.accepts(size):
            raise RequestError(f"{entry.name} takes {entry.sizes}, not --size {size}; choose another size.")
        with undisturbed():
            network = registry.build(entry.name)
        network.load_state_dict(dict(weights.tensors))
        self.scored = Scored(network, entry)
        self.name, self.size, self.sha256, self.card = entry.name, size, weights.sha256, card
        self.eval().requires_grad_(False)

    @property
    def words(self) -> str:
        """What it is: "aulunet_v3 of isic2018, recipe half, seed 5, at 128 px"."""
        card = self.card
        known = "" if card is None else f" of {card.dataset}, recipe {card.recipe}, seed {card.seed},"
        return f"{self.name}{known} at {self.size} px (weights {self.sha256[:12]})"

    @torch.inference_mode()
    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) uint8 to (B, 1, H, W) float32 in [0, 1]; pictures of another size are scaled to S and back.

        Raises ValueError for anything but uint8 in three channels.
        """
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
            raise ValueError(f"pictures are uint8 (B, 3, H, W), not {images.dtype} {tuple(images.shape)}")
        if images.shape[2:] == (self.size, self.size):
            return self.scored(images)
        pictures = images.permute(0, 2, 3, 1).cpu().numpy()
        found = [self.of(Image.fromarray(picture)) for picture in pictures]
        return torch.from_numpy(np.stack(found))[:, None].to(images.device)

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """(B, S, S, 3) uint8 to (B, S, S) float32 in [0, 1]: at the network's own size."""
        device = next(self.parameters()).device
        batch = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))).to(device)
        with torch.inference_mode():
            return self.scored(batch)[:, 0].cpu().numpy()

    def of(self, picture: Image.Image | np.ndarray) -> np.ndarray:
        """One RGB picture, or (H, W, 3) uint8, to probabilities (H, W) float32 in [0, 1]."""
        image = (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).convert("RGB")
        small = np.asarray(resized(image, self.size))
        return enlarged(self.probabilities(small[None])[0], image.size)

    def mask(self, picture: Image.Image | np.ndarray) -> np.ndarray:
        """One RGB picture, or (H, W, 3) uint8, to the lesion (H, W) bool: where the probability is at least 0.5."""
        return self.of(picture) >= THRESHOLD


def enlarged(found: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(S, S) float32 at another (width, height), bilinear."""
    if found.shape == size[::-1]:
        return found
    return np.asarray(Image.fromarray(found).resize(size, Image.Resampling.BILINEAR))


def load(network: str, dataset: str = "isic2018", *, results: Path | str | None = None) -> Trained:
    """The network with the weights that ship for it, trained on this data set.

    results: folder that holds weights/; by default as for the commands, and what came with this package. Raises
    RequestError where there are no such weights, and names those that there are.
    """
    registry.entry(network)
    root = results_root(None if results is None else Path(results))
    found = shipped.find(root, dataset, network)
    return Trained(of_shipped(found), found.card.size, found.card)


def load_file(path: Path, network: str, size: int) -> Trained:
    """The network with weights from a file of this suite's or of the authors' own. Raises RequestError."""
    return Trained(of_file(path, network), size)
