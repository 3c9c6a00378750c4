"""EN: Shannon entropy of the fused image's grey levels."""

from __future__ import annotations

import math

from torch import Tensor

from ._planes import Planes, aligned, per_image
from ._stateful import MeanOverImages


@per_image
def en(fused: Tensor | Planes, ir: Tensor | Planes, vis: Tensor | Planes) -> Tensor:
    """Entropy of the fused image in bits, ``-sum_k p_k log2 p_k`` over the 256 grey levels.

    0 (one level) to 8 (all levels equally often); higher is better. The sources are not used. Levels are rounded.
    Roberts, van Aardt and Ahmed, Journal of Applied Remote Sensing 2(1), 2008, eq. (1).

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
        >>> en(torch.maximum(ir, ir.mT), ir, ir.mT).round(decimals=4)
        tensor([5.1250], dtype=torch.float64)
    """
    f, _, _ = aligned(fused, ir, vis)
    return (f.entropy() / math.log(2)).clamp(0, 8)


class EN(MeanOverImages):
    """Mean of :func:`en` over images."""

    function = staticmethod(en)
