"""The selective scan against the recurrence taken one token at a time, in float64; its cost, and its manners."""

import weakref
from functools import partial
from itertools import accumulate

import pytest
import torch
from torch import Tensor
from torch.func import grad, vmap
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from baselines.selective_scan import scan_flops, selective_scan

assert_equal = partial(torch.testing.assert_close, rtol=1e-10, atol=1e-10)


def draw(B: int, G: int, L: int, D: int, N: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> list[Tensor]:
    """u, delta, a, b, c, d of the usual sizes, ready for gradients."""
    torch.manual_seed(seed)
    u, delta, a = torch.randn(B, G, L, D), torch.rand(B, G, L, D) * 0.2, -torch.rand(G, D, N) * N
    b, c, d = torch.randn(B, G, L, N), torch.randn(B, G, L, N), torch.randn(G, D)
    return [tensor.to(dtype).requires_grad_() for tensor in (u, delta, a, b, c, d)]


def recur(decay: Tensor, entering: Tensor) -> Tensor:
    """h_t = decay_t h_(t-1) + entering_t along dimension 2, h_0 = 0, in Python's own floats."""
    decay, entering = decay.movedim(2, -1), entering.movedim(2, -1)
    states = []
    for lane in zip(decay.flatten(0, -2).tolist(), entering.flatten(0, -2).tolist(), strict=True):
        steps = zip(*lane, strict=True)
        states.append([*accumulate(steps, lambda state, step: step[0] * state + step[1], initial=0.0)][1:])
    return torch.tensor(states, dtype=torch.float64).reshape(decay.shape).movedim(-1, 2)


def step_by_step(inputs: list[Tensor], grad_y: Tensor) -> tuple[Tensor, ...]:
    """y and the six gradients. Autograd does what happens within a token; `recur` what happens between tokens."""
    u, delta, a, b, c, d = inputs
    decay = torch.exp(delta[..., None] * a[:, None])  # (B, G, L, D, N)
    entering = (delta * u)[..., None] * b[..., None, :]
    states = recur(decay.detach(), entering.detach()).requires_grad_()
    y = (states * c[..., None, :]).sum(-1) + d[:, None] * u
    (read,) = torch.autograd.grad(y, states, grad_y, retain_graph=True)
    next_decay = torch.cat([decay[:, :, 1:], torch.zeros_like(decay[:, :, :1])], 2).detach()
    gradient = recur(next_decay.flip(2), read.flip(2)).flip(2)
    before = torch.cat([torch.zeros_like(states[:, :, :1]), states[:, :, :-1]], 2).detach()
    return y.detach(), *torch.autograd.grad([y, decay, entering], inputs, [grad_y, gradient * before, gradient])


def ours(inputs: list[Tensor], grad_y: Tensor) -> tuple[Tensor, ...]:
    y = selective_scan(*inputs)
    return y.detach(), *torch.autograd.grad(y, inputs, grad_y)


@pytest.mark.parametrize(
    "shape",
    [(2, 3, 1, 4, 2), (1, 1, 3, 2, 1), (2, 3, 37, 5, 4), (1, 4, 64, 6, 3), (1, 1, 257, 1, 5), (1, 2, 1100, 3, 2)],
)
def test_forward_and_gradient_equal_the_recurrence(shape):
    inputs = draw(*shape)
    grad_y = torch.randn_like(inputs[0])
    assert_equal(ours(inputs, grad_y), step_by_step(inputs, grad_y))
    single = ours([tensor.detach().float().requires_grad_() for tensor in inputs], grad_y.float())
    assert single[0].dtype == torch.float32
    assert_equal([tensor.double() for tensor in single], [*step_by_step(inputs, grad_y)], rtol=1e-3, atol=1e-3)


STEP_SIZES = {
    "tiny": lambda uniform: 1e-6 * uniform,
    "usual": lambda uniform: 0.1 * uniform,
    "huge": lambda uniform: 1e4 * uniform,
    "mixed": lambda uniform: 10 ** (16 * uniform - 10),
    "none at times": lambda uniform: torch.where(uniform < 0.3, 0.0, uniform),
}


@pytest.mark.parametrize("steps", STEP_SIZES)
def test_long_sequences_and_extreme_steps(steps):
    inputs = draw(1, 1, 65_536, 2, 2)
    inputs[1] = STEP_SIZES[steps](torch.rand_like(inputs[1])).requires_grad_()
    grad_y = torch.randn_like(inputs[0])
    torch.testing.assert_close(ours(inputs, grad_y), step_by_step(inputs, grad_y))
    single = ours([tensor.detach().float().requires_grad_() for tensor in inputs], grad_y.float())
    assert all(tensor.isfinite().all() for tensor in single)


def test_gradcheck():
    assert torch.autograd.gradcheck(selective_scan, draw(2, 2, 7, 3, 2))
    assert torch.autograd.gradcheck(selective_scan, draw(1, 1, 1, 2, 2))


def test_inputs_need_not_be_contiguous():
    inputs = draw(2, 3, 37, 5, 4)
    grad_y = torch.randn_like(inputs[0])
    strided = [tensor.detach().transpose(-1, -2).contiguous().transpose(-1, -2).requires_grad_() for tensor in inputs]
    strided[1] = inputs[1].detach().flip(2).contiguous().flip(2).requires_grad_()
    assert not strided[0].is_contiguous()
    assert_equal(ours(strided, grad_y.mT.contiguous().mT), step_by_step(inputs, grad_y))


@pytest.fixture
def replicas():
    """Three replicas' inputs, the gradient that arrives at each y, and what each gives by itself."""
    inputs = [draw(2, 3, 37, 5, 4, seed=seed) for seed in range(3)]
    grad_ys = [torch.randn_like(single[0]) for single in inputs]
    alone = [ours(single, grad_y) for single, grad_y in zip(inputs, grad_ys, strict=True)]
    stacked = [torch.stack(tensors).detach().requires_grad_() for tensors in zip(*inputs, strict=True)]
    return stacked, torch.stack(grad_ys), [torch.stack(tensors) for tensors in zip(*alone, strict=True)]


def test_autograd_through_vmap(replicas):
    stacked, grad_ys, expected = replicas
    y = vmap(selective_scan)(*stacked)
    assert_equal([y, *torch.autograd.grad(y, stacked, grad_ys)], expected)


def test_vmap_over_grad(replicas):
    stacked, grad_ys, (_, *expected) = replicas

    def loss(grad_y: Tensor, *inputs: Tensor) -> Tensor:
        return (selective_scan(*inputs) * grad_y).sum()

    gradients = vmap(grad(loss, argnums=tuple(range(1, 7))))(grad_ys, *(tensor.detach() for tensor in stacked))
    assert_equal([*gradients], expected)


def test_vmap_with_shared_parameters_and_other_axes(replicas):
    (u, delta, a, b, c, d), *_ = replicas
    shared = a[0].detach().requires_grad_()
    y = vmap(selective_scan, in_dims=(0, 1, None, -1, 0, None), out_dims=2)(
        u, delta.movedim(0, 1), shared, b.movedim(0, -1), c, d[0]
    )
    alone = torch.stack([selective_scan(u[k], delta[k], shared, b[k], c[k], d[0]) for k in range(3)], 2)
    assert_equal(y, alone)
    assert_equal(torch.autograd.grad(y.sum(), shared), torch.autograd.grad(alone.sum(), shared))


class Operations(TorchDispatchMode):
    """Counts tensor operations, and the most bytes that their results held at once."""

    def __init__(self) -> None:
        super().__init__()
        self.count = self.live = self.peak = 0
        self.seen: dict[int, weakref.ref] = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += 1
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else [result]:
            self.watch(tensor.untyped_storage())
        return result

    def watch(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key not in self.seen:
            self.seen[key] = weakref.ref(storage, lambda _: self.release(key, size))
            self.live += size
            self.peak = max(self.peak, self.live)

    def release(self, key: int, size: int) -> None:
        del self.seen[key]
        self.live -= size


def test_a_tenth_of_the_operations_of_a_loop():
    """A loop needs one operation a token forward at the very least (addcmul), and two more backward."""
    tokens = 4096
    inputs = draw(1, 1, tokens, 192, 16, torch.float32)
    with Operations() as forward:
        y = selective_scan(*inputs)
    with Operations() as backward:
        torch.autograd.grad(y.sum(), inputs)
    assert forward.count <= tokens / 10
    assert backward.count <= 2 * tokens / 10


def test_memory_stays_at_a_few_states_a_token():
    batch, tokens, channels, states = 2, 2048, 32, 32
    inputs = draw(batch, 1, tokens, channels, states, torch.float32)
    whole = 4 * batch * tokens * channels * states  # bytes of one (tokens, channels, states) tensor in float32
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage()._cdata] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor), Operations() as forward:
        y = selective_scan(*inputs)
    of_inputs = sum(tensor.untyped_storage().nbytes() for tensor in inputs)
    assert sum(kept.values()) < of_inputs + whole / 16
    assert forward.peak < 0.6 * whole
    with Operations() as backward:
        torch.autograd.grad(y.sum(), inputs)
    assert backward.peak < 2 * whole


def test_flop_counters_see_nothing_of_the_scan():
    inputs = draw(1, 2, 9, 4, 3)
    with FlopCounterMode(display=False) as counter:
        selective_scan(*inputs)
    assert counter.get_total_flops() == 0
    assert scan_flops(1, 2, 9, 4, 3) == 2 * (9 * 9 * 4 * 3 + 9 * 4)


class ScanOnly(torch.nn.Module):
    def forward(self, *inputs: Tensor) -> Tensor:
        return selective_scan(*inputs)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_fvcore_can_trace_it():
    """Sizes are tensors while fvcore traces, which plain integer arithmetic does not survive."""
    fvcore = pytest.importorskip("fvcore.nn")
    analysis = fvcore.FlopCountAnalysis(ScanOnly(), tuple(draw(1, 2, 9, 4, 3))).unsupported_ops_warnings(False)
    assert analysis.total() == 0


def test_a_second_derivative_is_refused():
    inputs = draw(1, 1, 5, 2, 2)
    gradients = torch.autograd.grad(selective_scan(*inputs).square().sum(), inputs, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiated once"):
        torch.autograd.grad(gradients[1].sum(), inputs[0])


def test_shapes_that_do_not_fit_are_named():
    u, delta, a, b, c, d = draw(1, 2, 5, 3, 2)
    with pytest.raises(ValueError, match=r"b of shape \[1, 2, 5, 2\]"):
        selective_scan(u, delta, a, b[:, :1], c, d)
    with pytest.raises(ValueError, match=r"u \(B, G, L, D\)"):
        selective_scan(u[0], delta, a, b, c, d)
