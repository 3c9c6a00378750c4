"""CE: cross entropy from the sources to the fused image."""

from __future__ import annotations

import torch
from torch import Tensor

from ._planes import Planes, aligned, combined, per_image
from ._stateful import MeanOverImages


@per_image
def ce(fused: Tensor | Planes, ir: Tensor | Planes, vis: Tensor | Planes, *, aggregate: str = "mean") -> Tensor:
    """Cross entropy of fusion, ``D(h_X || h_F) = sum_k h_X(k) log2(h_X(k) / h_F(k))`` of the grey-level histograms.

    In bits, lower is better, 0 for equal histograms. The sum runs over the levels that both images have, as in the
    programs in use, so it can be below 0. Bulanon, Burks and Alchanatis, Biosystems Engineering 103(1), 2009, eq. (5).

    Args:
        fused: ``[B,1,H,W]`` or ``[B,H,W]``, levels 0..255 (0..1: ``levels=1.0``).
        ir: infrared source, same shape.
        vis: grey visible source, same shape.
        aggregate: ``mean`` or ``sum`` over the two sources.

    Returns:
        ``[B]``.

    Raises:
        ValueError: when the shapes differ, or for another `aggregate`.

    Example:
        >>> ir = (torch.arange(64) * 29 % 256).view(1, 8, 8)
        >>> ce(torch.maximum(ir, ir.mT), ir, ir.mT).round(decimals=4)
        tensor([-0.4375], dtype=torch.float64)
    """
    f, a, b = aligned(fused, ir, vis)
    return combined(_divergence(a, f), _divergence(b, f), aggregate)


def _divergence(source: Planes, f: Planes) -> Tensor:
    p, q = source.histogram(), f.histogram()
    return torch.where((p > 0) & (q > 0), p * (p / q).log2(), 0).sum(-1)


class CE(MeanOverImages):
    """Mean of :func:`ce` over images."""

    function = staticmethod(ce)
