"""Wang-Bovik quality maps in 7x7 Gaussian windows (sigma 1.5), for Qc and Qy, without cancellation."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from ._planes import Planes

SMALLEST = 11  # the released files refuse smaller images
_C = 2e-16
_FLOOR = 1e-10  # (co)variances below are 0: rounding leaves 1e-15, the smallest of 8-bit images are above 1e-6
_TAPS = [math.exp(-(t * t) / 4.5) for t in range(-3, 4)]
_TAPS = [t / sum(_TAPS) for t in _TAPS]


def _shifts(x: Tensor, axis: int) -> Iterator[tuple[float, Tensor]]:
    """Weight of each neighbour in a run of 7, and how far it lies from the middle one."""
    n = x.shape[axis] - 6
    for i, w in enumerate(_TAPS):
        if i != 3:
            yield w, x.narrow(axis, i, n) - x.narrow(axis, 3, n)


def _mean(x: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Weighted mean of every run of 7, and its offset from the middle: exactly 0 in a flat run."""
    offset = torch.zeros_like(x.narrow(axis, 3, x.shape[axis] - 6))
    for w, d in _shifts(x, axis):
        offset.add_(d, alpha=w)
    return x.narrow(axis, 3, offset.shape[axis]) + offset, offset


def _means(p: Planes) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Means of the lines of every window, of the windows, and the offsets of both."""

    def compute() -> tuple[Tensor, Tensor, Tensor, Tensor]:
        line, across = _mean(p.x.double(), -1)
        mean, down = _mean(line, -2)
        return line, mean, across, down

    return p.once("uqi_means", compute)


def covariance(a: Planes, b: Planes) -> Tensor:
    """Covariance in every window, ``[B,H-6,W-6]`` float64: within its lines, averaged, plus that of their means."""

    def compute() -> Tensor:
        line_a, _, across_a, down_a = _means(a)
        line_b, _, across_b, down_b = _means(b)
        within = -across_a * across_b
        for (w, d), (_, e) in zip(_shifts(a.x.double(), -1), _shifts(b.x.double(), -1), strict=True):
            within.addcmul_(d, e, value=w)
        total = -down_a * down_b
        for (w, d), (_, e) in zip(_shifts(line_a, -2), _shifts(line_b, -2), strict=True):
            total.addcmul_(d, e, value=w)
        for i, w in enumerate(_TAPS):
            total.add_(within.narrow(-2, i, total.shape[-2]), alpha=w)
        return total.masked_fill_(total.abs() < _FLOOR, 0)

    return a.once("uqi_variance", compute) if a is b else a.with_source(b, "uqi_covariance", compute)


def quality(a: Planes, b: Planes) -> Tensor:
    """Universal quality index in every window, ``[B,H-6,W-6]``."""

    def compute() -> Tensor:
        m, n = _means(a)[1], _means(b)[1]
        up = (2 * m * n + _C) * (2 * covariance(a, b) + _C)
        return up / ((m * m + n * n + _C) * (covariance(a, a) + covariance(b, b) + _C))

    return a.with_source(b, "uqi_quality", compute)


def mix(share: Tensor, total: Tensor, q: Tensor, r: Tensor) -> Tensor:
    """``s q + (1-s) r`` with ``s = share / total`` cut to [0,1], 1/2 where the total is 0."""
    s = torch.where(total == 0, 0.5, share / total).clamp(0, 1)
    return s * q + (1 - s) * r
