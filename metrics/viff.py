"""VIFF: visual information fidelity for fusion of Han, Cai, Cao and Xu."""

from __future__ import annotations

import torch
from torch import Tensor

from ._planes import Planes, aligned, per_image
from ._stateful import MeanOverImages
from .vif import _channel, _scales

NOISE = 0.005 * 255**2
WEIGHTS = (1 / 2.15, 0.0, 0.15 / 2.15, 1 / 2.15)
FORM = (False, "centred")  # of VIF's scales


@per_image
def viff(fused: Tensor | Planes, ir: Tensor | Planes, vis: Tensor | Planes) -> Tensor:
    """Visual information of the sources that is left in the fused image, against all there was.

    On the four scales of VIF (Gaussian windows of 17, 9, 5, 3 taps, full windows only), with local variances s_X, s_F,
    covariance s_XF, ``g_X = s_XF / s_X`` and ``s_V = s_F - g_X s_XF`` (``g_X = 0``, ``s_V = s_F`` where negative),
    every window takes the source X of the smaller g_X (the visible one at a tie), and
    ``VIFF_k = sum(log(1 + g^2 s_X / (s_V + N)) + c) / sum(log(1 + s_X / N) + c)`` with ``N = .005 * 255^2`` and
    ``c = 1e-7 ln 10``; the value is ``(VIFF_1 + .15 VIFF_3 + VIFF_4) / 2.15``.

    From 0 up; higher is better. Not to be confused with VIF, which some programs call VIFF.
    Han, Cai, Cao and Xu, Information Fusion 14(2), 2013.

    Args:
        fused: ``[B,1,H,W]`` or ``[B,H,W]``, levels 0..255 (0..1: ``levels=1.0``), at least 41 x 41 (otherwise NaN).
        ir: infrared source, same shape.
        vis: grey visible source, same shape.

    Returns:
        ``[B]``.

    Raises:
        ValueError: when the shapes differ.

    Example:
        >>> ir = (torch.arange(2304) * 29 % 256).view(1, 48, 48)
        >>> viff(torch.maximum(ir, ir.mT), ir, ir.mT).round(decimals=4)
        tensor([0.5005], dtype=torch.float64)
    """
    f, a, b = aligned(fused, ir, vis)
    if f.smaller(41):
        return f.undefined()
    total = torch.zeros_like(f.x[:, 0, 0])
    for scale, weight in enumerate(WEIGHTS):
        if weight:
            (g_a, seen_a, all_a), (g_b, seen_b, all_b) = _fidelity(f, a, scale), _fidelity(f, b, scale)
            chosen = g_b <= g_a
            seen, there = torch.where(chosen, seen_b, seen_a).log1p_(), torch.where(chosen, all_b, all_a)
            c = 1e-7 * 2.302585092994046 * seen[0].numel()
            total += weight * (seen.sum((-2, -1)) + c) / (there.sum((-2, -1)) + c)
    return total


def _fidelity(f: Planes, source: Planes, scale: int) -> tuple[Tensor, Tensor, Tensor]:
    """Gain from source to fused image in every window of a scale, signal to noise seen, and information there."""
    g, power, rest = _channel(f, source, FORM, scale)
    there = source.once(("viff", scale), lambda: (_scales(source, FORM)[scale][2] / NOISE).log1p_())
    return g, power / (rest + NOISE), there


class VIFF(MeanOverImages):
    """Mean of :func:`viff` over images."""

    function = staticmethod(viff)
