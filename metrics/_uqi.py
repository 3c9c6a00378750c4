"""Wang-Bovik quality maps in 7x7 Gaussian windows (sigma 1.5), for Qc and Qy, without cancellation."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as nnf
from torch import Tensor

from ._planes import Planes

SMALLEST = 11  # the released files refuse smaller images
_C = 2e-16
_FLOOR = 1e-10  # (co)variances below are 0: rounding leaves 1e-15, the smallest of 8-bit images are above 1e-6
_TAPS = [math.exp(-(t * t) / 4.5) for t in range(-3, 4)]
_TAPS = [t / sum(_TAPS) for t in _TAPS]
_BESIDE = list(enumerate(_TAPS[4:], 1))  # distance from the middle and weight


def _differences(x: Tensor, axis: int) -> list[Tensor]:
    """Of neighbours 1, 2 and 3 apart; each serves the windows around both."""
    n = x.shape[axis]
    return [x.narrow(axis, k, n - k) - x.narrow(axis, 0, n - k) for k, _ in _BESIDE]


def _offset(differences: list[Tensor], axis: int) -> Tensor:
    """How far the weighted mean of every run of 7 is from its middle: exactly 0 in a flat run."""
    n = differences[0].shape[axis] - 5
    out = torch.zeros_like(differences[0].narrow(axis, 3, n))
    for (k, w), d in zip(_BESIDE, differences, strict=True):
        out.add_(d.narrow(axis, 3, n), alpha=w).sub_(d.narrow(axis, 3 - k, n), alpha=w)
    return out


Means = tuple[Tensor, list[Tensor], Tensor, list[Tensor], Tensor]


def _means(p: Planes) -> Means:
    """Means of the windows; differences and offset along the lines of a window, and of these lines' means."""

    def compute() -> Means:
        x = p.x.double()
        beside = _differences(x, -1)
        across = _offset(beside, -1)
        line = x[..., 3:-3] + across
        below = _differences(line, -2)
        down = _offset(below, -2)
        return line[..., 3:-3, :] + down, beside, across, below, down

    return p.once("uqi_means", compute)


def _spread(a: list[Tensor], b: list[Tensor], offset_a: Tensor, offset_b: Tensor, axis: int) -> Tensor:
    """Covariance in every run of 7: mean product of the distances from the middle, less that of the offsets."""
    n = offset_a.shape[axis]
    out = (offset_a * offset_b).neg_()
    for (k, w), d, e in zip(_BESIDE, a, b, strict=True):
        product = d * e
        out.add_(product.narrow(axis, 3, n), alpha=w).add_(product.narrow(axis, 3 - k, n), alpha=w)
    return out


def covariance(a: Planes, b: Planes) -> Tensor:
    """Covariance in every window, ``[B,H-6,W-6]`` float64: within its lines, averaged, plus that of their means."""

    def compute() -> Tensor:
        _, beside_a, across_a, below_a, down_a = _means(a)
        _, beside_b, across_b, below_b, down_b = _means(b)
        within = _spread(beside_a, beside_b, across_a, across_b, -1)
        total = _spread(below_a, below_b, down_a, down_b, -2)
        for i, w in enumerate(_TAPS):
            total.add_(within.narrow(-2, i, total.shape[-2]), alpha=w)
        return nnf.hardshrink(total, _FLOOR)

    return a.once("uqi_variance", compute) if a is b else a.with_source(b, "uqi_covariance", compute)


def quality(a: Planes, b: Planes) -> Tensor:
    """Universal quality index in every window, ``[B,H-6,W-6]``."""

    def compute() -> Tensor:
        m, n = _means(a)[0], _means(b)[0]
        up = (m * n).mul_(2).add_(_C).mul_((2 * covariance(a, b)).add_(_C))
        down = (m * m).addcmul_(n, n).add_(_C)
        return up.div_(down.mul_((covariance(a, a) + covariance(b, b)).add_(_C)))

    return a.with_source(b, "uqi_quality", compute)


def mix(share: Tensor, total: Tensor, q: Tensor, r: Tensor) -> Tensor:
    """``s q + (1-s) r`` with ``s = share / total`` cut to [0,1], 1/2 where the total is 0."""
    s = (share / total).nan_to_num_(0.5, 0.5, 0.5).clamp_(0, 1)  # only x / 0 is not finite
    return torch.lerp(r, q, s)
