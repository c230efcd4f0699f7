"""The selective scan of state-space networks (S6) in plain PyTorch: parallel over the sequence, with its own backward.

Source: Gu and Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces", arXiv 2312.00752. Written from
the recurrence; there is no upstream code. For every batch element, group and channel, with N states each:

    h_t = exp(delta_t a) h_(t-1) + delta_t b_t u_t,    h_0 = 0,    y_t = <c_t, h_t> + d u_t

Shapes: B batch, G groups (directions of a 2-D scan, times replicas under `vmap`), L tokens, D channels, N states. The
sequence is cut into K chunks of T tokens. A state is (B, K, G, N, D): all K chunks take a step together.

Forward: (1) T steps from a zero state give what each chunk adds to the state that leaves it; (2) a doubling scan over
the K chunks, log2 K steps long, gives the states that enter them; (3) T steps from those states give y.
Backward: the gradient g_t of h_t obeys the recurrence in reverse, g_t = c_t gy_t + exp(delta_(t+1) a) g_(t+1). So (1) T
steps replay the states and gather what each chunk sends to the one before it; (2) the doubling scan runs backwards over
the chunks; (3) T steps run down and give the gradients.

Safe numbers: decays are only multiplied, and each is in [0, 1] because a < 0 <= delta; nothing is divided by a product
of decays, and no logarithm is taken. A huge step forgets (decay 0), a zero step keeps (decay 1) and serves as padding.
Operations: T = 32 from 1,024 tokens on, so about 9 T + 8 log2 K tensor operations forward and 22 T + 8 log2 K backward,
views included, where a loop over the tokens takes 2 L and 4 L.
Memory: between forward and backward the inputs and one state per chunk, 1/T of a (B, G, L, N, D) tensor; during forward
a few more of that size; during backward one whole (B, G, L, N, D) tensor, what the states keep. Decays are recomputed.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn.functional import pad

LONGEST_CHUNK_LOG2 = 5  # 32 tokens: longer chunks are not faster, and they cost operations
DECAYS_AT_ONCE = 2  # tokens: more would save a few operations and take memory

InDims = tuple[int | None, ...]  # where `vmap` has put the replicas in each tensor
Steps = tuple[Tensor, ...]  # one tensor per token of a chunk
Folded = tuple[tuple[Tensor, ...], tuple[int, ...]]  # outputs, and where the replicas are in each


def selective_scan(u: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    """Scan along the tokens; differentiable once in all six inputs, and usable under `torch.func.vmap`.

    u: (B, G, L, D), the sequence. delta: (B, G, L, D), step sizes >= 0 (after the softplus). a: (G, D, N), negative.
    b, c: (B, G, L, N). d: (G, D). All of one floating dtype. Returns y: (B, G, L, D).
    Raises ValueError when the shapes do not fit together. Source: arXiv 2312.00752, algorithm 2.
    """
    if u.dim() != 4 or a.dim() != 3:
        raise ValueError(f"selective_scan needs u (B, G, L, D) and a (G, D, N), but got {[*u.shape]} and {[*a.shape]}.")
    batch, groups, tokens, channels = u.shape
    states = a.shape[-1]
    for name, tensor, shape in (
        ("delta", delta, (batch, groups, tokens, channels)),
        ("a", a, (groups, channels, states)),
        ("b", b, (batch, groups, tokens, states)),
        ("c", c, (batch, groups, tokens, states)),
        ("d", d, (groups, channels)),
    ):
        if tensor.shape != shape:
            raise ValueError(f"selective_scan needs {name} of shape {[*shape]} here, but got {[*tensor.shape]}.")
    y, _ = _Scan.apply(u, delta, a, b, c)
    return torch.addcmul(y, d[:, None], u)


def scan_flops(B: int, G: int, L: int, D: int, N: int) -> int:
    """True operations of one forward scan, by the usual convention 9 L D N + L D per batch element and group.

    Nine per token, channel and state (discretisation, state update, read-out; an exponential counts as one) and one
    per token and channel for the skip d u. It is the cost of the recurrence, not of this file, which takes each step
    twice. Flop counters see nothing of the scan, because no matrix product is in it: add this figure to theirs.
    """
    return B * G * (9 * L * D * N + L * D)


class _Scan(Function):
    """(u, delta, a, b, c) to y without the skip, and the states entering the chunks, which backward starts from."""

    @staticmethod
    def forward(u: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        return _scan(u, delta, a, b, c)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, Tensor]) -> None:
        ctx.save_for_backward(*inputs, output[1])
        ctx.mark_non_differentiable(output[1])

    @staticmethod
    def backward(ctx: Any, grad_y: Tensor, _: Tensor) -> tuple[Tensor, ...]:
        return _ScanGradient.apply(grad_y, *ctx.saved_tensors)

    @staticmethod
    def vmap(info: Any, in_dims: InDims, *tensors: Tensor) -> Folded:
        return _as_groups(_Scan, info.batch_size, in_dims, tensors)


class _ScanGradient(Function):
    """The gradient as a function of its own: `vmap` over `grad` needs its rule, and a second derivative its refusal."""

    @staticmethod
    def forward(
        grad_y: Tensor, u: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, entering: Tensor
    ) -> tuple[Tensor, ...]:
        return _scan_gradient(grad_y, u, delta, a, b, c, entering)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, ...]) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> None:
        raise RuntimeError("selective_scan can be differentiated once only: take first-order gradients of it.")

    @staticmethod
    def vmap(info: Any, in_dims: InDims, *tensors: Tensor) -> Folded:
        return _as_groups(_ScanGradient, info.batch_size, in_dims, tensors)


def _as_groups(function: type[Function], replicas: int, in_dims: InDims, tensors: tuple[Tensor, ...]) -> Folded:
    """Run R replicas as R * G groups: the group axis is the third from the right in every tensor, in and out."""
    folded = []
    for tensor, dim in zip(tensors, in_dims, strict=True):
        stacked = tensor.expand(replicas, *tensor.shape) if dim is None else tensor.movedim(dim, 0)
        folded.append(stacked.movedim(0, -4).flatten(-4, -3))  # (..., R * G, ., .)
    outputs = tuple(output.unflatten(-3, (replicas, -1)).movedim(-4, 0) for output in function.apply(*folded))
    return outputs, (0,) * len(outputs)


def _chunk_length(tokens: int) -> int:
    """T, about the square root of L and a power of two. (Where a counter traces the network, a size is a tensor.)"""
    return 1 << min(int(tokens).bit_length() // 2, LONGEST_CHUNK_LOG2)


def _steps(sequence: Tensor) -> Tensor:
    """(B, G, L, X) to (T, B, K, G, X): entry t holds token t of every chunk; zeros fill the last."""
    tokens = sequence.shape[2]
    chunk = _chunk_length(tokens)
    if tokens % chunk:
        sequence = pad(sequence, (0, 0, 0, -tokens % chunk))
    return sequence.unflatten(2, (-1, chunk)).permute(3, 0, 2, 1, 4).contiguous()


def _sequence(steps: Tensor, tokens: int) -> Tensor:
    """(T, B, K, G, X) back to (B, G, L, X), without the padding."""
    return steps.permute(1, 3, 2, 0, 4).flatten(2, 3)[:, :, :tokens]


def _over_states(steps: Tensor) -> tuple[Tensor, ...]:
    """T tensors (B, K, G, 1, D) that broadcast against a state."""
    return steps.unsqueeze(-2).unbind()


def _over_channels(steps: Tensor) -> tuple[Tensor, ...]:
    """T tensors (B, K, G, N, 1) that broadcast against a state."""
    return steps.unsqueeze(-1).unbind()


def _entering(leaving: Tensor, decay: Tensor) -> Tensor:
    """States that enter the chunks, from the states that leave them after a zero start and the decay over each chunk.

    All are (B, K, G, N, D). Both arguments are overwritten: after the step of width w, entry k covers 2 w chunks.
    """
    width = 1
    while width < leaving.shape[1]:
        later, earlier = decay[:, width:], decay[:, :-width]
        leaving[:, width:].add_(later * leaving[:, :-width])
        later.copy_(later * earlier)
        width *= 2
    return pad(leaving[:, :-1], (0, 0) * 3 + (1, 0))


def _decays(delta_steps: Tensor, a: Tensor) -> Iterator[Tensor]:
    """exp(delta_t a), (B, K, G, N, D), token after token; each is overwritten later on, and may be by the caller."""
    length, batch, chunks, groups, _, channels = delta_steps.shape
    block = min(DECAYS_AT_ONCE, length)
    decays = delta_steps.new_empty(block, batch, chunks, groups, a.shape[-2], channels)
    each = decays.unbind()
    for deltas in delta_steps.split(block):
        torch.mul(deltas, a, out=decays).exp_()
        yield from each


def _scan(u: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """y (B, G, L, D) without the skip, and the states entering the chunks (B, K, G, N, D)."""
    a = a.mT.contiguous()  # (G, N, D)
    deltas = _steps(delta).unsqueeze(-2)  # (T, B, K, G, 1, D)
    bs, cs, xs = _over_channels(_steps(b)), _over_channels(_steps(c)), _over_states(_steps(delta * u))

    decay_of_chunk = (deltas.sum(0) * a).exp_()
    state = torch.zeros_like(decay_of_chunk)
    for decay, b_t, x_t in zip(_decays(deltas, a), bs, xs, strict=True):
        state.mul_(decay).addcmul_(b_t, x_t)
    entering = _entering(state, decay_of_chunk)

    state = entering.clone()
    y_steps = torch.empty_like(deltas.squeeze(-2))
    for decay, b_t, x_t, c_t, y_t in zip(_decays(deltas, a), bs, xs, cs, y_steps.unbind(), strict=True):
        state.mul_(decay).addcmul_(b_t, x_t)
        torch.sum(torch.mul(state, c_t, out=decay), -2, out=y_t)
    return _sequence(y_steps, u.shape[2]), entering


def _scan_gradient(
    grad_y: Tensor, u: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, entering: Tensor
) -> tuple[Tensor, ...]:
    """Gradients of u, delta, a, b and c, each of its input's shape.

    x = delta u is what enters a state (times b), and exp(delta_t a) h_(t-1), "kept", what it keeps of the one before.
    """
    a = a.mT.contiguous()  # (G, N, D)
    x, tokens = delta * u, u.shape[2]
    x_steps, b_steps = _steps(x), _steps(b)
    deltas = _steps(delta).unsqueeze(-2)  # (T, B, K, G, 1, D)
    xs, grad_ys = _over_states(x_steps), _over_states(_steps(grad_y))
    bs, cs = _over_channels(b_steps), _over_channels(_steps(c))
    kept, grad = _replay(a, deltas, bs, xs, cs, grad_ys, entering)

    steps = [torch.empty_like(like) for like in (x_steps, x_steps, b_steps, b_steps)]
    grad_xs, grad_deltas, grad_bs, grad_cs = (step.unbind() for step in steps)
    grad_a, scratch = torch.zeros_like(grad), torch.empty_like(grad)
    for t, decay in zip(reversed(range(len(deltas))), _decays(deltas.flip(0), a), strict=True):
        torch.sum(torch.mul(kept[t], grad_ys[t], out=scratch), -1, out=grad_cs[t])
        grad.addcmul_(cs[t], grad_ys[t])
        torch.sum(torch.mul(grad, xs[t], out=scratch), -1, out=grad_bs[t])
        torch.sum(torch.mul(grad, bs[t], out=scratch), -2, out=grad_xs[t])
        torch.mul(grad, kept[t], out=scratch)
        grad_a.addcmul_(scratch, deltas[t])
        torch.sum(scratch.mul_(a), -2, out=grad_deltas[t])
        grad.mul_(decay)

    grad_x, grad_delta, grad_b, grad_c = (_sequence(step, tokens) for step in steps)
    # c reads the whole state: what was kept, seen to above, and what entered, which needs no state.
    grad_c = torch.addcmul(grad_c, b, (x * grad_y).sum(-1, keepdim=True))
    return grad_x * delta, torch.addcmul(grad_delta, grad_x, u), grad_a.sum((0, 1)).mT, grad_b, grad_c


def _replay(
    a: Tensor, deltas: Tensor, bs: Steps, xs: Steps, cs: Steps, grad_ys: Steps, entering: Tensor
) -> tuple[Steps, Tensor]:
    """What every state keeps of the one before, T times (B, K, G, N, D), and the gradient that each chunk receives from
    those after it, (B, K, G, N, D). A chunk sends on the sum of its c_t gy_t, each decayed back to the chunk's start.
    """
    kept = entering.new_empty(len(deltas), *entering.shape).unbind()
    state, decay_so_far, sent = entering.clone(), torch.ones_like(entering), torch.zeros_like(entering)
    for t, decay in enumerate(_decays(deltas, a)):
        torch.mul(state, decay, out=kept[t])
        torch.addcmul(kept[t], bs[t], xs[t], out=state)
        sent.addcmul_(torch.mul(decay_so_far.mul_(decay), cs[t], out=decay), grad_ys[t])
    return kept, _entering(sent.flip(1), decay_so_far.flip(1)).flip(1)
