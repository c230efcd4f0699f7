"""Reference vectors of an authors' network, for tests/reference. Run it once, where their code runs: numpy and torch.

python examples/record_reference.py FOLDER_OF_THEIR_CODE MODULE:CLASS > tests/reference/NAME.json

Weights are drawn from each key's name, so that the file needs to hold none; the outputs are those in float64 and eval
mode. The rules stand in tests/reference/README.md.
"""

import argparse
import importlib
import json
import sys
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch


def fill(key: str, shape: torch.Size) -> np.ndarray:
    """The value that a key stands for."""
    z = np.random.RandomState(zlib.crc32(key.encode())).standard_normal(shape)
    if key.endswith("running_var"):
        return 1 + 0.1 * np.abs(z)
    if key.endswith("running_mean"):
        return 0.1 * z
    if len(shape) <= 1:
        return 1 + 0.1 * z if key.endswith("weight") else 0.1 * z
    return z / np.sqrt(np.prod(shape[1:]))


def flat(outputs: Any) -> Iterator[torch.Tensor]:
    """Tensors inside of tuples and lists, in order."""
    if isinstance(outputs, torch.Tensor):
        yield outputs
    else:
        for each in outputs:
            yield from flat(each)


def described(output: torch.Tensor) -> dict[str, Any]:
    """(B, C, H, W) as numbers that a test can hold another output to."""
    stride = max(1, output.shape[-1] // 8)
    numbers = {name: getattr(output, name)().item() for name in ("mean", "std", "min", "max")}
    grid = output[0, 0, ::stride, ::stride].tolist()
    return {"shape": list(output.shape), **numbers, "grid_stride": stride, "grid": grid}


def recorded(network: torch.nn.Module, name: str, size: int) -> dict[str, Any]:
    """The content of a reference file."""
    network = network.double().eval()
    parameters = [key for key, _ in network.named_parameters()]
    state, shape = network.state_dict(), [1, 3, size, size]
    for key, tensor in state.items():
        if key in parameters or key.endswith(("running_mean", "running_var")):
            tensor.copy_(torch.from_numpy(np.asarray(fill(key, tensor.shape))))
    with torch.no_grad():
        outputs = network(torch.from_numpy(np.random.RandomState(0).uniform(0, 1, shape)))
    return {
        "model": name,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "parameter_keys": parameters,
        "state": [[key, list(tensor.shape)] for key, tensor in state.items()],
        "input": {"shape": shape, "rule": "numpy.random.RandomState(0).uniform(0, 1, shape)"},
        "outputs": [described(output) for output in flat(outputs)],
    }


if __name__ == "__main__":
    asked = argparse.ArgumentParser()
    asked.add_argument("folder")
    asked.add_argument("network", metavar="module:Class")
    asked.add_argument("--arguments", type=json.loads, default={}, help="of the constructor, as JSON")
    asked.add_argument("--size", type=int, default=64, help="of the input, pixels")
    given = asked.parse_args()
    sys.path.insert(0, given.folder)
    module, _, cls = given.network.partition(":")
    made = getattr(importlib.import_module(module), cls)(**given.arguments)
    json.dump(recorded(made, given.network, given.size), sys.stdout)
