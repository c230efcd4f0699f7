"""Networks as ONNX files: what runs them, and what such a file says of itself. Needs the extra [onnx]."""

import json
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import cores
from results.errors import Damaged, RequestError

ENDING = ".onnx"
KEY = "lesion_benchmarks"  # under which the file holds what `About` has
INPUT, OUTPUT = "images", "probabilities"
INSTALL = 'pip install -e ".[onnx]"'


@dataclass(frozen=True)
class About:
    """What an exported file says of itself."""

    network: str
    size: int
    """Side of the pictures that it was trained at, pixels."""
    weights: str
    """Hex SHA-256 of the weights."""
    dynamic: tuple[str, ...]
    """Which of "batch" and "size" may vary."""
    precision: str
    """ "float32" or "int8"."""
    dataset: str = ""
    """That it was trained on; empty for weights from elsewhere."""


def installed() -> bool:
    """Whether networks can be exported and run here."""
    return all(find_spec(name) for name in ("onnx", "onnxscript", "onnxruntime"))


def needed() -> Any:
    """The module onnxruntime. Raises RequestError where it is not installed."""
    try:
        import onnxruntime
    except ImportError:
        raise RequestError(
            f"ONNX files need the libraries onnx and onnxruntime, which are absent; {INSTALL}."
        ) from None
    return onnxruntime


def session(path: Path, threads: int | None = None) -> Any:
    """onnxruntime's session of a file, on the CPU. threads: all cores by default. Raises Damaged."""
    runtime = needed()
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads or cores(), 1
    options.log_severity_level = 3
    try:
        return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions have no base of their own
        reason = str(error).splitlines()[0]
        raise Damaged(path, f"it is no ONNX file that onnxruntime can run ({reason})", "export it again") from None


class OnnxMember:
    """A file that `export` wrote, run by onnxruntime: predicts as `prediction.trained.Trained` does."""

    def __init__(self, path: Path, threads: int | None = None) -> None:
        """Raises Damaged where the file cannot be run, or `export` did not write it."""
        self.session = session(path, threads)
        told = self.session.get_modelmeta().custom_metadata_map.get(KEY)
        try:
            about = json.loads(told or "")
            self.about = About(**about | {"dynamic": tuple(about["dynamic"])})
        except (ValueError, TypeError, KeyError):
            raise Damaged(path, "it is not a file of this suite's export", "export the network again") from None
        self.name, self.size = self.about.network, self.about.size

    @property
    def words(self) -> str:
        """What it is."""
        known = f" of {self.about.dataset}" if self.about.dataset else ""
        weights = f"weights {self.about.weights[:12]}"
        return f"{self.name}{known} at {self.size} px by onnxruntime, {self.about.precision} ({weights})"

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """(B, S, S, 3) uint8 to (B, S, S) float32 in [0, 1]."""
        batch = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
        if "batch" in self.about.dynamic:
            return np.asarray(self.session.run([OUTPUT], {INPUT: batch})[0][:, 0])
        return np.concatenate([self.session.run([OUTPUT], {INPUT: each[None]})[0][:, 0] for each in batch])


def describe(path: Path, about: About) -> None:
    """Write `about` into an ONNX file."""
    import onnx

    model = onnx.load(path)
    onnx.helper.set_model_props(model, {KEY: json.dumps(asdict(about))})
    onnx.save(model, path)
