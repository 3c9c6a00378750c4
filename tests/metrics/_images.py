"""Small images for tests."""

from __future__ import annotations

import torch
from torch import Tensor


def levels(rows: list[list[float]]) -> Tensor:
    """One image ``[1,1,H,W]`` in float64."""
    return torch.tensor(rows, dtype=torch.float64)[None, None]


def noise(seed: int, *size: int) -> Tensor:
    """One random image ``[1,1,H,W]`` in uint8, smoothed so that neighbours resemble each other."""
    x = torch.randint(0, 256, (1, 1, *size), generator=torch.Generator().manual_seed(seed)).double()
    return ((x + x.roll(1, -1) + x.roll(1, -2) + x.roll((1, 1), (-2, -1))) / 4).round().to(torch.uint8)
