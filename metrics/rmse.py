"""RMSE: root mean squared difference of the fused image from its sources."""

from __future__ import annotations

import math

from torch import Tensor

from ._planes import Planes, aligned, per_image
from ._stateful import MeanOverImages


@per_image
def rmse(fused: Tensor | Planes, ir: Tensor | Planes, vis: Tensor | Planes, *, form: str = "mean") -> Tensor:
    """Root mean squared error, averaged over the sources: ``(sqrt(mean (F - I)^2) + sqrt(mean (F - V)^2)) / 2``.

    0 to 255; lower is better.
    Jagalingam and Hegde, Aquatic Procedia 4, 2015, section 2.

    Args:
        fused: ``[B,1,H,W]`` or ``[B,H,W]``, levels 0..255 (0..1: ``levels=1.0``).
        ir: infrared source, same shape.
        vis: grey visible source, same shape.
        form: ``mean`` of the two roots; ``pooled``: root of the mean of the two errors; ``vifb``: the sum of squares
            is divided by the number of pixels after the root is taken, ``||F - X||_2 / (HW)``.

    Returns:
        ``[B]``.

    Raises:
        ValueError: when the shapes differ, or for another `form`.

    Example:
        >>> ir = (torch.arange(64) * 29 % 256).view(1, 8, 8)
        >>> rmse(torch.maximum(ir, ir.mT), ir, ir.mT).round(decimals=4)
        tensor([81.2604], dtype=torch.float64)
    """
    f, a, b = aligned(fused, ir, vis)
    ea, eb = f.squared_error(a), f.squared_error(b)
    if form == "pooled":
        return ((ea + eb) / 2).sqrt()
    if form not in ("mean", "vifb"):
        raise ValueError(f"form is mean, pooled or vifb, got {form!r}")
    root = (ea.sqrt() + eb.sqrt()) / 2
    return root / math.sqrt(f.x[0].numel()) if form == "vifb" else root


class RMSE(MeanOverImages):
    """Mean of :func:`rmse` over images."""

    function = staticmethod(rmse)
