"""Terms of features that are taken apart into base and detail."""

from __future__ import annotations

import torch
from torch import Tensor

from fusionbench.training.distributed import all_mean


def correlation(a: Tensor, b: Tensor) -> Tensor:
    """Mean over batch and channels of the correlation of features ``[B,C,H,W]`` (CDDFuse)."""
    a, b = (x.flatten(2) - x.flatten(2).mean(-1, keepdim=True) for x in (a, b))
    sizes = a.square().sum(-1).sqrt() * b.square().sum(-1).sqrt()
    return ((a * b).sum(-1) / (torch.finfo(torch.float32).eps + sizes)).clamp(-1, 1).mean()


def decomposition(base: tuple[Tensor, Tensor], detail: tuple[Tensor, Tensor]) -> Tensor:
    """Details apart, bases together (CDDFuse equation 8); each a pair of features of infrared and visible."""
    details, bases = all_mean([correlation(*detail), correlation(*base)])
    return details**2 / (1.01 + bases)
