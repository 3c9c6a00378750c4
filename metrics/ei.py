"""EI: edge intensity of the fused image."""

from __future__ import annotations

from torch import Tensor

from ._planes import Planes, aligned, per_image
from ._stateful import MeanOverImages


@per_image
def ei(fused: Tensor | Planes, ir: Tensor | Planes, vis: Tensor | Planes, *, border: str = "replicate") -> Tensor:
    """Edge intensity, the mean Sobel magnitude ``mean sqrt(s_x^2 + s_y^2)``.

    0 (flat) to about 1140; higher is better. The sources are not used.
    Rajalingam and Priya, Int. J. Engineering Science Invention, 2018, section 4; program: VIFB.

    Args:
        fused: ``[B,1,H,W]`` or ``[B,H,W]``, levels 0..255 (0..1: ``levels=1.0``).
        ir: infrared source, same shape.
        vis: grey visible source, same shape.
        border: the image goes on over its border with the edge pixel (``replicate``) or ``zero``.

    Returns:
        ``[B]``.

    Raises:
        ValueError: when the shapes differ, or for another `border`.

    Example:
        >>> ir = (torch.arange(64) * 29 % 256).view(1, 8, 8)
        >>> ei(torch.maximum(ir, ir.mT), ir, ir.mT).round(decimals=4)
        tensor([282.7694], dtype=torch.float64)
    """
    f, _, _ = aligned(fused, ir, vis)
    if border not in ("replicate", "zero"):
        raise ValueError(f"border is replicate or zero, got {border!r}")
    sx, sy = f.sobel(border)
    return sx.square().addcmul_(sy, sy).sqrt_().mean((-2, -1))


class EI(MeanOverImages):
    """Mean of :func:`ei` over images."""

    function = staticmethod(ei)
