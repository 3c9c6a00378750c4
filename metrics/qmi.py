"""QMI: normalised mutual information of Hossny, Nahavandi and Creighton."""

from __future__ import annotations

from torch import Tensor

from ._planes import Planes, aligned, per_image
from ._stateful import MeanOverImages


@per_image
def qmi(fused: Tensor | Planes, ir: Tensor | Planes, vis: Tensor | Planes) -> Tensor:
    """Normalised mutual information ``2 (I(I; F) / (H(I) + H(F)) + I(V; F) / (H(V) + H(F)))``.

    Every image is min-max rescaled to 0..255 and rounded by itself, then histogrammed over 256 levels.
    0 to 2; higher is better. NaN where a source and the fused image have one level each.
    Hossny, Nahavandi and Creighton, Electronics Letters 44(18), 2008, eq. (5).

    Args:
        fused: ``[B,1,H,W]`` or ``[B,H,W]``, levels 0..255 (0..1: ``levels=1.0``).
        ir: infrared source, same shape.
        vis: grey visible source, same shape.

    Returns:
        ``[B]``.

    Raises:
        ValueError: when the shapes differ.

    Example:
        >>> ir = (torch.arange(64) * 29 % 256).view(1, 8, 8)
        >>> qmi(torch.maximum(ir, ir.mT), ir, ir.mT).round(decimals=4)
        tensor([1.8427], dtype=torch.float64)
    """
    f, a, b = aligned(fused, ir, vis)
    return (2 * (_shared(f, a) + _shared(f, b))).clamp(0, 2)


def _shared(f: Planes, source: Planes) -> Tensor:
    kind = "stretched"
    return f.mutual_information(source, kind) / (source.entropy(kind) + f.entropy(kind))


class QMI(MeanOverImages):
    """Mean of :func:`qmi` over images."""

    function = staticmethod(qmi)
