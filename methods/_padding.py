"""Pictures brought to sides that a network can take, and back."""

from __future__ import annotations

import torch
from torch import Tensor


def mirrored(x: Tensor, top: int, bottom: int, left: int, right: int) -> Tensor:
    """Mirrored at the borders without repeating the edge, as often as the padding needs."""
    for axis, before, after in ((-2, top, bottom), (-1, left, right)):
        size = x.shape[axis]
        period = max(2 * (size - 1), 1)
        index = torch.arange(-before, size + after, device=x.device) % period
        x = x.index_select(axis, torch.minimum(index, period - index)) if before or after else x
    return x


def missing(x: Tensor, multiple: int) -> tuple[int, int]:
    """Rows and columns that an image ``[...,H,W]`` lacks to multiples of a number."""
    height, width = x.shape[-2:]
    return -height % multiple, -width % multiple
