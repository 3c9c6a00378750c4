"""SF: spatial frequency of the fused image."""

from __future__ import annotations

from torch import Tensor

from ._planes import Planes, aligned, per_image
from ._stateful import MeanOverImages


@per_image
def sf(
    fused: Tensor | Planes,
    ir: Tensor | Planes,
    vis: Tensor | Planes,
    *,
    divisor: str = "differences",
    unit: bool = False,
) -> Tensor:
    """Spatial frequency ``sqrt(RF^2 + CF^2)``: root mean squares of the horizontal and vertical first differences.

    0 (flat) to sqrt(2)*255; higher is better. The sources are not used.
    Eskicioglu and Fisher, IEEE Trans. Communications 43(12), 1995, section II.

    Args:
        fused: ``[B,1,H,W]`` or ``[B,H,W]``, levels 0..255 (0..1: ``levels=1.0``), at least 2 x 2 (otherwise NaN).
        ir: infrared source, same shape.
        vis: grey visible source, same shape.
        divisor: sums of squares are divided by the number of ``differences``, or of ``pixels``.
        unit: for levels 0..1, a 255th.

    Returns:
        ``[B]``.

    Raises:
        ValueError: when the shapes differ, or for another `divisor`.

    Example:
        >>> ir = (torch.arange(64) * 29 % 256).view(1, 8, 8)
        >>> sf(torch.maximum(ir, ir.mT), ir, ir.mT).round(decimals=4)
        tensor([152.0473], dtype=torch.float64)
    """
    f, _, _ = aligned(fused, ir, vis)
    if divisor not in ("differences", "pixels"):
        raise ValueError(f"divisor is differences or pixels, got {divisor!r}")
    if f.smaller(2):
        return f.undefined()
    _, h, w = f.x.shape
    across, down = f.once("squared differences", lambda: (_energy(f.x.diff(dim=2)), _energy(f.x.diff(dim=1))))
    rows, columns = (h * (w - 1), (h - 1) * w) if divisor == "differences" else (h * w, h * w)
    return (across / rows + down / columns).sqrt() / (255 if unit else 1)


def _energy(d: Tensor) -> Tensor:
    return d.square_().sum((-2, -1))


class SF(MeanOverImages):
    """Mean of :func:`sf` over images."""

    function = staticmethod(sf)
