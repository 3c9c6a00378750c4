"""Stochastic depth (Huang et al., ECCV 2016): in training residual branches are left out at times."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


class Residual(nn.Module):
    """A block with residual branches.

    Attributes:
        skipped: how often a branch of a sample is left out in training; 0 unless a recipe sets it.
    """

    skipped: float = 0.0

    def at_times(self, branch: Tensor) -> Tensor:
        """A branch ``[B,...]``; in training without some samples' share, the others' larger for it."""
        if not (self.training and self.skipped):
            return branch
        rate = 1 - self.skipped
        stays = torch.rand(len(branch), *[1] * (branch.ndim - 1), device=branch.device) < rate
        return branch * stays / rate


def deepen(parts: Iterable[nn.Module], last: float) -> None:
    """Have the blocks within some parts left out more and more often: the first never, the last at this rate."""
    blocks = [block for part in parts for block in part.modules() if isinstance(block, Residual)]
    for block, rate in zip(blocks, torch.linspace(0, last, len(blocks)).tolist(), strict=True):
        block.skipped = rate
