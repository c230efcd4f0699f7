"""Weight files as trainers and downloads leave them: the same numbers, or a sentence that says what is in the way."""

import collections
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from benchmarks.networks import registry
from benchmarks.networks.official import files
from results.errors import RequestError
from tests import reference_vectors

WEIGHTS = {"conv.weight": torch.arange(4.0).view(4, 1), "conv.bias": torch.ones(4), "norm.steps": torch.tensor(3)}
LOSS = np.float64(0.25)
OPTIMIZER = {"state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.ones(4)}}, "param_groups": [{"lr": 1e-3}]}
EGE = {
    **{"epoch": 300, "min_loss": LOSS, "min_epoch": np.int64(288), "loss": np.float32(0.5)},
    **{"model_state_dict": WEIGHTS, "optimizer_state_dict": OPTIMIZER, "scheduler_state_dict": {"T_max": 50}},
}
"""latest.pth of the EGE-UNet family."""


def prefixed(prefix: str) -> dict[str, Tensor]:
    return {f"{prefix}{key}": tensor for key, tensor in WEIGHTS.items()}


def counted() -> dict[str, Tensor]:
    """After thop has counted the network."""
    names = ("total_ops", "total_params", "conv.total_ops", "conv.total_params")
    return WEIGHTS | {name: torch.zeros(1, dtype=torch.float64) for name in names}


LOADED = {
    "a state dict": WEIGHTS,
    "an ordered one": collections.OrderedDict(WEIGHTS),
    "latest.pth": EGE,
    "thop": counted(),
    "DataParallel": prefixed("module."),
    "DataParallel twice": prefixed("module.module."),
    "torch.compile": prefixed("_orig_mod."),
    "torch.compile of DataParallel": prefixed("_orig_mod.module."),
    "DataParallel of torch.compile": {"state_dict": prefixed("module._orig_mod.")},
    "a compiled part": {key.replace("conv.", "conv._orig_mod."): tensor for key, tensor in WEIGHTS.items()},
    **{f"under {name}": {name: WEIGHTS, "epoch": 3} for name in files.WRAPPERS},
    "a wrapper in a wrapper": {"model": {"state_dict": WEIGHTS}, "optimizer": OPTIMIZER},
    "one more name": {"unet": WEIGHTS, "optimizer": OPTIMIZER, "lr_scheduler": {"a": torch.ones(1)}},
    "with a loss": {"model": WEIGHTS, "loss": torch.tensor(0.25)},
    "weights before averages": {"params_ema": prefixed("no."), "params": WEIGHTS},
    "with an epoch": WEIGHTS | {"epoch": 3},
}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("kind", LOADED)
def test_what_trainers_leave_is_read(kind, zipped, tmp_path):
    torch.save(LOADED[kind], tmp_path / "latest.pth", _use_new_zipfile_serialization=zipped)
    read = files.read(tmp_path / "latest.pth")
    assert list(read) == list(WEIGHTS)
    assert all(torch.equal(read[name], tensor) for name, tensor in WEIGHTS.items())


def test_numbers_of_an_older_numpy_are_read(tmp_path):
    """numpy.core was renamed in version 2."""
    name = f"{LOSS.__reduce__()[0].__module__}\n".encode()
    torch.save({"loss": LOSS, "model": WEIGHTS}, tmp_path / "now.pth", _use_new_zipfile_serialization=False)
    content = (tmp_path / "now.pth").read_bytes()
    assert content.count(name) == 1
    for other in (b"numpy.core.multiarray\n", b"numpy._core.multiarray\n"):
        (tmp_path / "other.pth").write_bytes(content.replace(name, other))
        assert list(files.read(tmp_path / "other.pth")) == list(WEIGHTS)


def test_safetensors_are_read(tmp_path):
    save_file(prefixed("module."), tmp_path / "model.safetensors")
    read = files.read(tmp_path / "model.safetensors")
    assert {name: tensor.tolist() for name, tensor in read.items()} == {
        name: tensor.tolist() for name, tensor in WEIGHTS.items()
    }


class Runs:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)


class Whole(nn.Module):
    """A network of somebody's own."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 1, 1)


def zipped(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("checkpoints/best.pth", b"0")


def scripted(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("data.pkl", "constants.pkl", "code/net.py"):
            archive.writestr(f"net/{name}", b"0")


def cyclic(path: Path) -> None:
    content: dict = {"epoch": 3}
    content["model"] = content
    torch.save(content, path)


def saved(content: object, **options: bool) -> Callable[[Path], None]:
    return lambda path: torch.save(content, path, **options)


def bytes_of(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def cut(path: Path, **options: bool) -> None:
    torch.save(WEIGHTS, path, **options)
    path.write_bytes(path.read_bytes()[:-200])


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 4029099\n"
WHOLE = "it holds a whole network (tests.test_official_files.Whole), whose loading runs code; where its authors'"
REFUSED = {
    "empty": (bytes_of(b""), "it is empty; download it again."),
    "a page": (bytes_of(b"\n<!DOCTYPE html><html><title>Google Drive"), "it is a web page and not the file; download"),
    "an old page": (bytes_of(b"<HTML><BODY>404"), "it is a web page and not the file; download it in a browser"),
    "a pointer": (bytes_of(POINTER), "it is a Git LFS pointer and not the file; type git lfs pull"),
    "text": (bytes_of(b"404: Not Found"), "it is text ('404: Not Found'); download it again."),
    "a list": (saved([1, 2]), "it holds a list and no state dict; "),
    "a tensor": (saved(torch.ones(2)), "it holds a Tensor and no state dict; "),
    "nothing": (saved({}), "it holds no weights (nothing); "),
    "an optimizer": (saved({"epoch": 3, "optimizer": OPTIMIZER}), "it holds no weights (epoch, optimizer); "),
    "itself": (cyclic, "it holds no weights (epoch, model); "),
    "two networks": (saved({"gen": WEIGHTS, "dis": WEIGHTS}), "it holds several state dicts (gen, dis); save the one"),
    "a zip": (zipped, "it is a zip archive and no checkpoint (['checkpoints/best.pth']); unpack it."),
    "a program": (scripted, "it is a TorchScript program, whose loading runs code; "),
    "cut": (cut, "it is cut off; download it again."),
    "cut, of old": (
        lambda path: cut(path, _use_new_zipfile_serialization=False),
        "it is no checkpoint of PyTorch, or damaged (",
    ),
    "bytes": (bytes_of(bytes(range(128, 256)) * 9), "it is no checkpoint of PyTorch, or damaged ("),
    "gzip": (bytes_of(b"\x1f\x8b\x08\0"), "it is a gzip archive; unpack it."),
    "safetensors": (bytes_of(b"\x40\0\0\0\0\0\0\0{}"), "it is a safetensors file that is damaged ("),
    "a network": (saved(Whole()), WHOLE),
    "a network, of old": (saved({"net": Whole()}, _use_new_zipfile_serialization=False), WHOLE),
    "a path": (
        saved({"model": WEIGHTS, "args": Path("a")}),
        f"it holds {type(Path()).__module__}.{type(Path()).__name__}, which is code and is not run",
    ),
    "an array": (
        saved({"model": WEIGHTS, "losses": np.ones(2)}),
        f"it holds {LOSS.__reduce__()[0].__module__}._reconstruct, numpy.ndarray, which is code and is not run; ",
    ),
    "a pickle": (
        lambda path: path.write_bytes(pickle.dumps({"conv": WEIGHTS["conv.bias"]})),
        "it holds torch.storage._load_from_bytes, which is code and is not run; ",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_state_dict_is_named(kind, tmp_path):
    make, said = REFUSED[kind]
    path = tmp_path / "best.pth"
    make(path)
    with pytest.raises(RequestError) as caught:
        files.read(path)
    assert str(caught.value).startswith(f"{path}: {said}")
    assert "\n" not in str(caught.value)


def test_a_folder_and_a_missing_file_are_named(tmp_path):
    for path, said in ((tmp_path, "it is a folder; name the file in it."), (tmp_path / "a", "there is no such file; ")):
        with pytest.raises(RequestError) as caught:
            files.read(path)
        assert str(caught.value).startswith(f"{path}: {said}")


@pytest.mark.parametrize("how", ["zip", "of old", "pickle"])
def test_code_in_a_file_is_named_and_not_run(how, tmp_path):
    path, trace = tmp_path / "best.pth", tmp_path / "trace"
    content = {"model_state_dict": WEIGHTS, "more": Runs(trace)}
    if how == "pickle":
        path.write_bytes(pickle.dumps(Runs(trace)))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=how == "zip")
    with pytest.raises(
        RequestError, match=rf"best\.pth: it holds {os.mkdir.__module__}\.mkdir, which is code and is not"
    ):
        files.read(path)
    assert not trace.exists()
    pickle.loads(pickle.dumps(Runs(trace)))
    assert trace.exists(), "it would not have run anyway"


def test_nothing_but_numbers_is_allowed_afterwards(tmp_path):
    before = torch.serialization.get_safe_globals()
    torch.save(EGE, tmp_path / "latest.pth")
    files.read(tmp_path / "latest.pth")
    assert set(torch.serialization.get_safe_globals()) == set(before)


def test_the_weights_of_another_network_are_named(tmp_path):
    state = reference_vectors.official_state(reference_vectors.load("aulunet_v3"))
    torch.save({"model_state_dict": state}, tmp_path / "latest.pth")
    registry.load_official("aulunet_v3", tmp_path / "latest.pth")
    with pytest.raises(RequestError, match=r"latest\.pth: it does not hold the weights of malunet \(This is not an of"):
        registry.load_official("malunet", tmp_path / "latest.pth")
