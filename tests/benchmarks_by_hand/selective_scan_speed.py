"""How long the selective scan takes beside the best plain loop: python -m tests.benchmarks_by_hand.selective_scan_speed

Prints, for each shape, the seconds of one forward and backward pass of both, and their ratio (below 1: the scan is
faster). The two take turns and the best round counts, so that other work on the machine disturbs both alike. Run by
hand: nothing is asserted, and the figures hold for the machine and the threads that the first line names.
"""

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor

from baselines.selective_scan import selective_scan

# (B, G, L, D, N), and where it occurs at 256 x 256 pixels
SHAPES = {
    "the yardstick": (1, 1, 4096, 192, 16),
    "VM-UNet, first stage": (1, 4, 4096, 192, 16),
    "VM-UNet, last stage": (1, 4, 64, 1536, 16),
    "ULVM-UNet, stage 4": (8, 4, 1024, 12, 16),
    "LightM-UNet, full size": (1, 1, 65_536, 16, 16),
}


def plain_loop(u: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    """The recurrence token by token, on `unbind` (the backward of indexing would be quadratic in the tokens)."""
    decay = torch.exp(delta[..., None] * a[:, None])  # (B, G, L, D, N)
    entering = (delta * u)[..., None] * b[..., None, :]
    state = torch.zeros_like(entering[:, :, 0])
    states = []
    for decay_t, entering_t in zip(decay.unbind(2), entering.unbind(2), strict=True):
        state = decay_t * state + entering_t
        states.append(state)
    return (torch.stack(states, 2) @ c[..., None]).squeeze(-1) + d[:, None] * u


def seconds(scan: Callable[..., Tensor], inputs: list[Tensor], grad_y: Tensor) -> float:
    """Wall time of one forward and backward pass."""
    if grad_y.is_cuda:
        torch.cuda.synchronize()
    start = time.perf_counter()
    torch.autograd.grad(scan(*inputs), inputs, grad_y)
    if grad_y.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - start


def draw(shape: tuple[int, int, int, int, int], device: str) -> list[Tensor]:
    batch, groups, tokens, channels, states = shape
    sequence, of_states = (batch, groups, tokens, channels), (batch, groups, tokens, states)
    a = -torch.arange(1.0, states + 1).repeat(groups, channels, 1)
    inputs = [torch.randn(sequence), torch.rand(sequence) * 0.1, a, torch.randn(of_states), torch.randn(of_states)]
    return [tensor.to(device).requires_grad_() for tensor in (*inputs, torch.ones(groups, channels))]


def main() -> None:
    parser = argparse.ArgumentParser(description="Times the selective scan beside a plain loop.")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--rounds", type=int, default=5, help="rounds, of which the best counts")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"torch {torch.__version__}, {arguments.device}, {arguments.threads} threads, best of {arguments.rounds}")
    print(f"{'shape (B, G, L, D, N)':28}{'scan, s':>10}{'loop, s':>10}{'ratio':>8}")
    for place, shape in SHAPES.items():
        inputs = draw(shape, arguments.device)
        grad_y = torch.randn_like(inputs[0])
        rounds = [
            [seconds(scan, inputs, grad_y) for scan in (selective_scan, plain_loop)] for _ in range(arguments.rounds)
        ]
        scan, loop = (min(times) for times in zip(*rounds, strict=True))
        print(f"{', '.join(map(str, shape)):28}{scan:10.4f}{loop:10.4f}{scan / loop:8.2f}  {place}", flush=True)


if __name__ == "__main__":
    main()
