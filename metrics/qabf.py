"""Qabf: how much of the sources' edges the fused image keeps."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ._planes import Planes, aligned, per_image
from ._stateful import MeanOverImages

GAIN, GAIN_SLOPE, GAIN_CENTRE = 0.9994, 15, 0.5  # of edge strength
TURN, TURN_SLOPE, TURN_CENTRE = 0.9879, 22, 0.8  # of edge direction


@per_image
def qabf(
    fused: Tensor | Planes,
    ir: Tensor | Planes,
    vis: Tensor | Planes,
    *,
    equal: str = "released",
    unit: bool = False,
    by_columns: bool = False,
) -> Tensor:
    """Edge preservation Q^AB/F of Xydeas and Petrovic with the weights of strong edges (L = 1).

    With Sobel strength g and direction a = atan(s_y/s_x) of source X and fused F, at every pixel
    ``G = min(g_X, g_F) / max(g_X, g_F)``, ``A = 1 - |a_X - a_F| / (pi/2)``,
    ``Q_XF = .9994 / (1 + exp(-15 (G - .5))) * .9879 / (1 + exp(-22 (A - .8)))``, and
    ``Qabf = sum(Q_IF g_I + Q_VF g_V) / sum(g_I + g_V)``.

    0 to 1; higher is better. NaN where neither source has an edge.
    Xydeas and Petrovic, Electronics Letters 36(4), 2000, eqs. (1)-(8).

    Args:
        fused: ``[B,1,H,W]`` or ``[B,H,W]``, levels 0..255 (0..1: ``levels=1.0``). The border is continued with 0.
        ir: infrared source, same shape.
        vis: grey visible source, same shape.
        equal: G where both strengths are the same. ``paper``: 1. ``released``: the strength itself, as every
            released program has it; harmless on 0..255, where equal strengths below 1 do not occur.
        unit: bring the levels to 0..1 first, as some callers do. Strengths are then below 1, so that ``released``
            breaks down on fused images that copy a source; and whether responses cancel is left to the order of
            summation, which moves the value by up to 2e-2 of itself.
        by_columns: sum in the order of MATLAB's ``conv2`` instead of SciPy's; matters with `unit` only.

    Returns:
        ``[B]``.

    Raises:
        ValueError: when the shapes differ, or for another `equal`.

    Example:
        >>> ir = (torch.arange(64) * 29 % 256).view(1, 8, 8)
        >>> qabf(torch.maximum(ir, ir.mT), ir, ir.mT).round(decimals=4)
        tensor([0.5367], dtype=torch.float64)
    """
    f, a, b = aligned(fused, ir, vis)
    if equal not in ("released", "paper"):
        raise ValueError(f"equal is released or paper, got {equal!r}")
    if unit:
        f, a, b = f.unit(), a.unit(), b.unit()
    preserved = _preserved(f, a, equal, by_columns) + _preserved(f, b, equal, by_columns)
    return preserved / (_strength(a, by_columns) + _strength(b, by_columns))


def _preserved(f: Planes, source: Planes, equal: str, by_columns: bool) -> Tensor:
    """Sum of Q_XF g_X."""
    (gf, af), (g, a) = f.edges(by_columns), source.edges(by_columns)
    ratio = torch.minimum(g, gf).div_(torch.maximum(g, gf))
    ratio = torch.where(g == gf, g if equal == "released" else 1.0, ratio)  # 0/0 among them; its weight is 0
    strength = ratio.sub_(GAIN_CENTRE).mul_(GAIN_SLOPE).sigmoid_()
    turn = (a - af).abs_().mul_(-TURN_SLOPE * 2 / math.pi).add_(TURN_SLOPE * (1 - TURN_CENTRE)).sigmoid_()
    return strength.mul_(turn).mul_(g).sum((-2, -1)) * (GAIN * TURN)


def _strength(source: Planes, by_columns: bool) -> Tensor:
    return source.edges(by_columns)[0].sum((-2, -1))


class QABF(MeanOverImages):
    """Mean of :func:`qabf` over images."""

    function = staticmethod(qabf)
