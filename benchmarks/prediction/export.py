"""Trained networks as files for other programs: ONNX, torch.export, and ONNX in 8 bits.

Every file takes uint8 RGB (B, 3, H, W), of sides that the network takes, and gives probabilities of lesion
(B, 1, H, W): the scaling of pixels and the sigmoid are inside. It is run again before it is kept.
"""

import io
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.networks import registry
from benchmarks.networks.entry import MultiplesOf
from benchmarks.prediction import onnx_file
from benchmarks.prediction.onnx_file import INPUT, OUTPUT, About, OnnxMember
from benchmarks.prediction.trained import Trained
from benchmarks.training.pixel_counts import THRESHOLD
from results import files
from results.errors import RequestError, Unwritable

BATCH, SIZE = "batch", "size"
MOST = 64  # times the step of a network that takes multiples of it, and pictures in a batch
LEAST_STEPS = 4
Run = Callable[[np.ndarray], np.ndarray]  # (B, H, W, 3) uint8 to (B, H, W) probabilities


class NotKept(RequestError):
    """A file that does not do what the network does, or cannot be made at all."""


@dataclass(frozen=True)
class Tolerance:
    """How far an exported file may be from the network."""

    difference: float
    """Of a probability, on any pixel."""
    flips: float
    """Share of pixels that change from lesion to skin or back."""


EXACT = Tolerance(1e-3, 1e-5)
"""In float32: rounding in another order. A flip needs a probability within rounding of one half."""
ROUNDED = Tolerance(1.0, 0.01)
"""In 8 bits: one pixel in a hundred; no bound on a single probability."""


@dataclass(frozen=True)
class Agreement:
    """An exported file against the network, on real pictures."""

    pictures: int
    difference: float
    """Largest of a probability."""
    flips: int
    """Pixels of all masks that changed."""
    pixels: int

    def within(self, tolerance: Tolerance) -> bool:
        return self.difference <= tolerance.difference and self.flips <= tolerance.flips * self.pixels

    def __str__(self) -> str:
        return (
            f"on {self.pictures} pictures probabilities differ by {self.difference:.2g} at most and "
            f"{self.flips:,} of {self.pixels:,} pixels of the masks flip"
        )


@dataclass(frozen=True)
class Exported:
    """A file that was kept."""

    path: Path
    dynamic: tuple[str, ...]
    """Which of "batch" and "size" may vary."""
    agreement: Agreement


def agreement(network: Run, exported: Run, pictures: np.ndarray, batch: int = 8) -> Agreement:
    """Compare on pictures (N, S, S, 3) uint8."""
    worst, flips = 0.0, 0
    for start in range(0, len(pictures), batch):
        part = pictures[start : start + batch]
        wanted, found = network(part), exported(part)
        difference = np.abs(wanted - found).max()
        worst = max(worst, float(difference) if np.isfinite(difference) else np.inf)
        flips += int(((wanted >= THRESHOLD) != (found >= THRESHOLD)).sum())
    return Agreement(len(pictures), worst, flips, int(np.prod(pictures.shape[:3])))


def to_onnx(trained: Trained, path: Path, pictures: np.ndarray) -> Exported:
    """Write the network as ONNX, with a batch and a size that may vary where the network allows it.

    pictures: (N, S, S, 3) uint8, real ones. Raises NotKept where the file would not do what the network does;
    then there is none.
    """
    onnx_file.needed()
    with files.replacing(path) as partial:
        dynamic = _narrowing(trained, lambda axes: _write_onnx(trained, axes, partial))
        found = agreement(trained.probabilities, OnnxMember(partial).probabilities, pictures)
        _require(found, EXACT, path, trained)
    return Exported(path, dynamic, found)


def to_int8(trained: Trained, path: Path, pictures: np.ndarray, calibration: np.ndarray) -> Exported:
    """Write the network as ONNX with 8-bit convolutions and products, at a fixed size.

    calibration: (N, S, S, 3) uint8 pictures, other ones, from which the ranges of values are taken. Raises
    NotKept where the masks change more than `ROUNDED` allows; then there is no file.
    """
    onnx_file.needed()
    with files.replacing(path) as partial, files.beside(path) as whole:
        _write_onnx(trained, (BATCH,), whole)
        _quantize(whole, partial, calibration)
        onnx_file.describe(partial, _about(trained, (BATCH,), "int8"))
        found = agreement(trained.probabilities, OnnxMember(partial).probabilities, pictures)
        _require(found, ROUNDED, path, trained)
    return Exported(path, (BATCH,), found)


def to_torch(trained: Trained, path: Path, pictures: np.ndarray) -> Exported:
    """Write the network as torch.export saves it, for `torch.export.load`. As `to_onnx` otherwise."""
    with files.replacing(path) as partial:
        found: Agreement

        def write(axes: tuple[str, ...]) -> None:
            nonlocal found
            with _quiet(), torch.no_grad():
                program = torch.export.export(
                    trained.scored, (_example(trained, axes),), dynamic_shapes=_shapes(trained, axes)
                )
            whole = io.BytesIO()  # by name, torch takes files that end in .pt2 only
            torch.export.save(program, whole)
            partial.write_bytes(whole.getvalue())
            module = torch.export.load(io.BytesIO(partial.read_bytes())).module()
            found = agreement(trained.probabilities, lambda images: _by_torch(module, images), pictures)

        dynamic = _narrowing(trained, write)
        _require(found, EXACT, path, trained)
    return Exported(path, dynamic, found)


def _narrowing(trained: Trained, write: Callable[[tuple[str, ...]], None]) -> tuple[str, ...]:
    """Write with as many axes that vary as the network allows; which these are. Raises NotKept with none."""
    steps = isinstance(registry.entry(trained.name).accepts, MultiplesOf)
    for axes in ([(BATCH, SIZE)] if steps else []) + [(BATCH,), ()]:
        try:
            write(axes)
            return axes
        except (Unwritable, OSError):
            raise
        except Exception as error:  # the exporter has no one kind of its own
            reason = error
    told = str(reason).strip().splitlines()
    raise NotKept(
        f"{trained.name} cannot be exported by this version of torch ({told[0] if told else type(reason).__name__}); "
        "use it by `predict`, or export another network."
    ) from reason


def _write_onnx(trained: Trained, axes: tuple[str, ...], path: Path) -> None:
    """Export, and try what is to vary."""
    write_onnx(trained.scored, _example(trained, axes), path, _shapes(trained, axes))
    onnx_file.describe(path, _about(trained, axes, "float32"))
    run = onnx_file.session(path, 1)
    for shape in _shapes_to_try(trained, axes):
        run.run([OUTPUT], {INPUT: np.zeros(shape, np.uint8)})


def write_onnx(module: nn.Module, example: Tensor, path: Path, shapes: Any = None) -> None:
    """Any module of one input and one output as an ONNX file; shapes: as `torch.export` has its dynamic_shapes."""
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            module,
            (example,),
            dynamo=True,
            dynamic_shapes=shapes,
            input_names=[INPUT],
            output_names=[OUTPUT],
            verbose=False,
        )
    assert program is not None
    program.save(str(path))


def _about(trained: Trained, axes: tuple[str, ...], precision: str) -> About:
    dataset = "" if trained.card is None else trained.card.dataset
    return About(trained.name, trained.size, trained.sha256, axes, precision, dataset)


def _example(trained: Trained, axes: tuple[str, ...]) -> Tensor:
    """(B, 3, H, W): two pictures where their number varies, and large ones where their size does, because an axis that
    is 1, here or on the way down, would be taken for one that never varies."""
    side = max(trained.size, LEAST_STEPS * _step(trained)) if SIZE in axes else trained.size
    return torch.zeros((2 if BATCH in axes else 1, 3, side, side), dtype=torch.uint8)


def _shapes(trained: Trained, axes: tuple[str, ...]) -> Any:
    """What may vary, as torch.export has it."""
    if not axes:
        return None
    varying: dict[int, Any] = {0: torch.export.Dim("batch", min=1, max=MOST)}
    if SIZE in axes:
        step = _step(trained)
        varying |= {
            2: step * torch.export.Dim("rows", min=1, max=MOST),
            3: step * torch.export.Dim("columns", min=1, max=MOST),
        }
    return (varying,)


def _shapes_to_try(trained: Trained, axes: tuple[str, ...]) -> Iterator[tuple[int, int, int, int]]:
    side = trained.size
    yield 1, 3, side, side
    if BATCH in axes:
        yield 3, 3, side, side
    if SIZE in axes:
        yield 1, 3, side + _step(trained), side


def _step(trained: Trained) -> int:
    accepts = registry.entry(trained.name).accepts
    assert isinstance(accepts, MultiplesOf)
    return accepts.step


def _by_torch(module: Callable[[Tensor], Tensor], images: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return module(torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))))[:, 0].numpy()


def _quantize(source: Path, path: Path, calibration: np.ndarray) -> None:
    """Static quantization of convolutions and products, weights per channel."""
    from onnxruntime import quantization

    class Pictures(quantization.CalibrationDataReader):  # type: ignore[misc]  # it has no types
        def __init__(self) -> None:
            self.left = iter(calibration)

        def get_next(self) -> dict[str, np.ndarray] | None:
            picture = next(self.left, None)
            return None if picture is None else {INPUT: np.ascontiguousarray(picture.transpose(2, 0, 1)[None])}

    with _quiet():
        quantization.quantize_static(
            str(source), str(path), Pictures(), per_channel=True, op_types_to_quantize=["Conv", "MatMul", "Gemm"]
        )


def _require(found: Agreement, tolerance: Tolerance, path: Path, trained: Trained) -> None:
    if not found.within(tolerance):
        raise NotKept(
            f"{path} was not kept: it does not do what {trained.name} does, {found}, more than "
            f"{tolerance.difference:g} and {100 * tolerance.flips:g} % that are allowed; choose another --format."
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporters' notes, which speak to their own developers."""
    before = logging.root.manager.disable
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(before)
