"""Believable stored runs for tests: elliptical lesions, ellipses predicted with an error, everything else derived.

Counts, metrics and masks of a fake run agree with each other; the error shrinks with `skill`, has a part that belongs
to the image (all networks find the same ones hard), and a part of its own for each network and seed.
"""

import shutil
import zlib
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from results import complexity, files, profiles, published, seal
from results.cell import CONFIG, FAILED, HISTORY, MASKS, PER_IMAGE, REPORT, Cell
from results.metrics import per_image_mean, pooled
from results.profiles import KernelsSpread, Machine, Row, Spread
from results.schema import Code, Config, GivenUp, History, Host, PerImage, Report, Sizes, Split

SIZE = 64
IMAGES = 40


def ids(images: int = IMAGES) -> list[str]:
    return [f"ISIC_{k:07d}" for k in range(images)]


def _rng(*words: object) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32("/".join(map(str, words)).encode()))


def _ellipses(parameters: np.ndarray, size: int) -> np.ndarray:
    """(N, 4) centre and radii as fractions of the side to (N, size, size) bool."""
    y, x = np.mgrid[:size, :size] / size
    cx, cy, rx, ry = parameters.T[:, :, None, None]
    return ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 <= 1


@lru_cache
def _lesions(dataset: str, images: int) -> np.ndarray:
    rng = _rng(dataset)
    return np.concatenate([rng.uniform(0.4, 0.6, (images, 2)), rng.uniform(0.12, 0.42, (images, 2))], axis=1)


def truth(dataset: str = "isic2018", images: int = IMAGES, size: int = SIZE) -> np.ndarray:
    """(N, H, W) bool."""
    return _ellipses(_lesions(dataset, images), size)


def prediction(cell: Cell, skill: float, images: int = IMAGES, size: int = SIZE) -> np.ndarray:
    """(N, H, W) bool; a skill of 1 has no error, and a skill near 0.85 an IoU near 0.8."""
    lesions = _lesions(cell.dataset, images)
    rng = _rng(cell.dataset, "hard")
    hardness, common = np.exp(rng.normal(0, 0.7, (images, 1))), rng.normal(size=(images, 4))
    own = _rng(cell.network, cell.seed).normal(size=(images, 4))
    error = (1 - skill) * hardness * (0.4 * common + 0.25 * own)
    radii = lesions[:, 2:] * np.exp(error[:, 2:])
    centre = lesions[:, :2] + lesions[:, 2:] * error[:, :2]
    return _ellipses(np.concatenate([centre, radii], axis=1), size)


def counts_of(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """(N, H, W) bool twice to (N, 4): tp, fp, fn, tn."""
    cases = (predicted & true, predicted & ~true, ~predicted & true, ~predicted & ~true)
    return np.stack([case.sum(axis=(1, 2)) for case in cases], axis=1)


def write_run(
    root: Path,
    dataset: str = "isic2018",
    recipe: str = "paper",
    network: str = "unet",
    seed: int = 1,
    *,
    skill: float = 0.85,
    images: int = IMAGES,
    masks: int = 0,
    epochs: int = 4,
    label: str | None = None,
) -> Path:
    """Write one finished run; returns its folder. The first `masks` images keep their predicted mask."""
    cell = Cell(dataset, recipe, network, seed)
    predicted = prediction(cell, skill, images)
    counts = counts_of(predicted, truth(dataset, images))
    folder = cell.folder(root)
    _config(cell, images, label or network).write(folder / CONFIG)
    _history(cell, epochs).write(folder / HISTORY)
    PerImage.of(ids(images), counts).write(folder / PER_IMAGE)
    (folder / MASKS).mkdir(exist_ok=True)
    for name, mask in zip(ids(images)[:masks], predicted, strict=False):
        Image.fromarray(mask).save(folder / MASKS / f"{name}.png")
    _report(cell, counts, epochs, images).write(folder / REPORT)
    return folder


def seal_run(folder: Path) -> None:
    """Tie the files of a run together, as `save_run.finish` does; `write_run` writes what an earlier version did."""
    report = Report.read(folder / REPORT)
    report.changed(files=seal.of_folder(folder)).sealed().write(folder / REPORT)


def as_before_identities(folder: Path) -> None:
    """Make a run look as if it were copied here from an older results folder: nothing says what its network was."""
    for name, unknown in ((CONFIG, {"identity"}), (REPORT, {"identity", seal.FILES, seal.DIGEST})):
        content = files.read_json(folder / name)
        files.write_json(folder / name, {key: value for key, value in content.items() if key not in unknown})


def _split(images: int) -> Split:
    sizes = Sizes(train=4 * images, validation=images // 2, test=images)
    return Split(rule="paper", selected_on="validation", scored_on="test", sizes=sizes)


def _config(cell: Cell, images: int, label: str) -> Config:
    """As an earlier version wrote it, without the network's identity, the data and the engine."""
    return Config(
        format=Config.FORMAT,
        **asdict(cell),
        label=label,
        venue="test",
        deviations=(),
        base_recipe=cell.recipe.partition("+")[0],
        recipe_settings={"size": SIZE, "epochs": 4, "batch": 8},
        cross_entropy="of probabilities, logarithms at least -100",
        fingerprint="0" * 16,
        size=SIZE,
        split=_split(images),
    )


def _history(cell: Cell, epochs: int) -> History:
    epoch = np.arange(1, epochs + 1)
    loss = 0.4 + 0.6 / epoch + 0.01 * _rng(cell, "history").random(epochs)
    iou = 0.8 - 0.4 / epoch
    columns = {"epoch": epoch, "lr": 1e-3 / epoch, "train_loss": loss, "validation_loss": loss + 0.05}
    return History(pd.DataFrame({**columns, "validation_iou": iou, "validation_dsc": 2 * iou / (1 + iou)}))


def _report(cell: Cell, counts: np.ndarray, epochs: int, images: int) -> Report:
    return Report(
        format=Report.FORMAT,
        **asdict(cell),
        split=_split(images),
        metrics=pooled(counts),
        per_image_mean=per_image_mean(counts),
        best_epoch=epochs,
        epochs=epochs,
        validation_loss=0.5,
        parameters=28636,
        seconds=60.0,
        images_per_second=100.0,
        peak_memory_mb=200.0,
        code=Code(version="0.1.0", commit="0" * 40, dirty=False),
        torch="2.0",
        python="3.11",
        device="cpu",
        host=Host(machine="x86_64", cpus=2),
        finished_at="2025-01-01T00:00:00+00:00",
    )


def write_failure(root: Path, network: str, seed: int, *, dataset: str = "isic2018", recipe: str = "paper") -> Path:
    """Write a seed that was given up; returns its folder."""
    folder = Cell(dataset, recipe, network, seed).folder(root)
    GivenUp(epoch=17, reason="the loss is not finite").write(folder / FAILED)
    return folder


def write_suite(root: Path, skills: dict[str, float], seeds: int = 5, **arguments: object) -> None:
    """Write `seeds` runs of each network: name -> skill. A test's files need not survive a power cut."""
    with mock.patch("os.fsync"):
        for network, skill in skills.items():
            for seed in range(1, seeds + 1):
                write_run(root, network=network, seed=seed, skill=skill, **arguments)  # type: ignore[arg-type]


COUNTED = {  # network: parameters, thop_parameters, thop_macs
    "unet": (7_765_985, 7_765_985, 13_745_780_000),
    "scr_net": (811_788, 800_924, 1_567_470_000),
    "aswin_unet": (46_913_892, 46_855_000, 14_180_961_696),
    "c2sdg": (22_009_793, 22_009_793, 7_972_192_256),
    "unext_s": (253_561, 253_561, 103_830_000),
    "malunet": (177_943, 175_031, 82_970_000),
    "ege_unet": (53_374, 45_806, 72_100_000),
    "vm_unet": (27_427_561, 22_038_000, 4_111_859_712),
    "lightm_unet": (403_302, 70_000, 390_725_632),
    "lb_unet": (55_865, 38_489, 98_000_000),
    "ulvm_unet": (49_457, 38_000, 60_240_000),
    "aulunet_v1": (28_557, 28_557, 55_990_000),
    "aulunet_v2": (31_245, 31_245, 56_480_000),
    "aulunet_v3": (28_636, 28_636, 69_030_000),
    "aulunet_m4": (24_056, 24_056, 56_370_000),
    "aulunet_m5": (25_036, 25_036, 69_020_000),
    **{f"aulunet_d{two}": (28_636, 28_636, 69_030_000) for two in (13, 24, 15, 17, 35)},
    **{f"aulunet_d{three}": (26_279, 26_279, 78_580_000) for three in (123, 135, 157, 357)},
    "mk_unet": (315_566, 315_566, 327_540_000),
    "simple_unet": (16_308, 16_244, 210_550_000),
    "tiny_unet": (481_170, 481_170, 1_663_370_000),
    "ultralbm_unet": (34_166, 29_391, 60_450_000),
    "mambalite_unet": (910_627, 494_173, 326_210_000),
}
PTFLOPS = {"mk_unet": 313_760_000}


def live_counts() -> dict[str, dict[str, int]]:
    """The fact sheets' counts in the fields of complexity.csv; those of other counters are stand-ins."""
    return {
        network: {
            "parameters": parameters,
            "thop_parameters": seen,
            "thop_macs": macs,
            "ptflops_macs": PTFLOPS.get(network, macs),
            "fvcore_macs": macs,
            "flops": 2 * macs,
        }
        for network, (parameters, seen, macs) in COUNTED.items()
    }


def write_complexity(root: Path) -> Path:
    """Write complexity.csv with the fact sheets' counts."""
    rows = [{"network": name, **counts, "input": "1x3x256x256"} for name, counts in live_counts().items()]
    path = root / complexity.FILE
    complexity.ComplexityTable(pd.DataFrame(rows)).write(path)
    return path


def write_profile(root: Path, machine: str = "quiet-box", networks: tuple[str, ...] = ("unet", "aulunet_v3")) -> Path:
    """Write a profile of one machine, on its CPU."""
    kernels = {"kernels_latency_ms": KernelsSpread(median=4.0, q25=3.5, q75=5.0, n=30, numba="0.60")}
    rows = [
        Row(
            network=network,
            device="cpu",
            size=256,
            threads=2,
            latency_ms=Spread(median=20.0 + k, q25=19.0 + k, q75=22.0 + k, n=30),
            throughput_ips=Spread(median=60.0 - k, q25=58.0 - k, q75=61.0 - k, n=10),
            peak_memory_mb=300.0 + k,
            weights_kb=120.0 + k,
            **(kernels if k else {}),  # a row measured before there were kernels has no such field
        )
        for k, network in enumerate(networks)
    ]
    path = profiles.path_of(root, machine)
    profiles.write(path, Machine(name=machine, cpu="x86_64", cores=2, memory_gb=8, device="cpu", torch="2.0"), rows)
    return path


def copy_published(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the published tables that a test may damage; readers see it instead of the checkout's."""
    shutil.copytree(published.PUBLISHED, folder)
    monkeypatch.setattr(published, "PUBLISHED", folder)
    return folder


def pictures(dataset: str, wanted: list[str], images: int = IMAGES) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """What the command line hands to the qualitative figure: id -> (H, W, 3) uint8 photograph and (H, W) bool truth."""
    masks = dict(zip(ids(images), truth(dataset, images), strict=True))
    skin, lesion = np.array([220, 180, 160], np.uint8), np.array([110, 70, 50], np.uint8)
    return {name: (np.where(masks[name][..., None], lesion, skin), masks[name]) for name in wanted}
