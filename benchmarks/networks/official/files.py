"""Weight files as trainers leave them: read without running any code in them, or a sentence says what is in the way.

Of a pickled file only tensors, plain containers and numpy's numbers are read; whatever else it names is refused by its
name. What lies around the weights (epoch, optimizer, wrappers of modules, counts of thop) is left out.
"""

import pickle
import reprlib
import zipfile
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from benchmarks.networks.official.contract import plain_keys
from results.errors import Damaged

WRAPPERS = (
    *("model_state_dict", "state_dict", "model_state", "model", "network_state_dict", "network", "net_state_dict"),
    *("net", "params", "weights", "module", "student", "params_ema", "ema"),
)
"""Under which a file keeps its weights, those first that count where there are several."""
MAMBALITE = "MambaLiteUNet's released file, trained on"
RELEASED = {
    "c0bbb324911b84299acb5ac493fec2be3c03220dbb1c0cc10064f1a029c01191": f"{MAMBALITE} ISIC2017",
    "047879e8118b16fd842e4dc30195b0af984f99127a0d93310a2452ce8c1a6dc3": f"{MAMBALITE} ISIC2018",
}
"""Files that authors released, by their SHA-256."""
DEEPEST = 5  # wrappers in wrappers
AGAIN = "download it again"
ELSEWHERE = "where its authors' code is, save torch.save(network.state_dict(), FILE) and load that"
NOT_WEIGHTS = (
    (b"version https://git-lfs", "it is a Git LFS pointer and not the file", "type git lfs pull where it was cloned"),
    (b"\x1f\x8b", "it is a gzip archive", "unpack it"),
    (b"Rar!", "it is a RAR archive", "unpack it"),
    (b"7z\xbc\xaf", "it is a 7z archive", "unpack it"),
    (b"\x89HDF", "it is an HDF5 file, of another library", "ask its authors for one of PyTorch"),
    (b"\x93NUMPY", "it is one numpy array", "ask its authors for a state dict"),
)
"""Beginnings of files, what they are, and the cure."""


def _numbers() -> list[Any]:
    """What a pickled numpy number needs, of numpy before and since version 2: nothing that holds objects."""
    scalar = np.float64(0).__reduce__()[0]
    kinds = {type(np.dtype(code)) for code in "?bhilqBHILQefdg"}
    names = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")
    return [np.dtype, *kinds, *((scalar, name) for name in names)]


def read(path: Path) -> dict[str, Tensor]:
    """The state dict in a file of PyTorch or safetensors, by the authors' names without the prefixes of wrappers.

    Raises Damaged, which says what the file is and what to do, where there is none in it.
    """
    if path.is_dir():
        raise Damaged(path, "it is a folder", "name the file in it")
    try:
        with path.open("rb") as file:
            start = file.read(1024)
    except FileNotFoundError:
        raise Damaged(path, "there is no such file", "give the path of a checkpoint") from None
    except OSError as error:
        raise Damaged(path, f"it cannot be read ({error.strerror})", "let this user read it") from None
    _refuse_other_files(path, start)
    if start[8:9] == b"{":
        return plain_keys(_safetensors(path))
    return plain_keys(_state_dict(path, _unpickled(path)))


def _refuse_other_files(path: Path, start: bytes) -> None:
    """Raises Damaged for what is no checkpoint, by its beginning and, of a zip, by its members."""
    if not start:
        raise Damaged(path, "it is empty", AGAIN)
    for beginning, what, cure in NOT_WEIGHTS:
        if start.startswith(beginning):
            raise Damaged(path, what, cure)
    if start.lstrip()[:1] == b"<" and b"html" in start.lower():
        raise Damaged(path, "it is a web page and not the file", "download it in a browser: a page may ask first")
    if start.startswith(b"PK"):
        _refuse_other_zips(path)
    elif start[8:9] != b"{" and _is_text(start):
        raise Damaged(path, f"it is text ({reprlib.repr(start.decode())})", AGAIN)


def _is_text(start: bytes) -> bool:
    try:
        return all(character.isprintable() or character.isspace() for character in start.decode())
    except UnicodeDecodeError:
        return False


def _refuse_other_zips(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        raise Damaged(path, "it is cut off", AGAIN) from None
    if any(name.endswith("/constants.pkl") for name in names):
        raise Damaged(path, "it is a TorchScript program, whose loading runs code", ELSEWHERE)
    if not any(name.endswith("/data.pkl") for name in names):
        raise Damaged(path, f"it is a zip archive and no checkpoint ({reprlib.repr(names)})", "unpack it")


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise Damaged(path, f"it is a safetensors file that is damaged ({error})", AGAIN) from None


def _unpickled(path: Path) -> Any:
    """What a file of PyTorch holds. Raises Damaged, naming what would run where it holds code."""
    try:
        with torch.serialization.safe_globals(_numbers()):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = error
    if code := [name for name in _named(path) if _is_code(name)]:
        if any(name.startswith("torch.nn.modules.") for name in code):
            own = next((name for name in code if not name.startswith("torch.")), code[0])
            raise Damaged(path, f"it holds a whole network ({own}), whose loading runs code", ELSEWHERE)
        raise Damaged(path, f"it holds {_some(code)}, which is code and is not run", ELSEWHERE)
    raise Damaged(path, f"it is no checkpoint of PyTorch, or damaged ({_first_line(reason)})", AGAIN)


class _Inert:
    """Stands for whatever a pickle names, and does nothing."""

    def __new__(cls, *given: Any, **named: Any) -> "_Inert":
        return super().__new__(cls)

    def __init__(self, *given: Any, **named: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def append(self, value: Any) -> None:
        pass


class _Names(pickle.Unpickler):
    """Goes through a pickle without running anything, and notes the names of all that it would import."""

    def __init__(self, file: IO[bytes], found: dict[str, None]) -> None:
        super().__init__(file)
        self.found = found

    def find_class(self, module: str, name: str) -> type:
        self.found[f"{module}.{name}"] = None
        return _Inert

    def persistent_load(self, key: Any) -> Any:
        """A storage, or the class of a network, which comes with its source before version 1.6 of PyTorch."""
        return key[1] if isinstance(key, tuple) and key[0] == "module" else None


def _named(path: Path) -> list[str]:
    """What the pickles in a file name, in their order, as far as they can be read."""
    found: dict[str, None] = {}
    with ExitStack() as stack, suppress(Exception):
        file: IO[bytes] = stack.enter_context(path.open("rb"))
        if zipfile.is_zipfile(path):
            archive = stack.enter_context(zipfile.ZipFile(path))
            name = next(each for each in archive.namelist() if each.endswith("/data.pkl"))
            file = stack.enter_context(archive.open(name))
        for _ in range(4):  # before version 1.6 of PyTorch: a number, a version, the system, and the content
            _Names(file, found).load()
    return list(found)


def _is_code(name: str) -> bool:
    """Whether a name is anything but a tensor, a container or a number."""
    return name.rpartition(".")[0] not in ("torch", "torch._utils", "collections", "_codecs") and name not in (
        *("numpy.dtype", "numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar"),
        *(f"numpy.dtypes.{kind.__name__}" for kind in _numbers() if isinstance(kind, type)),
    )


def _state_dict(path: Path, content: Any) -> dict[str, Tensor]:
    """The weights in what a file holds. Raises Damaged where there are none, or several of them."""
    for _ in range(DEEPEST):
        if not isinstance(content, Mapping):
            raise Damaged(path, f"it holds a {type(content).__name__} and no state dict", ELSEWHERE)
        inside = {str(key): value for key, value in content.items() if _may_hold_weights(str(key), value)}
        if wrapper := next((name for name in WRAPPERS if name in inside), None):
            content = inside[wrapper]
            continue
        if weights := {str(key): value for key, value in content.items() if isinstance(value, Tensor)}:
            return weights
        if len(inside) > 1:
            cure = f"save the one that is meant by itself: torch.save(content[{next(iter(inside))!r}], FILE)"
            raise Damaged(path, f"it holds several state dicts ({_some(list(inside))})", cure)
        if not inside:
            break
        (content,) = inside.values()
    raise Damaged(path, f"it holds no weights ({_some([str(key) for key in content])})", "give another file")


def _may_hold_weights(key: str, value: Any, depth: int = DEEPEST) -> bool:
    """Whether this is a state dict or wraps one, and no state of an optimizer."""
    if not isinstance(value, Mapping) or depth == 0 or any(other in key for other in ("optim", "sched", "scaler")):
        return False
    if any(isinstance(each, Tensor) for each in value.values()):
        return True
    return any(_may_hold_weights(str(name), each, depth - 1) for name, each in value.items())


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "") if names else "nothing"


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].removesuffix(".")
