"""What `benchmarks.measuring.inference` writes. Nothing here expects any speed."""

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from benchmarks.measuring import inference
from benchmarks.measuring.inference import Effort
from benchmarks.networks import registry
from benchmarks.networks.entry import Entry
from benchmarks.training import kernels
from benchmarks.training.engine import installed
from reports.evidence import load_everything
from results import seal
from results.errors import RequestError
from results.profiles import Row

CPU = torch.device("cpu")
TINY = Effort(warmup=1, passes=3, at_least=2, seconds=0.5)


def measure(root: Path, *names: str, size: int = 32, threads: int = 1, machine: str = "Test box") -> dict:
    """Profile with tiny repetitions; the content of the file."""
    names = names or ("aulunet_v3",)
    path = inference.profile(names, CPU, root, size=size, threads=threads, machine=machine, effort=TINY, onnx=False)
    return json.loads(path.read_text())


def test_the_file_has_the_promised_form(tmp_path: Path) -> None:
    content = measure(tmp_path)
    assert (tmp_path / "profiles" / "test-box.json").exists()
    assert content["format"] == 1
    assert set(content["machine"]) == {"name", "cpu", "cores", "memory_gb", "device", "system", "python", "torch"}
    (row,) = content["rows"]
    assert [row[key] for key in ("network", "device", "size", "threads")] == ["aulunet_v3", "cpu", 32, 1]
    for key in ("latency_ms", "throughput_ips"):
        spread = row[key]
        assert 0 < spread["q25"] <= spread["median"] <= spread["q75"] < math.inf
        assert 2 <= spread["n"] <= 3
    assert 0 < row["peak_memory_mb"] < 100
    assert (row["kernels_latency_ms"] is None) == (installed() is None)
    assert 28_636 * 4 < row["weights_kb"] * 1e3 < 28_636 * 4 * 1.5


@pytest.mark.skipif(installed() is None, reason="needs numba")
def test_latency_with_kernels_is_measured_on_swapped_layers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    swapped: list[nn.Module] = []
    monkeypatch.setattr(kernels, "swap", swapped.append)
    (row,) = measure(tmp_path)["rows"]
    assert len(swapped) == 1
    spread = row["kernels_latency_ms"]
    assert 0 < spread["q25"] <= spread["median"] <= spread["q75"] < math.inf
    assert spread["numba"] == installed().numba


def test_without_numba_there_is_no_latency_with_kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "version", lambda: None)
    assert measure(tmp_path)["rows"][0]["kernels_latency_ms"] is None


def test_reports_can_read_it(tmp_path: Path) -> None:
    measure(tmp_path)
    evidence = load_everything(tmp_path)
    assert not [problem for problem in evidence.problems if "profiles" in str(problem.path)]
    (profile,) = evidence.profiles
    assert profile.machine.name == "Test box"
    assert profile.rows[0].network == "aulunet_v3"


def test_rows_are_replaced_and_others_stay(tmp_path: Path) -> None:
    first = measure(tmp_path, "aulunet_m4", "aulunet_v3")
    second = measure(tmp_path, "aulunet_v3")
    third = measure(tmp_path, "aulunet_v3", size=64)
    assert [row["network"] for row in second["rows"]] == ["aulunet_m4", "aulunet_v3"]
    assert second["rows"][0] == first["rows"][0]
    assert second["rows"][1]["latency_ms"] != first["rows"][1]["latency_ms"]
    assert [(row["network"], row["size"]) for row in third["rows"]][2:] == [("aulunet_v3", 64)]


def test_other_machines_are_left_alone(tmp_path: Path) -> None:
    measure(tmp_path, machine="Old box")
    before = (tmp_path / "profiles" / "old-box.json").read_bytes()
    measure(tmp_path, machine="New box")
    assert (tmp_path / "profiles" / "old-box.json").read_bytes() == before
    assert len(list((tmp_path / "profiles").iterdir())) == 2


def spoil_format(text: str) -> str:
    return text.replace('"format": 1', '"format": 2')


def spoil_torch(text: str) -> str:
    content = json.loads(text)
    content["machine"]["torch"] = "1.0"
    return json.dumps(content | {"digest": seal.of_content(content)})


def spoil_row(text: str) -> str:
    return text.replace('"threads": 1,', "")


def truncate(text: str) -> str:
    return text[:-20]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_format, "it has format 2, which is newer than this version reads .*; move the file away"),
        (spoil_torch, r"another machine or software \(torch differ\); move the file away"),
        (spoil_row, "it has no rows.0.threads; move the file away"),
        (truncate, "it is not JSON .*; move the file away"),
    ],
)
def test_a_file_that_cannot_be_continued_is_named(tmp_path: Path, spoil: Callable[[str], str], message: str) -> None:
    measure(tmp_path)
    path = tmp_path / "profiles" / "test-box.json"
    text = path.read_text()
    path.write_text(spoil(text))
    assert path.read_text() != text
    with pytest.raises(RequestError, match=f"test-box.json: .*{message}"):
        measure(tmp_path)
    assert path.read_text() == spoil(text)


def test_requests_are_checked_before_anything_is_measured(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no network 'aulunet'"):
        measure(tmp_path, "aulunet_v3", "aulunet")
    with pytest.raises(RequestError, match="aulunet_v3 takes multiples of 32, not --size 48"):
        measure(tmp_path, "unet", "aulunet_v3", size=48)
    assert not (tmp_path / "profiles").exists()


class Greedy(nn.Module):
    """Takes one image and no more."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        if len(images) > 1:
            raise torch.OutOfMemoryError("all of it")
        return self.conv(images)


@pytest.fixture
def greedy() -> Iterator[str]:
    registry.register(Entry("greedy", "Greedy", Greedy))
    yield "greedy"
    del registry.ENTRIES["greedy"]


def test_a_batch_that_does_not_fit_leaves_a_hole(tmp_path: Path, greedy: str) -> None:
    (row,) = measure(tmp_path, greedy)["rows"]
    assert row["throughput_ips"] is None
    assert row["latency_ms"]["n"] >= 2


def test_settings_and_random_numbers_are_given_back(tmp_path: Path) -> None:
    threads, tf32 = torch.get_num_threads(), torch.backends.cudnn.allow_tf32
    random = torch.get_rng_state()
    torch.set_num_threads(3)
    try:
        content = measure(tmp_path, threads=1)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(threads)
    assert content["rows"][0]["threads"] == 1
    assert torch.backends.cudnn.allow_tf32 == tf32
    assert torch.equal(torch.get_rng_state(), random)
    assert not torch.is_inference_mode_enabled()


def test_rows_are_announced_when_they_are_stored(tmp_path: Path) -> None:
    announced: list[Row] = []

    def announce(row: Row) -> None:
        (path,) = (tmp_path / "profiles").iterdir()
        assert json.loads(path.read_text())["rows"][-1] == row.content()
        announced.append(row)

    inference.profile(
        ["aulunet_m4", "aulunet_v3"], CPU, tmp_path, size=32, threads=1, effort=TINY, onnx=False, announce=announce
    )
    assert [row.network for row in announced] == ["aulunet_m4", "aulunet_v3"]


def test_effort_bounds_the_passes() -> None:
    calls: list[int] = []

    class Counter(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            calls.append(1)
            return images

    images = torch.zeros(1)
    assert len(inference._time(Counter(), images, Effort(warmup=2, passes=4, at_least=1, seconds=60))) == 4
    assert len(calls) == 2 + 4
    assert len(inference._time(Counter(), images, Effort(warmup=9, passes=9, at_least=2, seconds=0))) == 2
    assert len(calls) == 2 + 4 + 1 + 2


def test_weights_are_measured_as_the_file_they_would_be(tmp_path: Path) -> None:
    network = registry.build("aulunet_v3")
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    assert inference.weights_bytes(network) == (tmp_path / "weights.safetensors").stat().st_size


class Ladder(nn.Module):
    """x (N) -> at its widest x, its double y and one more of y's size: 5 N numbers, beside the weight of 10."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(10))

    def forward(self, x: Tensor) -> Tensor:
        y = torch.cat([x, x])
        z = y * self.weight.view(2, 5)[0, 0]  # views and operations in place take no memory
        z.add_(1)
        del y
        w = z.view(2, -1).sum(0)
        del z
        return w + 1


def test_live_bytes_are_those_of_the_widest_moment() -> None:
    images = torch.ones(3, 1000)[0]  # a view of more
    assert inference.live_bytes(Ladder(), images) == 4 * (5 * 1000 + 10)


def test_live_bytes_do_not_depend_on_the_mode_around() -> None:
    network, images = registry.build("aulunet_v3").eval(), torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        inside = inference.live_bytes(network, images)
    assert inside == inference.live_bytes(network, images)
    assert inside > inference.weights_bytes(network)


def test_onnxruntime_is_timed_beside_torch() -> None:
    """On the same picture and threads; None where a network cannot be exported."""
    runtime = pytest.importorskip("onnxruntime")
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 1, 1)).eval()
    with torch.inference_mode():
        found = inference._onnx_latency(network, torch.rand(1, 3, 32, 32), TINY)
        assert found is not None
        assert 0 < found.q25 <= found.median <= found.q75
        assert found.onnxruntime == runtime.__version__

        class Sorted(nn.Module):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return x if x.sum() > 0 else -x  # depends on what is in the picture

        assert inference._onnx_latency(Sorted(), torch.rand(1, 3, 32, 32), TINY) is None
