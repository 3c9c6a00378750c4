"""SD: standard deviation of the fused image."""

from __future__ import annotations

from torch import Tensor

from ._planes import Planes, aligned, per_image
from ._stateful import MeanOverImages


@per_image
def sd(fused: Tensor | Planes, ir: Tensor | Planes, vis: Tensor | Planes, *, form: str = "population") -> Tensor:
    """Standard deviation of the fused image's levels, ``sqrt(mean (F - mean F)^2)``.

    0 (flat) to 127.5; higher is better. The sources are not used.
    Rao, Measurement Science and Technology 8(4), 1997, where fusion papers take it from.

    Args:
        fused: ``[B,1,H,W]`` or ``[B,H,W]``, levels 0..255 (0..1: ``levels=1.0``).
        ir: infrared source, same shape.
        vis: grey visible source, same shape.
        form: ``population`` (divided by N); ``sample`` (by N - 1); ``uint8``: MATLAB's arithmetic on uint8, which
            clips the difference from the rounded mean to 0..255 and its square to 255. Values near 9 come of it.

    Returns:
        ``[B]``.

    Raises:
        ValueError: when the shapes differ, or for another `form`.

    Example:
        >>> ir = (torch.arange(64) * 29 % 256).view(1, 8, 8)
        >>> sd(torch.maximum(ir, ir.mT), ir, ir.mT).round(decimals=4)
        tensor([72.1894], dtype=torch.float64)
    """
    f, _, _ = aligned(fused, ir, vis)
    if form == "uint8":
        x = f.x - (f.x.mean((-2, -1), keepdim=True) + 0.5).floor()
        return x.clamp_(0, 255).square_().clamp_(max=255).mean((-2, -1)).sqrt()
    if form not in ("population", "sample"):
        raise ValueError(f"form is population, sample or uint8, got {form!r}")
    x, energy = f.centred()
    return (energy / (x.shape[-1] - (form == "sample"))).sqrt()


class SD(MeanOverImages):
    """Mean of :func:`sd` over images."""

    function = staticmethod(sd)
