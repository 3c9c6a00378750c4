"""Qy: similarity of Yang, Zhang, Wang and Liu."""

from __future__ import annotations

import torch
from torch import Tensor

from ._planes import Planes, aligned, per_image
from ._stateful import MeanOverImages
from ._uqi import SMALLEST, covariance, mix, quality
from .filters import gaussian, separable


def _ivif_zoo(p: Planes, q: Planes) -> tuple[Tensor, Tensor, Tensor]:
    """Quality and variances of IVIF_ZOO: rows of a 1-D Gaussian repeated 7 times (sum 7), zeros outside."""
    x, y = p.x, q.x
    k = gaussian(7, 1.5, x.dtype, x.device)
    m, n, xx, yy, xy = (separable(z, k, "zero", vertical=torch.ones_like(k)) for z in (x, y, x * x, y * y, x * y))
    xx, yy, xy = xx - m * m, yy - n * n, xy - m * n
    return (2 * m * n + 1e-4) * (2 * xy + 9e-4) / ((m * m + n * n + 1e-4) * (xx + yy + 9e-4)), xx, yy


@per_image
def qy(fused: Tensor | Planes, ir: Tensor | Planes, vis: Tensor | Planes, *, window: str = "gaussian") -> Tensor:
    """Compute Qy, the similarity based metric of Yang et al.

    Per 7x7 Gaussian window (sigma 1.5), with Q the universal quality index and
    ``l = var(ir) / (var(ir) + var(vis))`` (1/2 where both are flat):
    ``l Q(ir,f) + (1-l) Q(vis,f)`` where Q(ir,vis) >= 0.75, else ``max(Q(ir,f), Q(vis,f))``; then the mean.

    Args:
        fused: ``[B,1,H,W]``, ``[B,H,W]`` or `Planes`, grey levels 0..255 (0..1: ``levels=1.0``).
        ir: infrared source, of the same shape.
        vis: visible source, of the same shape.
        window: ``gaussian``, or ``ivif_zoo`` for the window (sum 7) and constants of that program, which are wrong.

    Returns:
        ``[B]``, -1 to 1 (anything for ``ivif_zoo``), higher is better; NaN for images smaller than 11.

    Raises:
        ValueError: for another `window`, or shapes that differ.

    Source: C. Yang, J.-Q. Zhang, X.-R. Wang, X. Liu, "A novel similarity based quality metric for image fusion",
    Information Fusion 9 (2), 2008, 156-160.

    Example:
        >>> ir = (torch.arange(256) * 29 % 256).view(1, 16, 16)
        >>> qy(torch.maximum(ir, ir.mT), ir, ir.mT).round(decimals=4)
        tensor([0.5748], dtype=torch.float64)
    """
    if window not in ("gaussian", "ivif_zoo"):
        raise ValueError(f"window is gaussian or ivif_zoo, got {window!r}")
    f, a, b = aligned(fused, ir, vis)
    if f.smaller(SMALLEST):
        return f.undefined()
    if window == "ivif_zoo":
        between, var_a, var_b = _ivif_zoo(a, b)
        with_a, with_b, share = _ivif_zoo(a, f)[0], _ivif_zoo(b, f)[0], var_a / (var_a + var_b + 1e-10)
        both = share * with_a + (1 - share) * with_b
    else:
        between, with_a, with_b = quality(a, b), quality(f, a), quality(f, b)
        var_a = covariance(a, a)
        both = mix(var_a, var_a + covariance(b, b), with_a, with_b)
    value = torch.where(between >= 0.75, both, torch.maximum(with_a, with_b)).mean((-2, -1))
    return value if window == "ivif_zoo" else value.clamp(-1, 1)


class QY(MeanOverImages):
    """Mean :func:`qy` over the images seen."""

    function = staticmethod(qy)
