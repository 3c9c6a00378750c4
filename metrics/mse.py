"""MSE: mean squared difference of the fused image from its sources."""

from __future__ import annotations

from torch import Tensor

from ._planes import Planes, aligned, per_image
from ._stateful import MeanOverImages


@per_image
def mse(fused: Tensor | Planes, ir: Tensor | Planes, vis: Tensor | Planes, *, unit: bool = False) -> Tensor:
    """Mean squared error, averaged over the sources: ``(mean (F - I)^2 + mean (F - V)^2) / 2``.

    0 to 255^2; lower is better.
    Jagalingam and Hegde, Aquatic Procedia 4, 2015, section 2.

    Args:
        fused: ``[B,1,H,W]`` or ``[B,H,W]``, levels 0..255 (0..1: ``levels=1.0``).
        ir: infrared source, same shape.
        vis: grey visible source, same shape.
        unit: for levels 0..1.

    Returns:
        ``[B]``.

    Raises:
        ValueError: when the shapes differ.

    Example:
        >>> ir = (torch.arange(64) * 29 % 256).view(1, 8, 8)
        >>> mse(torch.maximum(ir, ir.mT), ir, ir.mT).round(decimals=4)
        tensor([6603.2500], dtype=torch.float64)
    """
    f, a, b = aligned(fused, ir, vis)
    return (f.squared_error(a) + f.squared_error(b)) / (2 * 255**2 if unit else 2)


class MSE(MeanOverImages):
    """Mean of :func:`mse` over images."""

    function = staticmethod(mse)
