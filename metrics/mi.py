"""MI: mutual information between the fused image and its sources."""

from __future__ import annotations

import math

from torch import Tensor

from ._planes import Planes, aligned, combined, per_image
from ._stateful import MeanOverImages


@per_image
def mi(
    fused: Tensor | Planes,
    ir: Tensor | Planes,
    vis: Tensor | Planes,
    *,
    units: str = "bits",
    histogram: str = "raw",
    aggregate: str = "sum",
) -> Tensor:
    """Mutual information ``I(I; F) + I(V; F)`` of the 256 x 256 joint histograms, ``I = H(X) + H(F) - H(X, F)``.

    0 to 16 bits (16.03 if saturated); higher is better. Qu, Zhang and Yan, Electronics Letters 38(7),
    2002, eqs. (1)-(3).

    Args:
        fused: ``[B,1,H,W]`` or ``[B,H,W]``, levels 0..255 (0..1: ``levels=1.0``).
        ir: infrared source, same shape.
        vis: grey visible source, same shape.
        units: ``bits`` (logarithm to base 2) or ``nats`` (natural logarithm).
        histogram: of ``raw`` grey levels; ``stretched``: every image min-max rescaled to 0..255 and rounded first;
            ``saturated``: as raw, but the joint histogram counts 254 and 255 as one level (MATLAB's ``uint8 + 1``).
        aggregate: ``sum`` or ``mean`` of the two.

    Returns:
        ``[B]``.

    Raises:
        ValueError: when the shapes differ, or for another `units`, `histogram` or `aggregate`.

    Example:
        >>> ir = (torch.arange(64) * 29 % 256).view(1, 8, 8)
        >>> mi(torch.maximum(ir, ir.mT), ir, ir.mT).round(decimals=4)
        tensor([10.2500], dtype=torch.float64)
    """
    f, a, b = aligned(fused, ir, vis)
    if units not in ("bits", "nats"):
        raise ValueError(f"units are bits or nats, got {units!r}")
    form = ("raw", 254) if histogram == "saturated" else (histogram, 255)
    total = combined(f.mutual_information(a, *form), f.mutual_information(b, *form), aggregate, low=0)
    return total / (math.log(2) if units == "bits" else 1)


class MI(MeanOverImages):
    """Mean of :func:`mi` over images."""

    function = staticmethod(mi)
