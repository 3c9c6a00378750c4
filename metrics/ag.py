"""AG: average gradient of the fused image."""

from __future__ import annotations

import torch
from torch import Tensor

from ._planes import Planes, aligned, per_image
from ._stateful import MeanOverImages


@per_image
def ag(fused: Tensor | Planes, ir: Tensor | Planes, vis: Tensor | Planes, *, divisor: str = "intervals") -> Tensor:
    """Average gradient ``sum sqrt((dx^2 + dy^2) / 2) / n``: central differences, one-sided at the border.

    0 (flat) to about 180; higher is better. The sources are not used.
    Cui, Feng, Xu, Li and Chen, Optics Communications 341, 2015, eq. (9).

    Args:
        fused: ``[B,1,H,W]`` or ``[B,H,W]``, levels 0..255 (0..1: ``levels=1.0``), at least 2 x 2 (otherwise NaN).
        ir: infrared source, same shape.
        vis: grey visible source, same shape.
        divisor: n is the number of ``intervals``, (H-1)(W-1), as in the MATLAB programs, or of ``pixels``, HW.

    Returns:
        ``[B]``.

    Raises:
        ValueError: when the shapes differ, or for another `divisor`.

    Example:
        >>> ir = (torch.arange(64) * 29 % 256).view(1, 8, 8)
        >>> ag(torch.maximum(ir, ir.mT), ir, ir.mT).round(decimals=4)
        tensor([64.2839], dtype=torch.float64)
    """
    f, _, _ = aligned(fused, ir, vis)
    if divisor not in ("intervals", "pixels"):
        raise ValueError(f"divisor is intervals or pixels, got {divisor!r}")
    if f.smaller(2):
        return f.undefined()
    dy, dx = f.once("gradient", lambda: torch.gradient(f.x, dim=(1, 2)))
    _, h, w = f.x.shape
    total = (dx.square().addcmul_(dy, dy) / 2).sqrt_().sum((-2, -1))
    return total / ((h - 1) * (w - 1) if divisor == "intervals" else h * w)


class AG(MeanOverImages):
    """Mean of :func:`ag` over images."""

    function = staticmethod(ag)
