"""One checkpoint file: written with a checksum of all that it holds, and read only as what was written.

It is a safetensors file whose header holds `format`, the `identity` of the run, the `progress` of the replica, and
`sha256`, over both and over name, type, shape and bytes of every tensor. Files of format 1 have no checksum; everything
else about them is checked in the same way.

The file is written here and not by the library, which writes under a name of its own that a kill leaves behind, and
says of a full disk only that it is an I/O error.
"""

import hashlib
import json
import reprlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import ConfigDict, Field, model_validator
from safetensors import SafetensorError, safe_open
from torch import Tensor

from benchmarks.training.progress import EpochRecord, Progress
from results.document import Count, Document, Fraction, Ordinal, Record
from results.errors import Damaged, RequestError
from results.metrics import EARLIER

FORMAT = 2
OVER = "delete it to start this cell over"
KEYS = {1: {"identity", "progress"}, 2: {"format", "identity", "progress", "sha256"}}
"""Of the header, by format."""
TYPES = {
    **{torch.float64: "F64", torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16"},
    **{torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8"},
    **{torch.uint8: "U8", torch.bool: "BOOL", torch.complex64: "C64"},
}
"""The names that safetensors gives to types."""

Identity = dict[str, str]
"""What a checkpoint must agree on to be continued: data set, recipe, network, its identity, seed, data fingerprint."""
Whole = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class StoredEpoch(Record):
    """An `EpochRecord` in a checkpoint; its losses need not be finite."""

    model_config = ConfigDict(allow_inf_nan=True, extra="forbid")

    epoch: Ordinal
    lr: Whole
    train_loss: float
    validation_loss: float
    validation_iou: Fraction
    validation_dsc: Fraction

    @model_validator(mode="before")
    @classmethod
    def _by_present_keys(cls, row: Any) -> Any:
        """A row from before a metric was renamed."""
        earlier = {f"validation_{old}": f"validation_{new}" for old, new in EARLIER.items()}
        return {earlier.get(key, key): value for key, value in row.items()} if isinstance(row, dict) else row


class StoredProgress(Document):
    """A `Progress` in a checkpoint."""

    model_config = ConfigDict(allow_inf_nan=True, extra="forbid")
    CURE = OVER

    seed: int
    epoch: Count
    best_epoch: Count
    best_loss: float
    seconds: Whole
    images: Annotated[int, Field(ge=0, le=2**53)]
    history: tuple[StoredEpoch, ...] = Field(strict=False)
    failed_at: Ordinal | None
    patience: Count = 0

    def progress(self) -> Progress:
        """As the trainer has it."""
        rows = [row.content() for row in self.history]
        return Progress(**{**self.content(), "history": rows})

    @property
    def fault(self) -> str:
        """What contradicts itself: everything but times and counts follows from the history."""
        if len(self.history) != self.epoch or any(row.epoch != k for k, row in enumerate(self.history, start=1)):
            return f"it stands at epoch {self.epoch}, and its history has {len(self.history)} epochs"
        told = Progress(self.seed, patience=self.patience)
        for row in self.history:
            told.add(EpochRecord(**row.content()))
        for name in ("best_epoch", "best_loss", "failed_at"):
            if getattr(self, name) != getattr(told, name):
                return f"its {name} is {getattr(self, name)}, and by its history it is {getattr(told, name)}"
        if self.images % max(self.epoch, 1) or bool(self.images) != bool(self.epoch):
            return f"it has seen {self.images} images in {self.epoch} epochs"
        return "" if self.seconds or not self.epoch else "its epochs took no time"


@dataclass(frozen=True)
class Contents:
    """What a file holds: the replica's progress, and its tensors by name."""

    progress: Progress
    tensors: dict[str, Tensor]


def write(path: Path, identity: Identity, progress: Progress, tensors: Mapping[str, Tensor]) -> None:
    """Write a whole file, whose tensors lie on any device. Raises OSError."""
    here = {name: tensor.detach().contiguous().cpu() for name, tensor in sorted(tensors.items())}
    texts = {"identity": json.dumps(identity), "progress": json.dumps(asdict(progress))}
    header: dict[str, Any] = {"__metadata__": {"format": str(FORMAT), **texts, "sha256": checksum(texts, here)}}
    end = 0
    for name, tensor in here.items():
        start, end = end, end + tensor.numel() * tensor.element_size()
        header[name] = {"dtype": TYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # the tensors begin at a multiple of 8 bytes
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for tensor in here.values():
            file.write(_bytes(tensor))


def read(path: Path, identity: Identity) -> Contents:
    """All of a file that this run wrote.

    Raises Damaged where it is not what was written, FileNotFoundError where there is none, and RequestError where it
    belongs to another run or cannot be read at all.
    """
    with _opened(path) as file:
        texts = _texts(path, file.metadata())
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    if "sha256" in texts and texts["sha256"] != checksum(texts, tensors):
        raise Damaged(path, "it was damaged after it was written: its contents do not match its checksum", OVER)
    return Contents(_progress(path, texts, identity), tensors)


def read_progress(path: Path, identity: Identity) -> Progress:
    """Only the progress, without looking at the tensors. Raises as `read` does."""
    with _opened(path) as file:
        return _progress(path, _texts(path, file.metadata()), identity)


def checksum(texts: Mapping[str, str], tensors: Mapping[str, Tensor]) -> str:
    """Hex SHA-256 of identity and progress, and of each tensor's name, type, shape and bytes, by name."""
    kinds = {name: [str(tensor.dtype), list(tensor.shape)] for name, tensor in tensors.items()}
    digest = hashlib.sha256(json.dumps([texts["identity"], texts["progress"], kinds], sort_keys=True).encode())
    for name in sorted(tensors):
        digest.update(_bytes(tensors[name]))
    return digest.hexdigest()


def _bytes(tensor: Tensor) -> memoryview:
    """Of a contiguous tensor in main memory."""
    return tensor.reshape(-1).view(torch.uint8).numpy().data


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The open file, of which what cannot be read becomes a sentence."""
    if path.is_dir():
        raise RequestError(f"{path} is a folder where a checkpoint should be; move it away.")
    try:
        with safe_open(path, "pt") as file:
            yield file
    except FileNotFoundError:
        raise
    except OSError as error:
        raise RequestError(f"{path} cannot be read ({error}); let this user read it, or {OVER}.") from None
    except (SafetensorError, RuntimeError, ValueError) as error:
        what = "is empty" if not path.stat().st_size else f"is not a checkpoint of this version ({error})"
        raise Damaged(path, f"it {what}", OVER) from None


def _texts(path: Path, header: Mapping[str, str] | None) -> dict[str, str]:
    """The texts of a header of a known format."""
    texts = dict(header or {})
    version = texts.get("format", "1")
    if version.isdecimal() and int(version) > FORMAT:
        newer = f"has format {version}, which is newer than this version reads ({FORMAT})"
        raise RequestError(f"{path} {newer}; go on with the version that wrote it, or {OVER}.")
    if version not in map(str, KEYS) or set(texts) != KEYS[int(version)]:
        raise Damaged(path, f"it is not a checkpoint of this version (its header holds {_names(texts)})", OVER)
    return texts


def _progress(path: Path, texts: Mapping[str, str], identity: Identity) -> Progress:
    """What the texts of a header say of the replica, if it is of this run."""
    try:
        stored, progress = json.loads(texts["identity"]), json.loads(texts["progress"])
    except (ValueError, RecursionError) as error:
        raise Damaged(path, f"it is not a checkpoint of this version ({error})", OVER) from None
    if not isinstance(stored, dict) or not isinstance(progress, dict):
        raise Damaged(path, "it is not a checkpoint of this version (identity or progress is no object)", OVER)
    different = [f"{name} {stored.get(name)!r}" for name in identity if stored.get(name) != identity[name]]
    if different:
        raise RequestError(f"{path} belongs to a run with {', '.join(different)}; move its folder away.")
    told = StoredProgress.of(progress, path)
    if str(told.seed) != identity["seed"]:
        raise Damaged(path, f"its progress is that of seed {told.seed}, not of {identity['seed']}", OVER)
    if told.fault:
        raise Damaged(path, told.fault, OVER)
    return told.progress()


def _names(texts: Mapping[str, str]) -> str:
    return reprlib.repr(sorted(texts)) if texts else "nothing"
