"""Nabf: edges of the fused image that neither source has."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ._planes import Planes, aligned, per_image, polar
from ._stateful import MeanOverImages
from .filters import sobel

PROGRAMS = ("kumar", "tang", "ivif_zoo", "topanxal")


@per_image
def nabf(fused: Tensor | Planes, ir: Tensor | Planes, vis: Tensor | Planes, *, program: str = "kumar") -> Tensor:
    """Fusion artifacts as modified by Kumar: edge strength of the fused image that no source accounts for.

    ``sum(na ((1-Q_IF) w_I + (1-Q_VF) w_V)) / sum(w_I + w_V)``, na = 1 where the Sobel strength (kernel / 8, border
    mirrored) of the fused image exceeds both sources', with ``G = g_X / g_F``,
    ``A = ||a_X - a_F| - pi/2| / (pi/2)``, ``Q_XF^2 = .9999 / (1 + exp(-19 (G - .5))) .9995 / (1 + exp(-22 (A - .5)))``
    and ``w_X = g_X^1.5``, or .001 where g_X < 2.

    0 to 1; lower is better. Kumar, Signal, Image and Video Processing 7(6), 2013, after Petrovic and
    Xydeas.

    Args:
        fused: ``[B,1,H,W]`` or ``[B,H,W]``, levels 0..255 (0..1: ``levels=1.0``), at least 2 x 2 (otherwise NaN).
        ir: infrared source, same shape.
        vis: grey visible source, same shape.
        program: ``kumar``, or one of its ports with what they have wrong. ``tang``: called as (ir, vis, fused), so
            that the infrared image is scored as if fused. ``ivif_zoo``: the small weight is 0 (NaN without strong
            edges). ``topanxal``: kernel not divided by 8, zero border, angles over the full circle.

    Returns:
        ``[B]``.

    Raises:
        ValueError: when the shapes differ, or for another `program`.

    Example:
        >>> ir = (torch.arange(64) * 29 % 256).view(1, 8, 8)
        >>> nabf(torch.maximum(ir, ir.mT), ir, ir.mT).round(decimals=4)
        tensor([0.0189], dtype=torch.float64)
    """
    f, a, b = aligned(fused, ir, vis)
    if program not in PROGRAMS:
        raise ValueError(f"program is one of {', '.join(PROGRAMS)}, got {program!r}")
    if f.smaller(2):
        return f.undefined()
    if program == "tang":
        f, a, b = a, b, f
    circle, least = program == "topanxal", 0.0 if program == "ivif_zoo" else 0.001
    (g, _), weight_a, weight_b = _edges(f, circle), _weight(a, circle, least), _weight(b, circle, least)
    lost = _lost(f, a, circle).mul_(weight_a).addcmul_(_lost(f, b, circle), weight_b)
    new = torch.maximum(_edges(a, circle)[0], _edges(b, circle)[0]) < g
    return (lost * new).sum((-2, -1)) / (weight_a + weight_b).sum((-2, -1))


def _edges(p: Planes, circle: bool) -> tuple[Tensor, Tensor]:
    """Strength and direction; but for the circle, only differences modulo pi of the latter matter."""

    def compute() -> tuple[Tensor, Tensor]:
        if circle:
            sx, sy = p.sobel("zero")
            return sx.square().addcmul_(sy, sy).sqrt_(), torch.atan2(sx, 2**-52 - sy)
        both = strength, direction = tuple(t.clone() for t in p.edges())  # right inside; the border is mirrored here
        for axis in (1, 2):
            for line in (0, -1):
                sx, sy = sobel(p.x.narrow(axis, line if line == 0 else p.x.shape[axis] - 2, 2), "reflect")
                for image, value in zip(both, polar(sx.select(axis, line), sy.select(axis, line)), strict=True):
                    image.select(axis, line).copy_(value)
        return strength.div_(8), direction

    return p.once(("nabf", circle), compute)


def _weight(p: Planes, circle: bool, least: float) -> Tensor:
    def compute() -> Tensor:
        g = _edges(p, circle)[0]
        return torch.where(g < 2, least, g * g.sqrt())

    return p.once(("nabf weight", circle, least), compute)


def _lost(f: Planes, source: Planes, circle: bool) -> Tensor:
    """1 - Q, where the fused image has the stronger edge."""
    (gf, af), (g, a) = _edges(f, circle), _edges(source, circle)
    strength = (g / gf).sub_(0.5).mul_(-19).exp_().add_(1)
    turn = (a - af).abs_().sub_(math.pi / 2).abs_().mul_(-44 / math.pi).add_(11).exp_().add_(1)
    return strength.mul_(turn).div_(0.9999 * 0.9995).rsqrt_().neg_().add_(1).nan_to_num_(0)


class NABF(MeanOverImages):
    """Mean of :func:`nabf` over images."""

    function = staticmethod(nabf)
