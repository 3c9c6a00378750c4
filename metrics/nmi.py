"""NMI: mutual information over the entropies of the sources."""

from __future__ import annotations

from torch import Tensor

from ._planes import Planes, aligned, per_image
from ._stateful import MeanOverImages


@per_image
def nmi(fused: Tensor | Planes, ir: Tensor | Planes, vis: Tensor | Planes) -> Tensor:
    """Mutual information in units of the sources' own, ``2 (I(I; F) + I(V; F)) / (H(I) + H(V))``, raw levels, 256 bins.

    From 0 up, 2 where the fused image determines both sources; higher is better. NaN where both sources are flat.
    The form of the IVIF_ZOO program; Hossny's normalisation is :func:`qmi`.

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
        >>> nmi(torch.maximum(ir, ir.mT), ir, ir.mT).round(decimals=4)
        tensor([1.7083], dtype=torch.float64)
    """
    f, a, b = aligned(fused, ir, vis)
    shared = f.mutual_information(a) + f.mutual_information(b)
    return (2 * shared / (a.entropy() + b.entropy())).clamp(min=0)


class NMI(MeanOverImages):
    """Mean of :func:`nmi` over images."""

    function = staticmethod(nmi)
