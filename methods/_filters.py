"""Filters that the classical methods share; ``[B,C,H,W]`` of any height and width, each image by itself."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

LONG = 128  # taps, beyond which a convolution, which copies the image once for each, costs more than a product
BORDERS = ("wrap", "symmetric", "replicate")


def _outside(size: int, before: int, after: int, border: str, device: torch.device) -> Tensor:
    """Which pixel stands for each position from ``-before`` to ``size + after``."""
    position = torch.arange(-before, size + after, device=device)
    if border == "wrap":
        return position % size
    if border == "symmetric":
        position = position % (2 * size)
        return torch.minimum(position, 2 * size - 1 - position)
    return position.clamp(0, size - 1)


def padded(x: Tensor, rows: tuple[int, int], columns: tuple[int, int], border: str = "symmetric") -> Tensor:
    """``x`` with pixels before and after its rows and columns, however many.

    Args:
        x: ``[...,H,W]``.
        rows: how many above and below.
        columns: how many to the left and to the right.
        border: ``wrap`` (the image repeats), ``symmetric`` (mirrored, edge included) or ``replicate`` (its edge).
    """
    high, wide = x.shape[-2:]
    x = x.index_select(-2, _outside(high, *rows, border, x.device))
    return x.index_select(-1, _outside(wide, *columns, border, x.device))


def _band(taps: Tensor, size: int) -> Tensor:
    """``[size,size+len(taps)-1]``: correlation with ``taps`` as a matrix."""
    wide = size + len(taps) - 1
    return F.pad(taps, (0, size)).repeat(size)[: size * wide].view(size, wide)


def correlated(x: Tensor, taps: Sequence[float], dim: int) -> Tensor:
    """Correlation with few taps along one axis, the valid part: a sum of shifted images, in order.

    A convolution of one channel first writes a copy of the image for each tap, which takes ten times as long.
    """
    size = x.shape[dim] - len(taps) + 1
    total = x.narrow(dim, 0, size) * taps[0]
    for place, tap in enumerate(taps[1:], 1):
        total.add_(x.narrow(dim, place, size), alpha=tap)
    return total


def separable(x: Tensor, taps: Tensor, border: str = "symmetric") -> Tensor:
    """Correlate rows and columns of ``[B,1,H,W]`` with the same odd number of ``taps``."""
    radius = len(taps) // 2
    if len(taps) > LONG:
        x = padded(x, (0, 0), (radius, radius), border) @ _band(taps, x.shape[-1]).T
        return _band(taps, x.shape[-2]) @ padded(x, (radius, radius), (0, 0), border)
    x = F.conv2d(padded(x, (0, 0), (radius, radius), border), taps.view(1, 1, 1, -1))
    return F.conv2d(padded(x, (radius, radius), (0, 0), border), taps.view(1, 1, -1, 1))


def gaussian(x: Tensor, sigma: float, radius: int, border: str = "symmetric") -> Tensor:
    """Gaussian of ``2*radius+1`` taps that sum to one."""
    position = torch.arange(-radius, radius + 1, dtype=x.dtype, device=x.device)
    taps = torch.exp(-(position**2) / (2 * sigma**2))
    return separable(x, taps / taps.sum(), border)


def box(x: Tensor, side: int, border: str = "symmetric") -> Tensor:
    """Mean of a square window of an odd ``side``."""
    return separable(x, x.new_full((side,), 1 / side), border)


def median3(x: Tensor) -> Tensor:
    """Median of the 3x3 neighbourhood of ``[B,1,H,W]``, mirrored at the border."""
    around = F.unfold(padded(x, (1, 1), (1, 1)), 3)
    return around.median(1, keepdim=True)[0].view(x.shape)


def principal_weights(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Two weights ``[B,1,1,1]`` that sum to one: the principal axis of the images' joint covariance.

    This is the Karhunen-Loeve transform of two variables. Magnitudes are taken: where the two are negatively correlated
    the components have opposite signs, and their sum, by which they are divided, could be zero.
    """
    a, b = (x.flatten(1) - x.flatten(1).mean(1, keepdim=True) for x in (first, second))
    angle = torch.atan2(2 * (a * b).sum(1), (a * a).sum(1) - (b * b).sum(1)) / 2
    parts = angle.cos().abs(), angle.sin().abs()
    weight = (parts[0] / (parts[0] + parts[1])).view(-1, 1, 1, 1)
    return weight, 1 - weight
