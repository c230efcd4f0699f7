"""Stored weights by our names: of a finished run, of those that ship, or of a file from elsewhere."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from benchmarks.networks import registry
from benchmarks.networks.official import files as official_files
from results import seal
from results import weights as shipped
from results.cell import WEIGHTS
from results.errors import Damaged, RequestError
from results.runs import Run


@dataclass(frozen=True)
class Weights:
    """Weights of a network by our names, and the file that they came from."""

    network: str
    tensors: Mapping[str, Tensor]
    sha256: str
    source: str | None = None
    """What the file is, where it was not trained here."""


def of_run(run: Run) -> Weights:
    """The weights that a run stored. Raises RequestError where they are not there, or not those of its report."""
    path = run.folder / WEIGHTS
    recorded = (run.report.files or {}).get(WEIGHTS)
    if not path.exists():
        raise RequestError(
            f"{run.folder} holds no {WEIGHTS}; copy it there from the machine that trained it, or run this cell again."
        )
    found = seal.of_file(path)
    if recorded is not None and found != recorded:
        raise Damaged(path, "it is not the file of which report.json holds the SHA-256", seal.RESTORE)
    return Weights(run.cell.network, _fitting(run.cell.network, _tensors(path, seal.RESTORE), path), found)


def of_shipped(found: shipped.Shipped) -> Weights:
    """Weights that ship. Raises Damaged where they do not fit the network of this version."""
    path, card = found.model, found.card
    return Weights(card.network, _fitting(card.network, _tensors(path, shipped.CURE), path), card.weights)


def of_file(path: Path, network: str) -> Weights:
    """The weights in a file from elsewhere, by our names or the authors'. Raises RequestError where they do not fit."""
    tensors = official_files.read(path)
    expected = _expected(network)
    sha256 = seal.of_file(path)
    source = official_files.RELEASED.get(sha256)
    if tensors.keys() == expected.keys():
        return Weights(network, _fitting(network, tensors, path), sha256, source or "a file with this suite's names")
    try:
        converted = registry.convert_official(network, tensors)
    except ValueError as error:
        raise Damaged(path, f"it is no checkpoint of {network} ({error})", "name the network that it is of") from None
    return Weights(network, converted, sha256, source or "a file with its authors' names, converted")


def _tensors(path: Path, cure: str) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise Damaged(path, f"it cannot be read ({error})", cure) from None


def _expected(network: str) -> Mapping[str, Tensor]:
    """Names and shapes of the network's weights."""
    return registry.outline(registry.entry(network)).state_dict()


def _fitting(network: str, tensors: Mapping[str, Tensor], path: Path) -> Mapping[str, Tensor]:
    """The tensors themselves. Raises Damaged where names or shapes are not those of the network."""
    expected = _expected(network)
    wrong = sorted(tensors.keys() ^ expected.keys()) or [
        name for name, tensor in tensors.items() if tensor.shape != expected[name].shape
    ]
    if wrong:
        fault = f"it does not fit {network}: {wrong[0]} is missing, unknown or of another shape"
        raise Damaged(path, fault, seal.RESTORE)
    return tensors
