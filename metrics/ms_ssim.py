"""MS-SSIM: structural similarity to the sources on five scales."""

from __future__ import annotations

import torch
import torch.nn.functional as nnf
from torch import Tensor

from ._planes import Planes, aligned, combined, per_image
from ._stateful import MeanOverImages
from .ssim import moments

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


@per_image
def ms_ssim(
    fused: Tensor | Planes,
    ir: Tensor | Planes,
    vis: Tensor | Planes,
    *,
    data_range: float = 255,
    border: str = "zero",
    aggregate: str = "mean",
) -> Tensor:
    """Multi-scale structural similarity of the fused image to each source.

    ``prod_k mean(cs_k)^w_k * mean(l_5 cs_5)^w_5`` with w = .0448 .2856 .3001 .2363 .1333, ``l cs`` the SSIM map in full
    11 x 11 Gaussian windows (sigma 1.5, ``C1 = (.01 L)^2``, ``C2 = (.03 L)^2``); each next scale is the mean of
    2 x 2 pixels. A negative mean counts as 0.

    0 to 1 (the mean of two); higher is better. Wang, Simoncelli and Bovik, Asilomar Conf. 2003.

    Args:
        fused: ``[B,1,H,W]`` or ``[B,H,W]``, levels 0..255 (0..1: ``levels=1.0``), more than 160 x 160 (otherwise NaN).
        ir: infrared source, same shape.
        vis: grey visible source, same shape.
        data_range: L, whatever the levels really span.
        border: what halving does at an odd size: ``zero`` continues the image with zeros at both ends, as PyTorch
            ports do; ``symmetric`` repeats the last row or column, as Wang's own program does.
        aggregate: ``mean`` or ``sum`` of the two.

    Returns:
        ``[B]``.

    Raises:
        ValueError: when the shapes differ, or for another `border` or `aggregate`.

    Example:
        >>> ir = (torch.arange(36864) * 29 % 256).view(1, 192, 192)
        >>> ms_ssim(torch.maximum(ir, ir.mT), ir, ir.mT).round(decimals=4)
        tensor([0.7376], dtype=torch.float64)
    """
    f, a, b = aligned(fused, ir, vis)
    if border not in ("symmetric", "zero"):
        raise ValueError(f"border is symmetric or zero, got {border!r}")
    if f.smaller(161):
        return f.undefined()
    return combined(_similarity(f, a, data_range, border), _similarity(f, b, data_range, border), aggregate, 0, 1)


def half(p: Planes, border: str = "symmetric") -> Planes:
    """Means of 2 x 2 pixels."""

    odd = (p.x.shape[-2] % 2, p.x.shape[-1] % 2)

    def compute() -> Planes:
        x = p.x
        if any(odd):
            pad = (odd[1], odd[1], odd[0], odd[0]) if border == "zero" else (0, odd[1], 0, odd[0])
            x = nnf.pad(x[:, None], pad, mode="constant" if border == "zero" else "replicate")[:, 0]
        h, w = x.shape[-2] // 2 * 2, x.shape[-1] // 2 * 2
        x = x[:, 0:h:2, :w] + x[:, 1:h:2, :w]
        return Planes((x[..., 0::2] + x[..., 1::2]).div_(4))

    return p.once(("half", border if any(odd) else ""), compute)


def _similarity(f: Planes, source: Planes, data_range: float, border: str) -> Tensor:
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    total = torch.ones_like(f.x[:, 0, 0])
    for scale, weight in enumerate(WEIGHTS, 1):
        (mx, mxx, sx), (my, myy, sy) = moments(f, "gauss11"), moments(source, "gauss11")
        q = torch.addcmul(f.window("gauss11", source), mx, my, value=-1).mul_(2).add_(c2).div_((sx + sy).add_(c2))
        if scale == len(WEIGHTS):
            q *= (mx * my).mul_(2).add_(c1).div_((mxx + myy).add_(c1))
        total *= q.mean((-2, -1)).clamp(min=0) ** weight
        f, source = half(f, border), half(source, border)
    return total


class MSSSIM(MeanOverImages):
    """Mean of :func:`ms_ssim` over images."""

    function = staticmethod(ms_ssim)
