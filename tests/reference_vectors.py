"""Reads the reference vectors in tests/reference (rules: the README there) and compares outputs with them."""

import json
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

FOLDER = Path(__file__).parent / "reference"


def available() -> list[str]:
    """Names of the networks with a reference file, e.g. ["aswin_unet", "aulunet_v3", ...]."""
    return sorted(path.stem for path in FOLDER.glob("*.json") if path.stem != "identities")


def load(name: str) -> dict:
    return json.loads((FOLDER / f"{name}.json").read_text())


def fill(key: str, shape: list[int]) -> np.ndarray:
    """The value that the README's rule gives a floating tensor of this key and shape."""
    z = np.random.RandomState(zlib.crc32(key.encode())).standard_normal(shape)
    if key.endswith("running_var"):
        return 1 + 0.1 * np.abs(z)
    if key.endswith("running_mean"):
        return 0.1 * z
    if len(shape) <= 1:
        return 1 + 0.1 * z if key.endswith("weight") else 0.1 * z
    return z / np.sqrt(np.prod(shape[1:]))


def official_state(reference: dict) -> dict[str, torch.Tensor]:
    """The authors' state dict of a reference file: floating tensors in float64, derived and integer ones as zeros."""
    floating = set(reference["parameter_keys"])
    state = {}
    for key, shape in reference["state"]:
        if key in floating or key.endswith(("running_mean", "running_var")):
            state[key] = torch.from_numpy(np.asarray(fill(key, shape)))
        else:
            state[key] = torch.zeros(shape, dtype=torch.int64)
    return state


def images(reference: dict) -> Tensor:
    """The reference input, (B, 3, H, W) float64 uniform in [0, 1)."""
    return torch.from_numpy(np.random.RandomState(0).uniform(0, 1, reference["input"]["shape"]))


def largest_difference(reference: dict, outputs: list[Tensor]) -> float:
    """Largest absolute difference between our outputs, each (B, 1, H, W), and the recorded grid and statistics."""
    assert len(outputs) == len(reference["outputs"]), (len(outputs), len(reference["outputs"]))
    worst = 0.0
    for ours, recorded in zip(outputs, reference["outputs"], strict=True):
        assert list(ours.shape) == recorded["shape"]
        stride = recorded["grid_stride"]
        grid = ours[0, 0, ::stride, ::stride].double()
        worst = max(worst, (grid - torch.tensor(recorded["grid"], dtype=torch.float64)).abs().max().item())
        for name, value in {"mean": ours.mean(), "min": ours.min(), "max": ours.max()}.items():
            worst = max(worst, abs(value.item() - recorded[name]))
    return worst
