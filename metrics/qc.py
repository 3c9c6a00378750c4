"""Qc: similarity of Cvejic, Loza, Bull and Canagarajah."""

from __future__ import annotations

from torch import Tensor

from ._planes import Planes, aligned, per_image
from ._stateful import MeanOverImages
from ._uqi import SMALLEST, covariance, mix, quality


@per_image
def qc(fused: Tensor | Planes, ir: Tensor | Planes, vis: Tensor | Planes, *, clip: str = "released") -> Tensor:
    """Compute Qc, the similarity metric of Cvejic et al.

    ``mean(s Q(ir,f) + (1-s) Q(vis,f))`` over 7x7 Gaussian windows (sigma 1.5), with
    ``s = cov(ir,f) / (cov(ir,f) + cov(vis,f))`` and Q the universal quality index; s is 1/2 where both
    covariances are 0. Covariances are taken about the window's mean.

    Args:
        fused: ``[B,1,H,W]``, ``[B,H,W]`` or `Planes`, grey levels 0..255 (0..1: ``levels=1.0``).
        ir: infrared source, of the same shape.
        vis: visible source, of the same shape.
        clip: what happens where s leaves [0,1]. ``paper``: s is clipped. ``released``: the quality there is
            set to 0 (s < 0) or 1 (s > 1), as the file of Liu et al. 2012 does.

    Returns:
        ``[B]``, -1 to 1, higher is better; NaN for images smaller than 11.

    Raises:
        ValueError: for another `clip`, or shapes that differ.

    Source: N. Cvejic, A. Loza, D. Bull, N. Canagarajah, "A similarity metric for assessment of image fusion
    algorithms", Int. J. Signal Processing 2 (3), 2005, 178-182.

    Example:
        >>> ir = (torch.arange(256) * 29 % 256).view(1, 16, 16)
        >>> qc(torch.maximum(ir, ir.mT), ir, ir.mT).round(decimals=4)
        tensor([0.5447], dtype=torch.float64)
    """
    if clip not in ("released", "paper"):
        raise ValueError(f"clip is released or paper, got {clip!r}")
    f, a, b = aligned(fused, ir, vis)
    if f.smaller(SMALLEST):
        return f.undefined()
    with_a, with_b = covariance(f, a), covariance(f, b)
    total = with_a + with_b
    q = mix(with_a, total, quality(f, a), quality(f, b))
    if clip == "released":  # s < 0 and s > 1, without the division
        negative = with_a * total < 0
        q = q.masked_fill(negative, 0).masked_fill_(with_b * total < 0, 1)
    return q.mean((-2, -1)).clamp(-1, 1)


class QC(MeanOverImages):
    """Mean :func:`qc` over the images seen."""

    function = staticmethod(qc)
