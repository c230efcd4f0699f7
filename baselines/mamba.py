"""Mamba (Gu and Dao, 2023), the selective state space block that four of the networks share.

Letters: B batch, L tokens, C channels, D = expand * C inner channels, N states, R rank of the step sizes.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.selective_scan import selective_scan

STEP_MIN, STEP_MAX, STEP_FLOOR = 1e-3, 1e-1, 1e-4  # initial step sizes of the state space, in tokens


class Mamba(nn.Module):
    """Selective state space block (Gu and Dao, 2023): (B, L, C) to (B, L, C), causal along L."""

    def __init__(self, *, channels: int, states: int = 16, kernel_size: int = 4, expand: int = 2) -> None:
        super().__init__()
        inner, rank = expand * channels, math.ceil(channels / 16)
        self.split = (rank, states, states)
        self.in_proj = nn.Linear(channels, 2 * inner, bias=False)
        self.conv1d = nn.Conv1d(inner, inner, kernel_size, padding=kernel_size - 1, groups=inner)
        self.x_proj = nn.Linear(inner, rank + 2 * states, bias=False)
        self.dt_proj = nn.Linear(rank, inner)  # the default of its weight, U(+-R^-0.5), is also that of mamba_ssm
        self.A_log = nn.Parameter(torch.arange(1.0, states + 1).log().repeat(inner, 1))  # (D, N)
        self.D = nn.Parameter(torch.ones(inner))
        self.out_proj = nn.Linear(inner, channels, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        x, gate = self.in_proj(tokens).chunk(2, dim=-1)  # (B, L, D) each
        x = self.conv1d(x.transpose(1, 2))[..., : tokens.shape[1]]  # (B, D, L); cutting the tail makes it causal
        x = F.silu(x.transpose(1, 2))  # (B, L, D)
        rates, b, c = self.x_proj(x).unsqueeze(1).split(self.split, dim=-1)  # (B, 1, L, R), twice (B, 1, L, N)
        delta = F.softplus(self.dt_proj(rates))  # (B, 1, L, D)
        y = selective_scan(x.unsqueeze(1), delta, -self.A_log.exp().unsqueeze(0), b, c, self.D.unsqueeze(0))
        return self.out_proj(y.squeeze(1) * F.silu(gate))


@torch.no_grad()
def draw_step_biases(biases: Tensor) -> None:
    """Fills the biases of step sizes so that softplus of them, the step, is log-uniform in 0.001 to 0.1 tokens.

    As mamba_ssm draws them.
    """
    steps = torch.empty_like(biases).uniform_(math.log(STEP_MIN), math.log(STEP_MAX)).exp()
    biases.copy_(steps.clamp(min=STEP_FLOOR).expm1().log())
