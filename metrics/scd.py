"""SCD: sum of the correlations of differences."""

from __future__ import annotations

import torch
from torch import Tensor

from ._planes import Planes, aligned, centred, combined, per_image
from ._stateful import MeanOverImages


@per_image
def scd(fused: Tensor | Planes, ir: Tensor | Planes, vis: Tensor | Planes) -> Tensor:
    """Sum of the correlations of differences, ``r(F - V, I) + r(F - I, V)`` with Pearson's r.

    -2 to 2; higher is better. NaN where a source does not vary, or a difference by no more than
    the rounding of the images' type, so for a copy of a source.
    Aslantas and Bendes, AEU Int. J. Electronics and Communications 69(12), 2015, eqs. (3) and (4).

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
        >>> scd(torch.maximum(ir, ir.mT), ir, ir.mT).round(decimals=4)
        tensor([1.6422], dtype=torch.float64)
    """
    f, a, b = aligned(fused, ir, vis)
    return combined(_correlation(f, b, a), _correlation(f, a, b), "sum", -1, 1)


def _correlation(f: Planes, taken: Planes, source: Planes) -> Tensor:
    """Pearson's r of ``f - taken`` and `source`."""
    coarse = torch.float32 if torch.float32 in (f.dtype, taken.dtype) else torch.float64
    rest = centred((f.x - taken.x).flatten(1), coarse)
    x, energy = source.centred()
    return (rest * x).sum(-1) / (rest.square().sum(-1).sqrt() * energy.sqrt())


class SCD(MeanOverImages):
    """Mean of :func:`scd` over images."""

    function = staticmethod(scd)
