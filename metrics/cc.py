"""CC: correlation of the fused image with its sources."""

from __future__ import annotations

from torch import Tensor

from ._planes import Planes, aligned, combined, per_image
from ._stateful import MeanOverImages


@per_image
def cc(fused: Tensor | Planes, ir: Tensor | Planes, vis: Tensor | Planes, *, aggregate: str = "mean") -> Tensor:
    """Pearson's correlation with each source, ``(r(I, F) + r(V, F)) / 2``.

    -1 to 1; higher is better. NaN where one of the three images does not vary.
    Deshmukh and Bhosale, Int. J. Image Processing 4(5), 2010, section 4.

    Args:
        fused: ``[B,1,H,W]`` or ``[B,H,W]``, levels 0..255 (0..1: ``levels=1.0``).
        ir: infrared source, same shape.
        vis: grey visible source, same shape.
        aggregate: ``mean`` or ``sum`` of the two.

    Returns:
        ``[B]``.

    Raises:
        ValueError: when the shapes differ, or for another `aggregate`.

    Example:
        >>> ir = (torch.arange(64) * 29 % 256).view(1, 8, 8)
        >>> cc(torch.maximum(ir, ir.mT), ir, ir.mT).round(decimals=4)
        tensor([0.5884], dtype=torch.float64)
    """
    f, a, b = aligned(fused, ir, vis)
    return combined(_correlation(f, a), _correlation(f, b), aggregate, -1, 1)


def _correlation(f: Planes, source: Planes) -> Tensor:
    (x, xx), (y, yy) = f.centred(), source.centred()
    return (x * y).sum(-1) / (xx.sqrt() * yy.sqrt())


class CC(MeanOverImages):
    """Mean of :func:`cc` over images."""

    function = staticmethod(cc)
