"""MEF-SSIM: structural similarity to the patch that a good fusion of the sources would have."""

from __future__ import annotations

import torch
from torch import Tensor

from ._planes import Planes, aligned, per_image
from ._stateful import MeanOverImages
from .filters import box
from .ms_ssim import half

WEIGHTS = tuple(w / 0.6305 for w in (0.0448, 0.2856, 0.3001))
PIXELS = 121
EPS = 2**-52
Reference = tuple[Tensor, Tensor, Tensor]


@per_image
def mef_ssim(fused: Tensor | Planes, ir: Tensor | Planes, vis: Tensor | Planes) -> Tensor:
    """Multi-exposure fusion SSIM on three scales.

    In every 11 x 11 window, with x_k the source patches less their means, ``d_k = |x_k| + .001``,
    ``R = |x_1 + x_2| / (|x_1| + |x_2|)``, ``p = min(tan(pi R / 2), 10)`` and ``w_k = (d_k / 11)^p``: the wanted patch
    is ``r ~ sum_k w_k x_k / d_k``, scaled to ``|r| = max d_k``. The scale's value is the mean of
    ``(2 s_rf + C) / (s_r + s_f + C)``, variances in the Gaussian window of sigma 1.5, ``C = (.03 * 255)^2``; the result
    ``prod_k Q_k^w_k``, w = .0448 .2856 .3001 over their sum, each next scale the mean of 2 x 2 pixels.

    0 to 1, NaN where a scale's mean is negative; higher is better. Ma, Zeng and Wang, IEEE Trans. Image Processing
    24(11), 2015. Kits call it MS_SSIM. All terms are quadratic forms of windowed moments, which leaves no loop over
    windows.

    Args:
        fused: ``[B,1,H,W]`` or ``[B,H,W]``, levels 0..255 (0..1: ``levels=1.0``), at least 44 x 44 (otherwise NaN).
        ir: infrared source, same shape.
        vis: grey visible source, same shape.

    Returns:
        ``[B]``.

    Raises:
        ValueError: when the shapes differ.

    Example:
        >>> ir = (torch.arange(2304) * 29 % 256).view(1, 48, 48)
        >>> mef_ssim(torch.maximum(ir, ir.mT), ir, ir.mT).round(decimals=4)
        tensor([0.8595], dtype=torch.float64)
    """
    f, a, b = aligned(fused, ir, vis)
    if f.smaller(44):
        return f.undefined()
    total = torch.ones_like(f.x[:, 0, 0])
    for weight in WEIGHTS:
        total *= _scale(f, a, b) ** weight
        f, a, b = half(f), half(a), half(b)
    return total.clamp(max=1)  # rounding, where a window's sources all but cancel


def _scale(f: Planes, a: Planes, b: Planes) -> Tensor:
    part_a, part_b, variance = b.with_source(a, "mef reference", lambda: _reference(a, b))
    covariance = (part_a * _covariance(f, a)).addcmul_(part_b, _covariance(f, b))
    c = (0.03 * 255) ** 2
    return covariance.mul_(2).add_(c).div_(_covariance(f, f) + variance + c).mean((-2, -1))


def _covariance(p: Planes, q: Planes) -> Tensor:
    return torch.addcmul(p.window("gauss11", q), p.window("gauss11"), q.window("gauss11"), value=-1)


def _reference(a: Planes, b: Planes) -> Reference:
    """What the wanted patch has of each source's patch, and its variance in the Gaussian window."""
    mean_a, mean_b = box(a.x, 11), box(b.x, 11)
    aa, bb, ab = (
        (box(x * y, 11) - m * n).mul_(PIXELS)
        for x, y, m, n in ((a.x, a.x, mean_a, mean_a), (b.x, b.x, mean_b, mean_b), (a.x, b.x, mean_a, mean_b))
    )
    aa, bb = (torch.where(v < 1e-6, 0, v) for v in (aa, bb))  # rounding of flat windows
    size_a, size_b = aa.sqrt(), bb.sqrt()
    r = ((aa + bb).add_(ab, alpha=2).clamp_(min=0).sqrt_() + EPS) / (size_a + size_b + EPS)
    p = r.clamp_(max=1 - EPS).mul_(torch.pi / 2).tan_().clamp_(max=10)
    d_a, d_b = size_a.add_(0.001), size_b.add_(0.001)
    w_a, w_b = (d_a / 11).pow_(p).add_(EPS), (d_b / 11).pow_(p).add_(EPS)
    part_a, part_b = w_a / d_a / (w_a + w_b), w_b / d_b / (w_a + w_b)
    own = (part_a * part_a).mul_(aa).addcmul_(part_b * part_b, bb)
    norm = own + 2 * part_a * part_b * ab
    scale = torch.where(norm > 1e-12 * own, torch.maximum(d_a, d_b) / norm.clamp(min=0).sqrt(), 1)
    part_a, part_b = part_a.mul_(scale), part_b.mul_(scale)
    variance = part_a * part_a * _covariance(a, a) + part_b * part_b * _covariance(b, b)
    return part_a, part_b, variance.addcmul_(part_a * part_b, _covariance(b, a), value=2)


class MEFSSIM(MeanOverImages):
    """Mean of :func:`mef_ssim` over images."""

    function = staticmethod(mef_ssim)
